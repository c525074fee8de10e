"""One small world on disk for all tests of the sample."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from resources.sample.world import WorldSize, WorldSummary, make_world

SMALL = WorldSize(playlists=130, tracks=240, listeners=14, plays=3_000, slice_size=50, audio_s=1.5)


class World(NamedTuple):
    """A world and what it says of itself."""

    folder: Path
    summary: WorldSummary

    def slices(self) -> list[dict[str, Any]]:
        """The decoded slice files, in order of their first pid."""
        slices = [json.loads(path.read_bytes()) for path in (self.folder / "mpd").iterdir()]
        return sorted(slices, key=lambda content: content["playlists"][0]["pid"])

    def playlists(self) -> list[dict[str, Any]]:
        """All playlists in order."""
        return [playlist for content in self.slices() for playlist in content["playlists"]]

    def latent(self) -> pl.DataFrame:
        """The hidden truth."""
        return pl.read_parquet(self.folder / "latent.parquet")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The small world of seed 7."""
    folder = tmp_path_factory.mktemp("sample") / "world"
    return World(folder, make_world(folder, size=SMALL, seed=7))
