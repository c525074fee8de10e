"""What every model makes of each recording: asked of the workers, which decode a recording once for all of them.

Outcomes are kept by the file's hash, so the first asset that asks has everything heard that the profile wants, and the
assets of the single models find it there; after one model's settings changed, only that model listens again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from resources.workers import Crew, Need, Task, crew

from assets.code_version import module_version
from assets.content.hearing import Facts, HearingSettings, Outcomes, Recorded
from assets.content.tempo import Rhythm
from resources.audio_encoder import audio_encoder
from resources.captioner import captioner
from resources.profile import Profile
from resources.transcriber import Transcript, transcriber

WORKER = "assets.content.hearing:Hearing"
DECODABLE = ("decoded", "truncated", "capped")
FACTS_RATE_HZ = 8_000  # facts need no sound: the lowest rate is the cheapest


def ear_needs(profile: Profile) -> dict[str, Need]:
    """The needs for which a provider of the profile listens, with the identity that their outcomes are kept under."""
    heard = f"first {profile.content.max_audio_s} s, {module_version('assets.content.decoding')}"
    rhythm = f"rhythm at {profile.content.sample_rate_hz} Hz, {module_version('assets.content.tempo')}, {heard}"
    needs = {"facts": Need("facts", f"facts, {heard}", Facts), "rhythm": Need("rhythm", rhythm, Rhythm)}
    for need, provider, kind in (
        ("transcript", transcriber(profile), Transcript),
        ("caption", captioner(profile), str),
        ("audio", audio_encoder(profile.embeddings.audio_encoder, profile), np.ndarray),
        ("sonic", audio_encoder(profile.embeddings.sonic_encoder, profile), np.ndarray),
    ):
        if provider.sample_rate_hz is not None:
            version = module_version(type(provider).__module__)
            needs[need] = Need(need, f"{provider.name}, {version}, {heard}", kind)
    return needs


def open_ears(needs: Sequence[Need], *, root: Path, profile: Profile, kept: Path, log: Callable[[str], None]) -> Crew:
    """The workers for these needs; to be closed."""
    rates_hz = {
        "facts": FACTS_RATE_HZ,
        "rhythm": profile.content.sample_rate_hz,
        "transcript": transcriber(profile).sample_rate_hz,
        "caption": captioner(profile).sample_rate_hz,
        "audio": audio_encoder(profile.embeddings.audio_encoder, profile).sample_rate_hz,
        "sonic": audio_encoder(profile.embeddings.sonic_encoder, profile).sample_rate_hz,
    }
    settings = HearingSettings(
        str(root),
        profile.content.max_audio_s,
        {need: rate_hz for need, rate_hz in rates_hz.items() if rate_hz is not None},
        profile.model_dump_json(),
    )
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

    What the first asset had heard is found there. Recordings that cannot be decoded are left out.
    """
    needs = ear_needs(profile)
    wanted = [needs[need]] if need in needs else []
    with open_ears(wanted, root=root, profile=profile, kept=kept, log=log) as ears:

        def listen(files: pl.DataFrame, part: str) -> dict[str, Any]:
            decodable = files.filter(pl.col("status").is_in(DECODABLE))
            return {track_id: outcomes[need] for track_id, outcomes in hear(ears, decodable, part=part).items()}

        yield listen
