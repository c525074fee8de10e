"""Rows of evaluation/cbr."""

import numpy as np
import polars as pl
import pytest

from assets.evaluation.cbr import SYSTEMS, catalog_of, cbr_rows, protocol_rows
from assets.evaluation.cbr_cases import CaseCounts, Cases, pair_cases, playlist_cases
from assets.evaluation.cbr_counts import CatalogCodes, catalog_codes
from assets.evaluation.published import TABLE_1
from resources.m3_settings import M3_MODALITIES, Evaluation

SETTINGS = Evaluation(ks=[1, 2], resamples=200, seed=7)
TRACKS = 12


def catalog() -> pl.DataFrame:
    """Twelve tracks in two shards; the higher the number, the more popular."""
    tracks = pl.DataFrame(
        {"track_id": [f"t{n:02}" for n in range(TRACKS)], "shard": [f"s{n % 2}" for n in range(TRACKS)]}
    )
    return catalog_of(tracks, pl.DataFrame({"track_id": tracks["track_id"], "popularity": range(TRACKS)}))


def codes() -> CatalogCodes:
    """Tracks of one shard share all of 3MToken's codes and none of the baselines'."""
    m3 = np.repeat([0, 1], TRACKS // 2)[:, None].repeat(3, axis=1)
    beside = np.arange(TRACKS)[:, None].repeat(9, axis=1)
    return catalog_codes([m3] * 9, [(2, 2, 2)] * 9, [beside] * 2, [(TRACKS,) * 9] * 2)


def vectors(modality: str, shard: str) -> pl.DataFrame:
    """One direction a shard, in one modality."""
    ids = catalog().filter(pl.col("shard") == shard)["track_id"]
    vector = {"s0": [1.0, 0.0], "s1": [0.0, 1.0]}[shard] if modality == "tc" else None
    return pl.DataFrame({"track_id": ids, "vector": pl.Series([vector] * len(ids), dtype=pl.Array(pl.Float32, 2))})


def protocols() -> dict[str, Cases]:
    """Two playlists of one shard each and no pairs."""
    playlists = pl.DataFrame(
        {"track_ids": [["t00", "t02", "t04"], ["t01", "t11"]], "seed_ids": [["t00", "t04"], ["t01"]]}
    )
    pairs = pl.DataFrame(schema=dict.fromkeys(["listener_id", "seed_id", "target_id"], pl.String))
    ids = catalog()["track_id"]
    return {"cp": playlist_cases(playlists, ids), "co": pair_cases(pairs, ids)}


def rows(threads: int = 1) -> pl.DataFrame:
    """All rows of the small world."""
    return cbr_rows(catalog(), protocols(), codes(), vectors, weights=[1] * 9, settings=SETTINGS, threads=threads)


def value(table: pl.DataFrame, system: str, k: int, column: str = "value") -> float:
    """One figure."""
    return table.row(by_predicate=(pl.col("system") == system) & (pl.col("k") == k), named=True)[column]


def test_every_system_has_a_row_a_k() -> None:
    """All systems on playlists, and no row of a protocol without cases."""
    table = rows()
    assert table.height == len(SYSTEMS) * 2
    assert set(table["system"]) == set(SYSTEMS)
    assert set(table["protocol"]) == {"cp"}
    assert set(table["cases"]) == {3}
    assert {f"m3token_without_{modality}" for modality in M3_MODALITIES} < set(SYSTEMS)


def test_values_are_mean_probabilities() -> None:
    """Of five equal tracks two, two and one are targets: at k=1 (2/5 + 2/5 + 1/5) / 3, at k=2 by pairs of places."""
    table = rows()
    assert value(table, "m3token", 1) == pytest.approx((2 / 5 + 2 / 5 + 1 / 5) / 3)
    assert value(table, "m3token", 2) == pytest.approx((0.7 + 0.7 + 0.4) / 3)  # 1 - (3 x 2) / (5 x 4); 2 / 5
    assert value(table, "embeddings", 1) == pytest.approx(value(table, "m3token", 1))
    # Nothing is equal: 2, 2 and 1 targets of 11.
    assert value(table, "kmeans", 1) == value(table, "chance", 1) == pytest.approx((2 / 11 + 2 / 11 + 1 / 11) / 3)
    assert value(table, "popularity", 1) == pytest.approx(1 / 3)  # t11 for the seed t01


def test_the_difference_is_of_the_same_cases() -> None:
    """How far each system is below m3token; m3token not at all, in every resample."""
    table = rows()
    behind = value(table, "m3token", 1) - value(table, "kmeans", 1)
    assert value(table, "kmeans", 1, "behind") == pytest.approx(behind)
    assert value(table, "kmeans", 1, "behind_low") > 0
    assert [value(table, "m3token", 1, f"behind{end}") for end in ("", "_low", "_high")] == [0, 0, 0]


def test_intervals_hold_the_value() -> None:
    """Low, value and high are in this order, and two playlists that differ leave room between them."""
    table = rows()
    assert table.select(((pl.col("low") <= pl.col("value")) & (pl.col("value") <= pl.col("high"))).all()).item()
    assert value(table, "m3token", 1, "low") < value(table, "m3token", 1, "high")


def test_rows_are_the_same_whatever_the_threads() -> None:
    """To the bit."""
    assert rows(threads=3).equals(rows())


def test_the_papers_figures_stand_beside_theirs_alone() -> None:
    """3MToken, K-means, VQ-VAE and seven modalities at the paper's k; null elsewhere."""
    counts = CaseCounts(*(np.ones((2, len(SYSTEMS)), np.int64) for _ in range(3)))
    table = protocol_rows("co", SYSTEMS, counts, np.array([0, 1]), settings=Evaluation(resamples=2))
    assert value(table, "m3token", 5, "published") == 0.300
    assert value(table, "kmeans", 50, "published") == 0.495
    assert value(table, "m3token_tc", 10, "published") == 0.239
    assert set(table.drop_nulls("published")["system"]) == set(TABLE_1)
    assert table.drop_nulls("published").height == 10 * 4
