"""The `paper` profile: the whole corpus made by the papers' models, here tiny checkpoints in the official formats."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import psutil
import pytest

from assets.content.tables import CAPTIONS, MGPHOT_RATINGS, SEGMENTS, TRANSCRIPTS
from assets.embeddings.tables import SONIC_VECTORS, VECTORS
from assets.evaluation.tables import TALKPLAY
from assets.training.tables import TALKPLAY_MODEL
from resources.lake import Lake
from resources.sample.checkpoints.__main__ import write_all
from resources.sample.world import WorldSize, make_world

SIZE = WorldSize(playlists=24, tracks=60, listeners=4, plays=600, playlist_length=10.0, slice_size=12, audio_s=2.0)
BY_MODELS = (MGPHOT_RATINGS, TRANSCRIPTS, SEGMENTS, CAPTIONS, VECTORS["semantic"], VECTORS["audio"], SONIC_VECTORS)
# What the paper's numbers need more data, or a longer wait, for.
SETTINGS = {
    "MUSIC_PROFILE": "paper",
    "MUSIC_CATALOG__TEST_PLAYLISTS": "2",
    "MUSIC_CATALOG__MIN_LISTENER_PLAYS": "10",
    "MUSIC_CATALOG__MIN_LISTENER_SESSIONS": "1",
    "MUSIC_CATALOG__MIN_SESSION_TRACKS": "2",
    "MUSIC_CATALOG__MIN_TRACK_PLAYS": "1",
    "MUSIC_EMBEDDINGS__ITEM2VEC_WORKERS": "1",  # several do not repeat
    "MUSIC_TOKENS__KMEANS_K": "8",
    "MUSIC_TOKENS__IS_K_CAPPED": "true",
    "MUSIC_M3__IS_SIZE_CAPPED": "true",
    "MUSIC_M3__EPOCHS": "2",
    "MUSIC_M3__HIDDEN": "[32,16]",
    "MUSIC_SHARDS__VALIDATION_SHARE": "0.1",
    "MUSIC_WHISPER__BEAMS": "2",
    "MUSIC_WHISPER__TEMPERATURES": "[0.0,0.4]",
    "MUSIC_LP_MUSICCAPS__BEAMS": "2",
    "MUSIC_LP_MUSICCAPS__MAX_TOKENS": "16",
    "MUSIC_CONVERSATIONS__LANGUAGE_MODEL": "rules",  # Gemini's are test_paid_run's
    "MUSIC_CONVERSATIONS__DIALOGUES": "1",
    "MUSIC_TALKPLAY__THREADS": "1",
    "MUSIC_RECOMMENDING__BEAMS": "8",
    "MUSIC_RECOMMENDING__RESPONSE_TOKENS": "8",
    "MUSIC_EVALUATION__QUERIES": "6",
    "MUSIC_MGPHOT__TRACKS": "6",
    "MUSIC_MGPHOT__ASKED": "all",
    "MUSIC_ANSWERS__RE_ASKS": "0",
    "MUSIC_WORKERS__BATCH": "4",
    "MUSIC_WORKERS__PREPARERS": "1",
}
TOKEN = "0" * 64  # of a cluster that this test starts and ends


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the runs: tiny checkpoints, and a world of a few tracks."""
    folder = tmp_path_factory.mktemp("paper")
    return {**SETTINGS, **write_all(folder / "models")}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of published data of a few tracks, and half of their recordings: the models take seconds for each."""
    folder = tmp_path_factory.mktemp("raw") / "world"
    make_world(folder, size=SIZE, seed=13)
    for path in sorted((folder / "audio").iterdir())[::2]:
        path.unlink()
    return folder


@pytest.fixture(scope="module")
def in_process(
    journey: ModuleType, small: Path, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The lake that one process made."""
    lake = tmp_path_factory.mktemp("lake") / "lake"
    journey.run(small, lake, **settings)
    return lake


class Cluster(NamedTuple):
    """Where a Ray cluster listens, and the folder of its logs."""

    address: str
    folder: str


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A Ray cluster of two nodes on this machine, each with a raylet of its own."""
    folder = tempfile.mkdtemp(prefix="ray")  # not pytest's: its path is too long for the sockets in it
    ray = Path(sys.executable).with_name("ray")
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    address = f"127.0.0.1:{_free_port()}"
    common = [
        "--num-cpus=1",
        "--object-store-memory=100000000",
        "--disable-usage-stats",
        f"--temp-dir={folder}",
    ]
    head = ["--head", f"--port={address.split(':')[1]}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    try:
        for role in (head, [f"--address={address}", "--node-ip-address=127.0.0.1"]):
            command = [str(ray), "start", *role, *(common if role is head else common[:-1])]
            started = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
            assert started.returncode == 0, started.stdout + started.stderr
        yield Cluster(address, folder)
    finally:
        _end(Cluster(address, folder))
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _end(cluster: Cluster) -> None:
    """Ends the processes of this cluster, and no other's."""
    port = cluster.address.split(":")[1]
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        is_named = f":{port}" in command or f"gcs_server_port={port}" in command
        if is_named or _is_of(process, cluster.folder):
            process.kill()


def _kill_one_worker(folder: str, killed: list[int], stop: threading.Event) -> None:
    """Kills the first worker of this cluster, and of no other test's, that is seen at work."""
    while not stop.is_set():
        for process in psutil.process_iter(["cmdline"]):
            at_work = (process.info["cmdline"] or [""])[0].startswith("ray::StationActor.do")
            if at_work and _is_of(process, folder):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                return
        time.sleep(0.02)


def _is_of(process: psutil.Process, folder: str) -> bool:
    """Whether the process writes its log into the folder of that cluster."""
    try:
        return str(Path(f"/proc/{process.pid}/fd/1").readlink()).startswith(folder)
    except OSError:
        return False


def test_the_papers_models_make_the_corpus(in_process: Path) -> None:
    """Transcripts are Whisper's, captions LP-MusicCaps', vectors MusicFM's, CLAP's and NV-Embed's."""
    lake = Lake(root=str(in_process))
    transcripts = lake.read(TRANSCRIPTS)
    assert (transcripts["status"] == "sung").sum() > 10
    assert {origin.split()[0] for origin in transcripts["origin"].drop_nulls()} == {"openai-whisper"}
    assert lake.read(SEGMENTS)["end_s"].is_not_null().all()
    assert lake.read(CAPTIONS)["captioner"].str.to_lowercase().str.starts_with("lp-musiccaps").all()
    for table, name in (
        (VECTORS["semantic"], "nv-embed"),
        (VECTORS["lyrics"], "nv-embed"),
        (VECTORS["audio"], "musicfm"),
        (SONIC_VECTORS, "clap"),
    ):
        vectors = lake.read(table)
        assert vectors["encoder"].str.to_lowercase().str.contains(name).all(), table.path
    assert lake.read(VECTORS["audio"])["vector"].is_not_null().sum() > 10


def test_the_papers_base_model_is_expanded_and_judged(in_process: Path) -> None:
    """Llama-3.2's 302 words and 5 x 9 codes; its variants stand beside CLAP and the other rivals."""
    lake = Lake(root=str(in_process))
    for variant in ("full", "without_self_similarity"):
        config = json.loads((lake.file(TALKPLAY_MODEL, variant) / "config.json").read_text())
        assert (config["model_type"], config["rope_parameters"]["rope_type"]) == ("llama", "llama3")
        assert config["vocab_size"] == 302 + 5 * 9 + 2
    systems = set(lake.read(TALKPLAY)["system"])
    assert {"talkplay_constrained", "talkplay_without_self_similarity", "clap", "dense", "bm25"} <= systems


def test_a_cluster_makes_the_same_corpus_although_a_worker_is_killed(
    journey: ModuleType, small: Path, settings: dict[str, str], in_process: Path, cluster: Cluster, tmp_path: Path
) -> None:
    """Two nodes, one worker each, one of them killed at work: each model's tables have the content of one process."""
    lake = tmp_path / "lake"
    shutil.copytree(in_process, lake)
    journey.forget(lake, *BY_MODELS)
    shutil.rmtree(lake / ".kept")
    ray = {"MUSIC_WORKERS__KIND": "ray", "MUSIC_WORKERS__COUNT": "2", "RAY_ADDRESS": cluster.address}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    killed: list[int] = []
    stop = threading.Event()
    killer = threading.Thread(target=_kill_one_worker, args=(cluster.folder, killed, stop))
    killer.start()
    try:
        journey.run(small, lake, "--stages", "content", "embeddings", **settings, **ray, **token)
    finally:
        stop.set()
        killer.join()
    assert killed
    lakes = [Lake(root=str(root)) for root in (lake, in_process)]
    for table in BY_MODELS:
        assert lakes[0].version(table) == lakes[1].version(table), table.path
