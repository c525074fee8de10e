"""The token matcher against brute force, and its order, rule by rule."""

from collections import Counter
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.index.matching import WEIGHTS, Matcher, matcher_of
from resources.track_index import open_index, write_index

SMALL = (2, 2, 2, 2, 2)
MISSING = 2
# The query is 0 0 0 0 0 here, so a track's zeros are its matches.
ALL_MASKS_NM = np.array(list(product([1, 0], repeat=5)), dtype=np.int32)


class World(NamedTuple):
    """A small catalog and its queries, with so few codes that most tracks tie."""

    codes: np.ndarray
    queries: np.ndarray
    sizes: tuple[int, ...]
    weights: tuple[int, ...]
    top: int


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds of up to five modalities of one to three codes, missing codes included."""
    modalities = draw(st.integers(1, 5))
    sizes = tuple(draw(st.lists(st.integers(1, 3), min_size=modalities, max_size=modalities)))
    any_weights = st.lists(st.integers(1, 5), min_size=modalities, max_size=modalities)
    weights = tuple(draw(st.one_of(st.just(WEIGHTS[:modalities]), any_weights)))
    codes = st.tuples(*(st.integers(0, size) for size in sizes))
    tracks = draw(st.lists(codes, min_size=0, max_size=60))
    queries = draw(st.lists(codes, min_size=1, max_size=4))
    shape = (-1, modalities)
    return World(np.array(tracks, np.int32).reshape(shape), np.array(queries), sizes, weights, draw(st.integers(1, 80)))


def matcher(codes_NM: np.ndarray, sizes: tuple[int, ...] = SMALL, weights: tuple[int, ...] = WEIGHTS) -> Matcher:
    """A matcher of these codes with ids in row order."""
    ids = [f"track-{row:04d}" for row in range(len(codes_NM))]
    return Matcher.build(ids, codes_NM, codes_per_modality=sizes, weights=weights)


def matcher_in(world: World) -> Matcher:
    """The matcher of the world's catalog."""
    return matcher(world.codes, world.sizes, world.weights)


def brute_force(world: World, query_M: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in full order, and by row the scores and masks: compare everything, sort everything."""
    matched_NM = (world.codes == query_M) & (query_M < np.array(world.sizes))
    scores_N = matched_NM @ np.array(world.weights)
    masks_N = matched_NM @ (1 << np.arange(len(world.sizes)))[::-1]
    return np.lexsort((np.arange(len(scores_N)), -masks_N, -scores_N)), scores_N, masks_N


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_ranking_equals_brute_force(world: World) -> None:
    """Rows, scores and masks are those of brute force, ties and missing codes included, also where top exceeds N."""
    ranking = matcher_in(world).rank_many(world.queries, top=world.top)
    for query, query_M in enumerate(world.queries):
        order, scores_N, masks_N = brute_force(world, query_M)
        order = order[: world.top]
        np.testing.assert_array_equal(ranking.rows[query], order)
        np.testing.assert_array_equal(ranking.scores[query], scores_N[order])
        np.testing.assert_array_equal(ranking.masks[query], masks_N[order])


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers())
def test_seed_changes_only_the_order_of_equals(world: World, seed: int) -> None:
    """A seeded ranking has brute force's masks at each place, no row twice, and is the beginning of any longer one."""
    built = matcher_in(world)
    ranking = built.rank_many(world.queries, top=world.top, seed=seed)
    whole = built.rank_many(world.queries, top=len(world.codes) + 1, seed=seed)
    for query, query_M in enumerate(world.queries):
        order, _, masks_N = brute_force(world, query_M)
        np.testing.assert_array_equal(ranking.masks[query], masks_N[order][: world.top])
        np.testing.assert_array_equal(ranking.masks[query], masks_N[ranking.rows[query]])
        np.testing.assert_array_equal(ranking.rows[query], whole.rows[query][: world.top])
        assert sorted(whole.rows[query]) == list(range(len(world.codes)))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.one_of(st.none(), st.integers()))
def test_batch_and_threads_change_nothing(world: World, seed: int | None) -> None:
    """A query's ranking is the same alone, in a batch, and in a batch on two threads."""
    built = matcher_in(world)
    batch = built.rank_many(world.queries, top=world.top, seed=seed)
    threaded = built.rank_many(world.queries, top=world.top, seed=seed, threads=2)
    np.testing.assert_array_equal(batch.rows, threaded.rows)
    for query, query_M in enumerate(world.queries):
        np.testing.assert_array_equal(batch.rows[query], built.rank(query_M, top=world.top, seed=seed).rows)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_exact_equals_brute_force(world: World) -> None:
    """The exact look-up finds all tracks with the query's token sequence, reserved tokens compared like any other."""
    for query_M, rows in zip(world.queries, matcher_in(world).exact_many(world.queries), strict=True):
        np.testing.assert_array_equal(rows, np.flatnonzero((world.codes == query_M).all(axis=1)))


def test_weights_order_the_32_masks() -> None:
    """One track of each mask: the scores are all 32 subset sums of 25, 16, 9, 4, 1 in falling order."""
    ranking = matcher(ALL_MASKS_NM).rank([0, 0, 0, 0, 0], top=32)
    sums = [25 * p + 16 * s + 9 * m + 4 * y + a for p, s, m, y, a in product([0, 1], repeat=5)]
    assert ranking.scores.tolist() == sorted(sums, reverse=True)
    assert sorted(ranking.masks.tolist()) == list(range(32))


@pytest.mark.parametrize(
    ("score", "masks"),
    [
        (30, [0b10011, 0b01111]),  # 25 + 4 + 1 and 16 + 9 + 4 + 1
        (29, [0b10010, 0b01110]),  # 25 + 4 and 16 + 9 + 4
        (26, [0b10001, 0b01101]),  # 25 + 1 and 16 + 9 + 1
        (25, [0b10000, 0b01100]),  # 25 and 16 + 9
    ],
)
def test_equal_sums_put_the_earlier_modality_first(score: int, masks: list[int]) -> None:
    """Each of the four tied sums is led by the subset with the playlist code."""
    ranking = matcher(ALL_MASKS_NM).rank([0, 0, 0, 0, 0], top=32)
    assert ranking.masks[ranking.scores == score].tolist() == masks


def test_equal_masks_keep_track_order() -> None:
    """Without a seed, tracks with the same mask come in the order of their ids."""
    codes_NM = np.array([[1, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1], [1, 0, 0, 0, 0]], dtype=np.int32)
    assert matcher(codes_NM).rank([0, 0, 0, 0, 0], top=4).rows.tolist() == [0, 3, 1, 2]  # 30, 30, 25, 25


def test_missing_matches_nothing() -> None:
    """A track and a query that both lack every modality share nothing, though their token sequences are the same."""
    built = matcher(np.full((1, 5), MISSING, dtype=np.int32))
    assert built.rank([MISSING] * 5, top=1).scores.tolist() == [0]
    assert built.exact([MISSING] * 5).tolist() == [0]


def test_unmatched_tracks_rank_last() -> None:
    """The whole catalog is ranked: what shares no code follows with score 0."""
    codes_NM = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], dtype=np.int32)
    ranking = matcher(codes_NM).rank([0, 0, 0, 0, 0], top=10)
    assert ranking.rows.tolist() == [1, 0, 2]
    assert ranking.scores.tolist() == [1, 0, 0]


@pytest.mark.parametrize("code", [0, 1])
def test_seed_draws_equals_evenly(code: int) -> None:
    """Of four equal tracks each is first in about a quarter of 2,000 seeds (sd 19), matched or unmatched alike."""
    built = matcher(np.full((4, 5), code, dtype=np.int32))
    firsts = Counter(int(built.rank([0] * 5, top=1, seed=seed).rows[0]) for seed in range(2000))
    assert all(abs(firsts[row] - 500) < 100 for row in range(4))


def test_largest_codes_are_kept_apart() -> None:
    """4,094 is a code and 4,095 its modality's reserved code: neither spills into the neighbouring field."""
    codes_NM = np.array([[4094, 0, 4094, 0, 4094], [4095, 4094, 4095, 4094, 4095]], dtype=np.int32)
    ranking = matcher(codes_NM, sizes=(4095,) * 5).rank([4095, 4094, 4094, 4094, 4095], top=2)
    assert ranking.rows.tolist() == [1, 0]
    assert ranking.scores.tolist() == [16 + 4, 9]


def test_stored_index_gives_its_matcher(tmp_path: Path) -> None:
    """A matcher built from LanceDB has the table's ids, codes and order of modalities."""
    table = pl.DataFrame({"track_id": ["b", "a"], "audio": [1, 0], "playlist": [0, 1]})
    write_index(tmp_path, table, codebook_hash="h", codes_per_modality={"playlist": 2, "audio": 2})
    built = matcher_of(open_index(tmp_path, codebook_hash="h"), weights=(2, 1))
    ranking = built.rank([0, 0], top=2)  # playlist 0 is b, audio 0 is a
    assert built.track_ids.take(pa.array(ranking.rows)).to_pylist() == ["b", "a"]
    assert ranking.scores.tolist() == [2, 1]


@pytest.mark.parametrize("ids", [["b", "a"], ["a", "a"], ["a", None]])
def test_ids_must_ascend(ids: list[str | None]) -> None:
    """Rows are the last tie-break, so ids that are unsorted, repeated or null are refused with the row."""
    with pytest.raises(ValueError, match=r"row 1: track id .* sort by track_id"):
        Matcher.build(ids, np.zeros((2, 5), np.int32), codes_per_modality=SMALL)


def test_code_out_of_range_is_refused() -> None:
    """One past the reserved code is an error that names the place and the range, in a catalog and in a query."""
    with pytest.raises(ValueError, match=r"row 0, modality 3: code 3; wanted 0\.\.1, or 2 where missing"):
        matcher(np.array([[0, 0, 0, 3, 0]], dtype=np.int32))
    with pytest.raises(ValueError, match="row 0, modality 0: code -1"):
        matcher(np.zeros((1, 5), dtype=np.int32)).rank([-1, 0, 0, 0, 0], top=1)


def test_codes_of_another_shape_are_refused() -> None:
    """Four codes for five modalities, and fractional codes, are errors that say what was wanted."""
    built = matcher(np.zeros((1, 5), dtype=np.int32))
    with pytest.raises(ValueError, match=r"wanted integers of shape \(\*, 5\)"):
        built.rank([0, 0, 0, 0], top=1)
    with pytest.raises(ValueError, match="codes are float64"):
        built.rank([0.5, 0, 0, 0, 0], top=1)


def test_settings_are_checked() -> None:
    """More than five modalities, codes beyond 12 bits, weights below 1, too few codes and top 0 are refused."""
    one = np.zeros((1, 1), dtype=np.int32)
    with pytest.raises(ValueError, match="6 modalities"):
        Matcher.build(["a"], np.zeros((1, 6), np.int32), codes_per_modality=(2,) * 6, weights=(1,) * 6)
    with pytest.raises(ValueError, match="wanted 1 to 4095"):
        Matcher.build(["a"], one, codes_per_modality=(4096,), weights=(1,))
    with pytest.raises(ValueError, match="positive integers"):
        Matcher.build(["a"], one, codes_per_modality=(2,), weights=(0,))
    with pytest.raises(ValueError, match="2 track ids but 1 rows"):
        Matcher.build(["a", "b"], one, codes_per_modality=(2,), weights=(1,))
    with pytest.raises(ValueError, match="top is 0"):
        Matcher.build(["a"], one, codes_per_modality=(2,), weights=(1,)).rank([0], top=0)
