"""A recording heard once, for every model that wants it: the worker that decodes and listens.

What comes out for one recording is an outcome by need: `facts` and `rhythm` of the decoded samples, `transcript`,
`caption`, and `audio` and `sonic` vectors by the profile's providers. Light to import: the processes that decode
import this module.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assets.content.decoding import UndecodableError, decode
from resources.inside import open_inside
from resources.refusals import Refusal

if TYPE_CHECKING:
    from assets.content.tempo import Rhythm

EDITION = 1  # to be raised when this module makes something else of a recording: kept outcomes name it
NEEDS = ("facts", "rhythm", "transcript", "caption", "audio", "sonic")

Samples = NDArray[np.float32]
Outcomes = dict[str, Any]  # a result or Refusal, by need


class Recorded(NamedTuple):
    """One recording: a file under the folder of published data, as the manifest knows it."""

    track_id: str
    path: str
    sha256: str


class Facts(NamedTuple):
    """What can be decoded of a recording; the last three as content/audio_files has them."""

    decoded_s: float
    sample_rate_hz: int
    channels: int
    status: str


class Prepared(NamedTuple):
    """A decoded recording: its facts, its rhythm where that is wanted, and mono samples at each rate that is wanted."""

    facts: Facts
    rhythm: tuple[float | None, str | None, float | None, float | None, str] | None
    rates_hz: list[int]
    samples: list[Samples]

    def at(self, rate_hz: int) -> Samples:
        """The samples at one of the rates."""
        return self.samples[self.rates_hz.index(rate_hz)]


class HearingSettings(NamedTuple):
    """The folder of published data, the rate that each need listens at, and the profile as JSON."""

    root: str
    max_s: float
    rates_hz: dict[str, int]
    profile: str


class Hearing:
    """Decodes recordings, and holds the models that listen to them."""

    settings = HearingSettings
    item = Recorded
    prepared = Prepared

    def __init__(self, settings: HearingSettings) -> None:
        from resources.profile import Profile
        from resources.providers import audio_encoder, captioner, transcriber
        from resources.torch_turn import Turn

        profile = Profile.model_validate_json(settings.profile)
        turn = Turn(threads=profile.workers.torch_threads)
        self._root = Path(settings.root)
        self._rates_hz = settings.rates_hz
        self._transcriber = transcriber(profile, turn)
        self._captioner = captioner(profile, turn)
        kinds = {"audio": profile.embeddings.audio_encoder, "sonic": profile.embeddings.sonic_encoder}
        encoders = {kind: audio_encoder(kind, profile, turn) for kind in kinds.values()}
        self._encoders = {need: encoders[kind] for need, kind in kinds.items()}

    @staticmethod
    def prepare(settings: HearingSettings, item: Recorded, wants: tuple[str, ...]) -> Prepared | Refusal:
        """The recording decoded once, at each rate that is wanted.

        Reasons: those of `assets.content.decoding`, unreadable. Raises ValueError for a file that changed since the
        manifest: make content/audio_files again.
        """
        rates_hz = sorted({settings.rates_hz[want] for want in wants})
        try:
            with open_inside(Path(settings.root), item.path) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != item.sha256:
                    raise ValueError(f"{item.path} changed since content/audio_files was made: make that table again")
                heard = decode(file, rates_hz=rates_hz, max_s=settings.max_s)
        except UndecodableError as error:
            return Refusal(item.path, item.track_id, error.reason, error.detail)
        except OSError as error:
            return Refusal(item.path, item.track_id, "unreadable", error.strerror or str(error))
        rhythm = _rhythm(heard.samples, settings) if "rhythm" in wants else None
        facts = Facts(heard.decoded_s, heard.sample_rate_hz, heard.channels, heard.status)
        kept = sorted({settings.rates_hz[want] for want in wants if want not in ("facts", "rhythm")})
        return Prepared(facts, rhythm, kept, [heard.samples[rate_hz] for rate_hz in kept])

    def run(self, orders: Sequence[tuple[Recorded, tuple[str, ...]]], prepared: Sequence[Prepared]) -> list[Outcomes]:
        """What each order wants of its recording, in order."""
        outcomes: list[Outcomes] = [{} for _ in orders]
        for need in NEEDS:
            rows = [row for row, (_, wants) in enumerate(orders) if need in wants]
            if need == "sonic" and self._encoders["sonic"] is self._encoders["audio"]:
                for row in [row for row in rows if "audio" in outcomes[row]]:
                    outcomes[row]["sonic"] = outcomes[row]["audio"]
                rows = [row for row in rows if "audio" not in outcomes[row]]
            if rows:
                heard = self._heard(need, [orders[row][0] for row in rows], [prepared[row] for row in rows])
                for row, outcome in zip(rows, heard, strict=True):
                    outcomes[row][need] = outcome
        return outcomes

    def _heard(self, need: str, items: Sequence[Recorded], prepared: Sequence[Prepared]) -> Sequence[object]:
        from assets.content.tempo import Rhythm
        from resources.captioner import Heard
        from resources.transcriber import Recording

        if need == "facts":
            return [recording.facts for recording in prepared]
        if need == "rhythm":
            return [Rhythm._make(recording.rhythm) for recording in prepared if recording.rhythm]
        sounds = [recording.at(self._rates_hz[need]) for recording in prepared]
        if need == "transcript":
            pairs = zip(items, sounds, strict=True)
            return self._transcriber.transcribe(
                [Recording(item.track_id, self._root, item.path, sound) for item, sound in pairs]
            )
        if need == "caption":
            pairs = zip(items, sounds, strict=True)
            return self._captioner.caption([Heard(item.track_id, samples_N=sound) for item, sound in pairs])
        return self._encoders[need].encode(sounds)


def _rhythm(samples: dict[int, Samples], settings: HearingSettings) -> "Rhythm":
    from assets.content.tempo import tempo_and_key

    rate_hz = settings.rates_hz["rhythm"]
    return tempo_and_key(samples[rate_hz], rate_hz)
