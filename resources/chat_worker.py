"""The worker that holds a chat model. Light to import: processes that prepare import this module."""

from collections.abc import Sequence
from typing import NamedTuple

from resources.desk.calls import Reply
from resources.refusals import Refusal


class ChatItem(NamedTuple):
    """One prompt: its key, the system's words, (role, text) pairs, and the longest reply in tokens."""

    key: str
    instructions: str
    messages: list[tuple[str, str]]
    max_output_tokens: int


class ChatSettings(NamedTuple):
    """The profile as JSON."""

    profile: str


class ChatWorker:
    """Replies to prompts by the profile's chat model."""

    settings = ChatSettings
    item = ChatItem
    prepared = ChatItem

    def __init__(self, settings: ChatSettings) -> None:
        from resources.chat_model import Chat
        from resources.profile import Profile
        from resources.torch_turn import Turn

        profile = Profile.model_validate_json(settings.profile)
        self._chat = Chat(profile, Turn(threads=profile.workers.torch_threads))

    @staticmethod
    def prepare(settings: ChatSettings, item: ChatItem, wants: tuple[str, ...]) -> ChatItem:  # noqa: ARG004 - of the contract
        """The prompt itself: the model's own template writes it out."""
        return item

    def run(self, orders: Sequence[object], prepared: Sequence[ChatItem]) -> list[dict[str, Reply | Refusal]]:  # noqa: ARG002
        """The reply to each prompt."""
        return [{"reply": outcome} for outcome in self._chat.replies(prepared)]
