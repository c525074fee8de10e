"""A tiny folder of published data, and a world that fills a lake of its own from it."""

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest

from dagster_project import definitions
from dagster_project.filling import World
from dagster_project.settings import settings
from resources.lake import Lake
from resources.raw import RawFolder


class Published:
    """A folder of published data of slices with two tracks a playlist."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "mpd").mkdir(parents=True)

    def put_slice(self, name: str, pids: Sequence[int]) -> Path:
        """Writes a slice of these playlists, in place of one of that name; its path."""
        tracks = [{"track_uri": f"spotify:track:{n}", "track_name": f"T{n}", "artist_name": "A"} for n in range(2)]
        playlists = [{"pid": pid, "name": f"P{pid}", "modified_at": 1_509_494_400, "tracks": tracks} for pid in pids]
        path = self.root / "mpd" / f"{name}.json"
        path.write_text(json.dumps({"info": {}, "playlists": playlists}))
        return path


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """Published data with one slice of two playlists and nothing else."""
    folder = Published(tmp_path / "raw")
    folder.put_slice("mpd.slice.0-1", [0, 1])
    return folder


@pytest.fixture
def environment(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an empty lake; the environment names it and the published data. Definitions read the environment
    when they load, so they are loaded again, and once more afterwards.
    """
    lake = tmp_path / "lake"
    monkeypatch.setenv("MUSIC_RAW", str(published.root))
    monkeypatch.setenv("MUSIC_LAKE", str(lake))
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")
    importlib.reload(definitions)
    yield lake
    monkeypatch.undo()
    importlib.reload(definitions)


@pytest.fixture
def small(environment: Path) -> Iterator[World]:
    """A world over the published data and an empty lake, with Dagster's history in memory."""
    chosen = settings()
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, Lake(root=str(chosen.lake)), RawFolder(root=str(chosen.raw)), chosen.profile)
