"""Recordings and texts through tiny models: overlapped, decoded once and bucketed, against the plain loop."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import soundfile

from assets.content.decoding import decode
from assets.content.listening import ear_needs, hear, open_ears
from benchmarks.claims import Claim, median_s
from resources.captioner import Heard
from resources.model_settings import WorkersSection
from resources.nv_embed_encoder import NVEmbedEncoder
from resources.profile import Profile, chosen_profile
from resources.providers import audio_encoder, captioner
from resources.sample.checkpoints.__main__ import write_all
from resources.torch_turn import Turn

RECORDINGS, RECORDING_S = 16, 60
TEXTS, TEXTS_A_BATCH = 1024, 16
GOAL_OVERLAP, GOAL_TOGETHER, GOAL_BUCKETS = 1.5, 1.5, 1.5


def recordings(folder: Path) -> pl.DataFrame:
    """MP3 files of 44.1 kHz stereo as (track_id, path, sha256): tones, noise and pauses, unlike each other."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(RECORDINGS):
        times_s = np.arange(RECORDING_S * 44_100) / 44_100
        tone = sum(np.sin(2 * np.pi * hertz * times_s) for hertz in rng.uniform(100, 3_000, 4))
        sound = 0.1 * tone * (np.sin(2 * np.pi * times_s / 7) > -0.5) + 0.02 * rng.standard_normal(len(times_s))
        path = folder / f"{number:02d}.mp3"
        soundfile.write(path, np.stack([sound, 0.7 * sound], axis=1), 44_100, format="MP3")
        rows.append((f"t{number:02d}", path.name, sha256(path.read_bytes()).hexdigest()))
    return pl.DataFrame(rows, schema=["track_id", "path", "sha256"], orient="row")


@contextmanager
def heard_by(needs: list[str], files: pl.DataFrame, root: Path, profile: Profile) -> Iterator[Callable[[], object]]:
    """Work that hears all recordings anew for these needs; workers stay between its rounds, and nothing is kept."""
    wanted = [ear_needs(profile)[need]._replace(identity=None) for need in needs]
    with open_ears(wanted, root=root, profile=profile, kept=root, log=lambda _line: None) as ears:
        yield lambda: hear(ears, files, part="all")


def plain(need: str, files: pl.DataFrame, root: Path, profile: Profile) -> Callable[[], object]:
    """Work that decodes one recording after the other and gives each to the model, which has all cores."""
    turn = Turn(threads=os.cpu_count() or 1)
    if need == "caption":
        captions = captioner(profile, turn)
        rate_hz = captions.sample_rate_hz or 0
        listen: Callable[[np.ndarray], object] = lambda samples_N: captions.caption([Heard("", samples_N=samples_N)])  # noqa: E731
    else:
        kinds = {"audio": profile.embeddings.audio_encoder, "sonic": profile.embeddings.sonic_encoder}
        encoder = audio_encoder(kinds[need], profile, turn)
        rate_hz = encoder.sample_rate_hz
        listen = lambda samples_N: encoder.encode([samples_N])  # noqa: E731

    def work() -> None:
        for path in files["path"]:
            with (root / path).open("rb") as file:
                listen(decode(file, rates_hz=[rate_hz], max_s=1200).samples[rate_hz])

    return work


def overlapped(root: Path, files: pl.DataFrame, profile: Profile) -> Claim:
    """One model: decoding beside it, chunks of several recordings in one batch."""
    alternative = median_s(plain("audio", files, root, profile))
    with heard_by(["audio"], files, root, profile) as work:
        ours = median_s(work)
    ratio = alternative / ours
    goal = f">= {GOAL_OVERLAP}"
    return Claim(
        "recordings through MusicFM, overlapped (plain loop)",
        ours,
        alternative,
        ratio,
        goal,
        ratio >= GOAL_OVERLAP,
        "s",
    )


def together(root: Path, files: pl.DataFrame, profile: Profile) -> Claim:
    """Three models: each recording decoded once for all of them."""
    needs = ["audio", "sonic", "caption"]
    alternative = sum(median_s(plain(need, files, root, profile)) for need in needs)
    with heard_by(needs, files, root, profile) as work:
        ours = median_s(work)
    ratio = alternative / ours
    name = "recordings through three models, decoded once (a plain loop each)"
    return Claim(name, ours, alternative, ratio, f">= {GOAL_TOGETHER}", ratio >= GOAL_TOGETHER, "s")


def bucketed(profile: Profile) -> Claim:
    """Texts of like lengths together, against batches as they come; both are padded to their longest."""
    rng = np.random.default_rng(5)
    lengths = np.minimum(rng.lognormal(3.5, 1.0, TEXTS).astype(int) + 1, 700)
    texts = [" ".join(rng.choice(["la", "night", "river", "gold", "slow"], length)) for length in lengths]
    encoder = NVEmbedEncoder(profile.nv_embed, models=Path(profile.models), turn=Turn(threads=os.cpu_count() or 1))
    starts = range(0, TEXTS, TEXTS_A_BATCH)
    ours = median_s(lambda: encoder.encode(texts))
    alternative = median_s(lambda: [encoder.encode(texts[start : start + TEXTS_A_BATCH]) for start in starts])
    ratio = alternative / ours
    name = "texts through NV-Embed, bucketed by length (in order)"
    return Claim(name, ours, alternative, ratio, f">= {GOAL_BUCKETS}", ratio >= GOAL_BUCKETS, "s")


def measure() -> list[Claim]:
    """All three."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        profile = chosen_profile({"MUSIC_PROFILE": "paper", **write_all(root / "models")})
        workers = WorkersSection(preparers=os.cpu_count() or 1, batch=4)
        nv_embed = profile.nv_embed.model_copy(update={"texts": TEXTS_A_BATCH})
        profile = profile.model_copy(update={"workers": workers, "nv_embed": nv_embed})
        files = recordings(root)
        return [overlapped(root, files, profile), together(root, files, profile), bucketed(profile)]


if __name__ == "__main__":
    for claim in measure():
        print(*claim)
