"""What the journey tests share: a small world, its environment, and runs of it in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

from resources.sample.world import WorldSize, make_world

PROJECT = Path(__file__).parents[1]
SIZE = WorldSize(playlists=90, tracks=160, listeners=8, plays=3000, playlist_length=12.0, slice_size=30, audio_s=2.0)
SETTINGS = {
    "MUSIC_PARTITIONS__TRACK_SHARDS": "2",
    "MUSIC_PARTITIONS__LISTENER_BUCKETS": "2",
    "MUSIC_CATALOG__TEST_PLAYLISTS": "2",
    "MUSIC_EMBEDDINGS__ITEM2VEC_EPOCHS": "5",
    "MUSIC_TOKENS__KMEANS_K": "12",
    "MUSIC_M3__SIZES": "[8,8,8]",
    "MUSIC_M3__HIDDEN": "[32,16]",
    "MUSIC_M3__LATENT_DIMENSIONS": "8",
    "MUSIC_M3__KMEANS_K": "16",
    "MUSIC_M3__VQVAE_K": "16",
    "MUSIC_M3__EPOCHS": "2",
    "MUSIC_MGPHOT__TRACKS": "20",
    "MUSIC_MGPHOT__ASKED": "all",
    "MUSIC_CONVERSATIONS__QUERY_TRACKS": "20",
    "MUSIC_SHARDS__CONTEXT_LENGTH": "512",
    "MUSIC_SHARDS__VALIDATION_SHARE": "0.1",
    "MUSIC_TALKPLAY__HIDDEN_SIZE": "16",
    "MUSIC_TALKPLAY__LAYERS": "1",
    "MUSIC_TALKPLAY__HEADS": "2",
    "MUSIC_TALKPLAY__FEED_FORWARD": "16",
    "MUSIC_TALKPLAY__STEPS": "4",
    "MUSIC_TALKPLAY__EVALUATE_EVERY": "2",
    "MUSIC_TALKPLAY__CHECKPOINT_EVERY": "2",
    "MUSIC_TALKPLAY__ROWS": "4",
    "MUSIC_EVALUATION__QUERIES": "6",
    "MUSIC_WORKERS__PREPARERS": "0",  # a process would take longer to start than to decode so little
}


def small_world(folder: Path) -> Path:
    """A folder of published data, small enough for a run of seconds."""
    make_world(folder, size=SIZE, seed=11)
    return folder


def environment(raw: Path, lake: Path, **settings: str) -> dict[str, str]:
    """The environment of a run on that data and lake, with further settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MUSIC_", "DAGSTER_"))}
    return {
        **inherited,
        **SETTINGS,
        "MUSIC_RAW": str(raw),
        "MUSIC_LAKE": str(lake),
        "PYTHONWARNINGS": "ignore",
        **settings,
    }


def run(raw: Path, lake: Path, *arguments: str, **settings: str) -> str:
    """`make run` on that data and lake; what it printed. Raises if it failed."""
    command = [sys.executable, "-m", "dagster_project.run", *arguments]
    done = subprocess.run(
        command,
        env=environment(raw, lake, **settings),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout
