"""The asset evaluation/cbr over a small lake, and its check."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from types import ModuleType

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.catalog.tables import PLAYLIST_SPLITS, SESSION_SPLITS, SESSIONS, TRACKS
from assets.embeddings.tables import M3_VECTORS
from assets.evaluation.cbr_tokens import BASELINES
from assets.evaluation.tables import CBR
from assets.making import MAKINGS
from assets.partitions import MPD_SLICES
from assets.sources.tables import PLAYLIST_TRACKS
from assets.tokens.codebooks import codebook_hash
from assets.tokens.tables import KMEANS_CODEBOOKS, M3_BASELINES, M3_CODEBOOKS, M3_TOKENS, VQVAE_CODEBOOKS
from dagster_project.stages import STAGES
from resources.lake import Lake
from resources.m3_settings import M3_MODALITIES
from resources.profile import EMBEDDED
from resources.raw import RawFolder
from resources.tables import Table

SLICE = "mpd.slice.0-9"
DAY = datetime(2009, 1, 1, tzinfo=UTC)
IDS = [f"t{n:02}" for n in range(24)]


@pytest.fixture(scope="module")
def stage() -> ModuleType:
    """The definitions of the stage; each needs those before it."""
    return [import_module(f"assets.{name}.defs") for name in STAGES][-1]


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """A history that knows one slice."""
    with dg.DagsterInstance.ephemeral() as empty:
        empty.add_dynamic_partitions(str(MPD_SLICES.name), [SLICE])
        yield empty


@pytest.fixture(scope="module")
def lake(stage: ModuleType, instance: dg.DagsterInstance, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """All that the asset reads."""
    lake = Lake(root=str(tmp_path_factory.mktemp("lake")))
    fill(lake, instance)
    return lake


def write(lake: Lake, instance: dg.DagsterInstance, table: Table, rows: pl.DataFrame | None = None) -> None:
    """Commits the rows as the table's first partition, the others empty; columns not given are null or the same."""
    empty = table.empty()
    rows = empty if rows is None else rows
    for name in set(empty.columns) - set(rows.columns):
        same = {"shard": "shard_000", "played_at": DAY}.get(name, "x" if empty.schema[name] == pl.String else 0)
        filler = None if table.schema.columns()[name].nullable else same
        rows = rows.with_columns(pl.lit(filler).cast(empty.schema[name]).alias(name))
    rows = rows.cast({name: kind for name, kind in empty.schema.items() if name != "vector"}).select(empty.columns)
    for key in MAKINGS[table.path].keys(instance):
        lake.write(table, rows, partition=key, attempt=lake.claim(table, key))
        rows = rows.clear()


def fill(lake: Lake, instance: dg.DagsterInstance) -> None:
    """Four kinds of six tracks: 3MToken's codes are the kind, the baselines' all differ; a playlist of three of each
    kind, and a session of two.
    """
    tracks = pl.DataFrame({"track_id": IDS}).with_columns(kind=pl.row_index() // 6, place=pl.row_index() % 6)
    playlists = tracks.filter(pl.col("place") < 3).select(
        playlist_id="kind", position="place", track_uri="track_id", slice=pl.lit(SLICE)
    )
    listener = pl.format("u{}", "kind")
    sessions = tracks.filter(pl.col("place") < 2).select(
        "track_id", listener_id=listener, session_id=listener + "/0", position="place"
    )
    write(lake, instance, PLAYLIST_TRACKS, playlists)
    write_splits(lake, instance, "test")
    write(lake, instance, SESSIONS, sessions)
    write(lake, instance, TRACKS, tracks.select("track_id"))

    levels = pl.concat_list("kind", "kind", "kind")
    m3 = tracks.select("track_id", *(levels.alias(modality) for modality in M3_MODALITIES))
    code = pl.concat_list(pl.row_index())
    beside = tracks.select("track_id", *(code.alias(modality) for modality in M3_MODALITIES))
    present = codebook_hash(M3_CODEBOOKS.empty())
    write(lake, instance, M3_TOKENS, m3.with_columns(codebook_hash=pl.lit(present)))
    both = [beside.with_columns(scheme=pl.lit(name), codebook_hash=pl.lit(present)) for name in BASELINES]
    write(lake, instance, M3_BASELINES, pl.concat(both))
    for table in (M3_CODEBOOKS, KMEANS_CODEBOOKS, VQVAE_CODEBOOKS):
        write(lake, instance, table)
    directions = pl.Series("vector", np.eye(4, dtype=np.float32)[tracks["kind"].to_numpy()])
    for table in M3_VECTORS.values():
        write(lake, instance, table, tracks.select("track_id", directions))


def write_splits(lake: Lake, instance: dg.DagsterInstance, split: str) -> None:
    """Puts all playlists and sessions on one side."""
    splits = pl.DataFrame({"split": [split] * 4})
    write(lake, instance, PLAYLIST_SPLITS, splits.with_columns(playlist_id=pl.row_index(), slice=pl.lit(SLICE)))
    write(lake, instance, SESSION_SPLITS, splits.with_columns(session_id=pl.format("u{}/0", pl.row_index())))


def made(stage: ModuleType, lake: Lake, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """A run of the asset with its checks."""
    resources = {"lake": lake, "raw": RawFolder(root=lake.root), "profile": EMBEDDED}
    return dg.materialize([stage.cbr, stage.m3token_leads], instance=instance, resources=resources)


def test_the_table_is_made_and_shown(stage: ModuleType, lake: Lake, instance: dg.DagsterInstance) -> None:
    """Five tracks are equal to a seed, so that 5 places hold every target; without an equal code it is 5 of 23. The
    UI has both tables and the plot.
    """
    result = made(stage, lake, instance)
    assert result.success
    rows = lake.read(CBR).filter(pl.col("k") == 5)
    values = {(system, protocol): value for system, protocol, value in rows["system", "protocol", "value"].rows()}
    assert values["m3token", "cp"] == values["m3token", "co"] == values["embeddings", "cp"] == 1
    assert values["kmeans", "co"] == values["vqvae", "co"] == pytest.approx(5 / 23)
    assert set(rows["cases"]) == {4 * 3, 4 * 2}
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key.path[-1] == "cbr"]
    shown = event.materialization.metadata
    assert all(
        isinstance(shown[name], dg.MarkdownMetadataValue) for name in ("Table 1", "one modality left out", "Hit@k")
    )
    (check,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "m3token_leads"]
    assert check.passed
    assert check.metadata["compared"].value == 16
    # With 23 candidates all systems hit at 50.
    assert check.metadata["above, outside the 95 % interval"].value == 12


def test_no_test_data_give_an_empty_table(stage: ModuleType, lake: Lake, instance: dg.DagsterInstance) -> None:
    """No held-out playlist and no held-out session: nothing fails."""
    write_splits(lake, instance, "train")
    assert made(stage, lake, instance).success
    assert lake.read(CBR).is_empty()


def test_the_check_names_where_3mtoken_is_not_above(stage: ModuleType, tmp_path) -> None:
    """A warning: equal is not above."""
    lake = Lake(root=str(tmp_path))
    rows = [("kmeans", "cp", "hit", 5, 0.3, 0.2, 0.4, 0.0, -0.1, 0.1, 9, None)]
    rows.append(("vqvae", "cp", "hit", 5, 0.2, 0.1, 0.3, 0.1, 0.05, 0.2, 9, None))
    frame = pl.DataFrame(rows, schema=CBR.empty().schema, orient="row")
    lake.write(CBR, frame, attempt=lake.claim(CBR))
    result = stage.m3token_leads(lake=lake)
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert result.metadata["where not"].value == "kmeans cp k=5"
