"""The assets of 3MToken's nine modalities."""

from importlib import import_module
from pathlib import Path

import dagster as dg
import polars as pl

from assets.catalog.tables import TRACKS
from assets.embeddings.tables import M3_VECTORS
from assets.making import MAKINGS
from assets.partitions import MPD_SLICES, TRACK_SHARDS
from dagster_project.stages import STAGES
from resources.lake import Lake
from resources.m3_settings import M3_MODALITIES
from resources.profile import EMBEDDED
from resources.raw import RawFolder

MODULES = {stage: import_module(f"assets.{stage}.defs") for stage in STAGES}  # each needs those before it
TABLES = [M3_VECTORS[modality] for modality in M3_MODALITIES]
SHARD = TRACK_SHARDS.get_partition_keys()[0]


def test_each_modality_takes_vectors_that_were_made_elsewhere(tmp_path: Path) -> None:
    """With a file of each, nothing but the catalog is read, and a track that the file lacks has no vector."""
    lake, raw = Lake(root=str(tmp_path / "lake")), RawFolder(root=str(tmp_path))
    row = dict.fromkeys(TRACKS.schema.column_names()) | {"title": "t", "artist": "a", "shard": SHARD}
    rows = [row | {"track_id": name, "is_warm": False, "train_appearances": 0, "plays": 0} for name in "ab"]
    lake.write(
        TRACKS, pl.DataFrame(rows, schema=TRACKS.empty().schema), partition=SHARD, attempt=lake.claim(TRACKS, SHARD)
    )
    (tmp_path / "embeddings").mkdir()
    for table in TABLES:
        file = raw.vectors(table.name.removesuffix("_vectors"))
        pl.DataFrame({"track_id": ["a"], "vector": [[0.0, 2.0]]}).write_parquet(file)
    made = dg.materialize(
        [getattr(MODULES["embeddings"], table.name) for table in TABLES],
        partition_key=SHARD,
        resources={"lake": lake, "raw": raw, "profile": EMBEDDED},
    )
    assert made.success
    for table in TABLES:
        assert lake.read(table, SHARD).select("track_id", "vector").rows() == [("a", [0.0, 1.0]), ("b", None)]


def test_no_modality_reads_slices() -> None:
    """A new slice reaches their shards through the catalog and what is made of it, so untouched shards stay current."""
    read = {table.path for made in TABLES for table in MAKINGS[made.path].reads}
    assert [path for path in sorted(read) if MAKINGS[path].partitions is MPD_SLICES] == []
