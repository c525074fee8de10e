"""What every model makes of each recording: asked of the workers, which decode a recording once for all of them.

Outcomes are kept by the file's hash, so the first asset that asks has everything heard that the profile wants, and the
assets of the single models find it there; after one model's settings changed, only that model listens again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assets.code_version import module_version
from assets.content.hearing import EDITION, NEEDS, Facts, HearingSettings, Outcomes, Recorded
from assets.content.tempo import Rhythm
from resources.audio_encoder import AudioEncoder
from resources.captioner import Captioner
from resources.checkpoints import CheckpointError
from resources.profile import Profile
from resources.providers import audio_encoder, captioner, transcriber
from resources.transcriber import Transcriber, Transcript
from resources.workers import Crew, Need, Task, crew

WORKER = "assets.content.hearing:Hearing"
DECODABLE = ("decoded", "truncated", "capped")
KINDS = {"transcript": Transcript, "caption": str, "audio": np.ndarray, "sonic": np.ndarray}
FACTS_RATE_HZ = 8_000  # facts need no sound: the lowest rate is the cheapest


def ear_needs(profile: Profile, wanted: Iterable[str] = NEEDS) -> dict[str, Need]:
    """Of the needs that are `wanted`, those for which a provider of the profile listens.

    Each has the identity that its outcomes are kept under. Raises CheckpointError for a model that is not there.
    """
    heard = f"first {profile.content.max_audio_s} s, edition {EDITION}, {module_version('assets.content.decoding')}"
    needs = {}
    for need in wanted:
        if need == "facts":
            needs[need] = Need(need, f"facts, {heard}", Facts)
        elif need == "rhythm":
            rate_hz, version = profile.content.sample_rate_hz, module_version("assets.content.tempo")
            needs[need] = Need(need, f"rhythm at {rate_hz} Hz, {version}, {heard}", Rhythm)
        elif (provider := _provider(need, profile)).sample_rate_hz is not None:
            version = module_version(type(provider).__module__)
            needs[need] = Need(need, f"{provider.name}, {version}, {heard}", KINDS[need])
    return needs


def present_needs(profile: Profile, wanted: Iterable[str], *, log: Callable[[str], None]) -> list[Need]:
    """As `ear_needs`, but without those whose model is not there: their own assets will say so."""
    present: list[Need] = []
    for need in wanted:
        try:
            present += ear_needs(profile, [need]).values()
        except CheckpointError as error:
            log(f"{need} is not heard: {error}")
    return present


def open_ears(needs: Sequence[Need], *, root: Path, profile: Profile, kept: Path, log: Callable[[str], None]) -> Crew:
    """The workers for these needs; to be closed."""
    rates_hz = {need.name: _rate_hz(need.name, profile) for need in needs}
    settings = HearingSettings(str(root), profile.content.max_audio_s, rates_hz, profile.model_dump_json())
    return crew(profile.workers, WORKER, settings, needs, kept=kept, batch=profile.workers.batch, log=log)


def hear(ears: Crew, files: pl.DataFrame, *, part: str) -> dict[str, Outcomes]:
    """What was made of each recording of `files` (track_id, path, sha256), by track that has one."""
    recorded = files.drop_nulls("sha256").sort("track_id").select("track_id", "path", "sha256")
    tasks = [Task(row[2], Recorded(*row)) for row in recorded.iter_rows()]
    return dict(zip(recorded["track_id"], ears.map(tasks, part=part), strict=True))


@contextmanager
def open_ear(
    need: str, *, root: Path, profile: Profile, kept: Path, log: Callable[[str], None]
) -> Iterator[Callable[[pl.DataFrame, str], dict[str, Any]]]:
    """Listens for one need: a function of content/audio_files and its partition, to the outcome of each track.

    What the first asset had heard is found there. Recordings that cannot be decoded are left out. The model is looked
    for when the function is first called.
    """
    with ExitStack() as stack:

        @cache
        def ears() -> Crew:
            needs = [*ear_needs(profile, [need]).values()]
            return stack.enter_context(open_ears(needs, root=root, profile=profile, kept=kept, log=log))

        def listen(files: pl.DataFrame, part: str) -> dict[str, Any]:
            decodable = files.filter(pl.col("status").is_in(DECODABLE))
            return {track_id: outcomes[need] for track_id, outcomes in hear(ears(), decodable, part=part).items()}

        yield listen


def _provider(need: str, profile: Profile) -> Transcriber | Captioner | AudioEncoder:
    if need == "transcript":
        return transcriber(profile)
    if need == "caption":
        return captioner(profile)
    return audio_encoder(
        {"audio": profile.embeddings.audio_encoder, "sonic": profile.embeddings.sonic_encoder}[need], profile
    )


def _rate_hz(need: str, profile: Profile) -> int:
    if need == "facts":
        return FACTS_RATE_HZ
    if need == "rhythm":
        return profile.content.sample_rate_hz
    rate_hz = _provider(need, profile).sample_rate_hz
    assert rate_hz, "only needs whose provider listens have ears"
    return rate_hz
