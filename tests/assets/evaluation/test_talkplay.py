"""Rows of evaluation/talkplay."""

import numpy as np
import polars as pl
import pytest

from assets.evaluation.published import TABLE_2
from assets.evaluation.talkplay import turn_rows
from assets.evaluation.turn_counts import TurnCounts
from resources.m3_settings import Evaluation

SETTINGS = Evaluation(turn_ks=[1, 10, 100], resamples=200, seed=7)
TURNS = np.array([1, 2, 1, 2], np.int32)
GROUPS = np.array([0, 0, 1, 1])
IS_WARM = np.array([True, True, False, True])


def ranked(*ranks: int) -> TurnCounts:
    """Counts of cases whose only target has this rank."""
    return TurnCounts(np.array(ranks, np.int64) - 1, np.ones(len(ranks), np.int64), np.ones(len(ranks), np.int64))


def rows(protocol: str = "turns", **systems: TurnCounts) -> pl.DataFrame:
    """Rows of four turns of two playlists; two generated sequences of talkplay_sampled are tracks."""
    exact = {"talkplay_sampled": np.array([True, False, False, True])}
    systems = systems or {"talkplay_constrained": ranked(1, 2, 4, 20), "bm25": ranked(2, 4, 4, 200)}
    cases = {"turn_C": TURNS, "group_C": GROUPS, "is_warm_C": IS_WARM}
    return turn_rows(protocol, systems, **cases, exact=exact, settings=SETTINGS)


def row(table: pl.DataFrame, system: str, metric: str = "mrr", k: int = 0, part: str = "all") -> dict[str, float]:
    """One row."""
    keys = {"system": system, "part": part, "metric": metric, "k": k}
    return table.row(by_predicate=pl.all_horizontal(pl.col(name) == key for name, key in keys.items()), named=True)


def test_values_are_means_over_turns() -> None:
    """Ranks 1, 2, 4 and 20: the mean of their reciprocals, one first, three within 10, all within 100."""
    table = rows()
    assert row(table, "talkplay_constrained")["value"] == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 20) / 4)
    hits = [row(table, "talkplay_constrained", "hit", k)["value"] for k in (1, 10, 100)]
    assert hits == pytest.approx([1 / 4, 3 / 4, 1])
    assert row(table, "talkplay_sampled", "exact")["value"] == 2 / 4


def test_parts_have_the_turns_that_they_name() -> None:
    """Warm and cold targets, and each turn's number."""
    table = rows()
    shown = {part: row(table, "bm25", part=part) for part in ("all", "warm", "cold", "turn_01", "turn_02")}
    assert {part: figures["cases"] for part, figures in shown.items()} == dict(zip(shown, [4, 3, 1, 2, 2], strict=True))
    assert shown["cold"]["value"] == 1 / 4
    assert shown["turn_02"]["value"] == pytest.approx((1 / 4 + 1 / 200) / 2)
    assert set(table["part"]) == set(shown)


def test_a_part_without_turns_has_no_rows() -> None:
    """No cold track, no line about cold tracks."""
    cases = {"turn_C": TURNS, "group_C": GROUPS, "is_warm_C": np.ones(4, np.bool_)}
    table = turn_rows("human", {"bm25": ranked(1, 1, 1, 1)}, **cases, exact={}, settings=SETTINGS)
    assert set(table["part"]) == {"all", "warm", "turn_01", "turn_02"}


def test_the_difference_is_of_the_same_turns() -> None:
    """BM25 is one place behind in the first playlist and level or behind in the second, in every resample."""
    behind = row(rows(), "bm25")
    assert behind["behind"] == pytest.approx((1 / 2 + 1 / 4 + 0 + 1 / 20 - 1 / 200) / 4)
    assert behind["behind_low"] == pytest.approx((1 / 20 - 1 / 200) / 2)  # twice the second playlist
    assert behind["behind_high"] == pytest.approx((1 / 2 + 1 / 4) / 2)
    ours = row(rows(), "talkplay_constrained")
    assert [ours["behind"], ours["behind_low"], ours["behind_high"]] == [0, 0, 0]


def test_intervals_are_over_playlists() -> None:
    """Two playlists: a resample has the mean of one, of both or of the other."""
    figures = row(rows(), "talkplay_constrained")
    assert figures["low"] == pytest.approx((1 / 4 + 1 / 20) / 2)
    assert figures["high"] == pytest.approx((1 + 1 / 2) / 2)


def test_without_constrained_decoding_nothing_is_behind() -> None:
    """Null, as for a metric that talkplay_constrained does not have."""
    table = rows(bm25=ranked(1, 2, 3, 4))
    assert table["behind"].null_count() == table["behind_high"].null_count() == table.height
    assert row(rows(), "talkplay_sampled", "exact")["behind_low"] is None


def test_the_papers_figures_stand_beside_test_conversations_alone() -> None:
    """Of all tracks, for its own four systems, and the share of exact matches."""
    names = ["talkplay_constrained", "popularity", *TABLE_2]
    table = rows(**dict.fromkeys(names, ranked(1, 2, 3, 4))).drop_nulls("published")
    assert row(table, "dense", "hit", 10)["published"] == 0.042
    assert row(table, "talkplay_sampled")["published"] == 0.023
    assert row(table, "talkplay_sampled", "exact")["published"] == 0.497
    assert (set(table["part"]), set(table["system"]), table.height) == ({"all"}, set(TABLE_2), 4 * 4 + 1)
    assert rows("human", bm25=ranked(1, 2, 3, 4))["published"].is_null().all()


def test_rows_are_the_same_each_time() -> None:
    """To the bit."""
    assert rows().equals(rows())


def test_no_cases_have_no_rows() -> None:
    """A corpus without test conversations; nor has a protocol without systems."""
    nothing = {"turn_C": TURNS[:0], "group_C": GROUPS[:0], "is_warm_C": IS_WARM[:0]}
    assert turn_rows("turns", {"bm25": ranked()}, **nothing, exact={}, settings=SETTINGS).is_empty()
    assert turn_rows("turns", {}, **nothing, exact={}, settings=SETTINGS).is_empty()


def test_figures_of_other_cases_are_refused() -> None:
    """Two systems that were asked different turns are not laid side by side."""
    with pytest.raises(ValueError, match="turns: bm25 has figures of 3 cases, wanted 4"):
        rows(bm25=ranked(1, 2, 3))
