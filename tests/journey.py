"""What the journey tests share: a small world, its environment, and runs of it in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from resources.sample.world import WorldSize, make_world
from resources.tables import Table

PROJECT = Path(__file__).parents[1]
MOST_S = 400.0  # that a run may take
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
    "MUSIC_TALKPLAY__THREADS": "1",
    "MUSIC_EVALUATION__QUERIES": "6",
    "MUSIC_WORKERS__PREPARERS": "0",  # a process would take longer to start than to decode so little
    "OMP_NUM_THREADS": "1",  # tests run side by side
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


def forget(lake: Path, *tables: Table) -> None:
    """Removes the tables of a lake."""
    for table in tables:
        shutil.rmtree(lake / table.stage / table.name)
        shutil.rmtree(lake / table.stage / "_commits" / table.name)


class Forking:
    """Starts runs in children of a process that has imported what they need."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name("forked_runs.py")), *options]
        environment = {**environment, "PYTHONPATH": str(PROJECT)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True)

    def start(self, arguments: tuple[str, ...], environment: dict[str, str], printed: Path) -> int:
        """A run, which prints to that file; its process."""
        return self._order({"arguments": arguments, "environment": environment, "printed": str(printed)})

    def end(self, process: int) -> int:
        """Waits for a run; its exit code."""
        return self._order({"wait": process, "most_s": MOST_S})

    def close(self) -> None:
        """Ends the process that starts them."""
        self._process.communicate()

    def _order(self, order: dict[str, Any]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def run(raw: Path, lake: Path, *arguments: str, **settings: str) -> str:
    """`make run` on that data and lake; what it printed. Raises if it failed."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as printed:
        process = _forking().start(arguments, environment(raw, lake, **settings), Path(printed.name))
        code, output = _forking().end(process), printed.read()
    assert code == 0, output[-8000:]
    return output


def run_alone(raw: Path, lake: Path) -> str:
    """The same in a process that nothing was imported for, as a person starts it."""
    command = [sys.executable, "-m", "dagster_project.run"]
    done = subprocess.run(
        command,
        env=environment(raw, lake),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MOST_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    return done.stdout


@cache
def _forking() -> Forking:
    """It ends with the process of the tests."""
    return Forking(environment(PROJECT, PROJECT))
