"""The worker that holds a text encoder. Light to import: processes that prepare import this module."""

from collections.abc import Sequence
from typing import NamedTuple

from resources.refusals import Refusal


class Text(NamedTuple):
    """A text to encode."""

    text: str


class TextSettings(NamedTuple):
    """The profile as JSON."""

    profile: str


class TextWorker:
    """Encodes texts by the profile's text encoder."""

    settings = TextSettings
    item = Text
    prepared = Text

    def __init__(self, settings: TextSettings) -> None:
        from resources.profile import Profile
        from resources.providers import text_encoder
        from resources.torch_turn import Turn

        profile = Profile.model_validate_json(settings.profile)
        self._encoder = text_encoder(profile, Turn(threads=profile.workers.torch_threads))

    @staticmethod
    def prepare(settings: TextSettings, item: Text, wants: tuple[str, ...]) -> Text:  # noqa: ARG004 - of the contract
        """The text itself: encoders tokenize."""
        return item

    def run(self, orders: Sequence[object], prepared: Sequence[Text]) -> list[dict[str, object | Refusal]]:  # noqa: ARG002
        """The vector of each text."""
        return [{"vector": outcome} for outcome in self._encoder.encode([item.text for item in prepared])]
