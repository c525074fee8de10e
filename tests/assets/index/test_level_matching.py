"""The matcher of several levels against brute force, and its rules, one by one."""

from collections import Counter
from itertools import chain
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.index.level_matching import Counting, LevelMatcher
from assets.index.level_postings import BLOCK, LONG_SHARE

PAIR = ((2, 2, 2), (2, 2, 2))  # two modalities of three levels
MISSING = 2


class World(NamedTuple):
    """A small catalog and its queries, with so few codes that most tracks tie."""

    codes: np.ndarray
    queries: np.ndarray
    sizes: list[list[int]]
    weights: np.ndarray  # [B, M], one row a query
    counting: Counting
    top: int


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Worlds of up to nine modalities of one to three levels of one to three codes, missing codes included."""
    sizes = draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=9))
    codes = st.tuples(*(st.integers(0, size) for size in chain(*sizes)))
    tracks, queries = draw(st.lists(codes, max_size=40)), draw(st.lists(codes, min_size=1, max_size=4))
    one_weight = st.sampled_from([0, 1, 1, 2, 10])
    weights = [draw(st.lists(one_weight, min_size=len(sizes), max_size=len(sizes))) for _ in queries]
    counting: Counting = draw(st.sampled_from(["hierarchical", "counted"]))
    shape = (-1, len(list(chain(*sizes))))
    catalog = np.array(tracks, np.int32).reshape(shape)
    return World(catalog, np.array(queries), sizes, np.array(weights), counting, draw(st.integers(1, 60)))


def matcher(codes_NC: np.ndarray, sizes: object = PAIR, counting: Counting = "hierarchical") -> LevelMatcher:
    """A matcher of these codes with ids in row order."""
    ids = [f"track-{row:06d}" for row in range(len(codes_NC))]
    return LevelMatcher.build(ids, codes_NC, sizes=sizes, counting=counting)  # type: ignore[arg-type]


def matcher_in(world: World) -> LevelMatcher:
    """The matcher of the world's catalog."""
    return matcher(world.codes, world.sizes, world.counting)


def depths_by_hand(world: World, query: int) -> np.ndarray:
    """The equal levels [N, M] of every track: compare everything, level after level."""
    depths_NM = np.zeros((len(world.codes), len(world.sizes)), dtype=np.int64)
    column = 0
    for modality, sizes in enumerate(world.sizes):
        is_open_N = np.ones(len(world.codes), dtype=bool)
        for size in sizes:
            code = world.queries[query, column]
            is_equal_N = (world.codes[:, column] == code) & (code < size)
            is_open_N &= is_equal_N
            depths_NM[:, modality] += is_open_N if world.counting == "hierarchical" else is_equal_N
            column += 1
    return depths_NM


def assert_is_brute_force(world: World) -> None:
    """Rows, scores and depths are those of sorting all tracks by score, then row."""
    ranking = matcher_in(world).rank_many(world.queries, top=world.top, weights_BM=world.weights)
    for query, weights_M in enumerate(world.weights):
        depths_NM = depths_by_hand(world, query)
        scores_N = depths_NM @ weights_M
        order = np.lexsort((np.arange(len(scores_N)), -scores_N))[: world.top]
        np.testing.assert_array_equal(ranking.rows[query], order)
        np.testing.assert_array_equal(ranking.scores[query], scores_N[order])
        np.testing.assert_array_equal(ranking.depths[query], depths_NM[order])


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_ranking_equals_brute_force(world: World) -> None:
    """Rows, scores and depths are those of brute force: ties, missing codes, weights of 0, top beyond the catalog."""
    assert_is_brute_force(world)


@pytest.mark.parametrize("counting", ["hierarchical", "counted"])
@pytest.mark.parametrize("top", [1, 50, 400, 30_000])
def test_ranking_equals_brute_force_over_blocks(counting: Counting, top: int) -> None:
    """So it is where the catalog has four blocks, the last cut short, and codes both with lists and too common."""
    random = np.random.default_rng(top)
    sizes, tracks = [[8, 4, 3], [5], [6, 6]], 3 * BLOCK + 100
    codes_NC = np.stack([random.integers(0, size + 1, tracks) for size in chain(*sizes)], axis=1)
    codes_NC[random.random(tracks) < 2 / LONG_SHARE, 3] = 1
    weights = random.integers(0, 11, (6, 3))
    queries = codes_NC[random.integers(0, tracks, 6)]
    queries[0, 3] = 1
    assert_is_brute_force(World(codes_NC, queries, sizes, weights, counting, top))


def test_ranking_equals_brute_force_with_large_codes() -> None:
    """So it is for codes of more than eight bits and later levels of more than 16, at five levels."""
    random = np.random.default_rng(0)
    sizes = [[300, 700, 4095, 2, 60_000]]
    codes_NC = np.stack([random.choice([0, size - 1, size], 500) for size in sizes[0]], axis=1)
    assert_is_brute_force(World(codes_NC, codes_NC[:20], sizes, np.ones((20, 1), int), "hierarchical", 30))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.integers())
def test_seed_changes_only_the_order_of_equals(world: World, seed: int) -> None:
    """A seeded ranking has brute force's score at each place, no row twice, and is the beginning of any longer one."""
    built = matcher_in(world)
    ranking = built.rank_many(world.queries, top=world.top, seed=seed, weights_BM=world.weights)
    whole = built.rank_many(world.queries, top=len(world.codes) + 1, seed=seed, weights_BM=world.weights)
    for query, weights_M in enumerate(world.weights):
        depths_NM = depths_by_hand(world, query)
        scores_N = depths_NM @ weights_M
        np.testing.assert_array_equal(ranking.scores[query], -np.sort(-scores_N)[: world.top])
        np.testing.assert_array_equal(ranking.scores[query], scores_N[ranking.rows[query]])
        np.testing.assert_array_equal(ranking.depths[query], depths_NM[ranking.rows[query]])
        np.testing.assert_array_equal(ranking.rows[query], whole.rows[query][: world.top])
        assert sorted(whole.rows[query]) == list(range(len(world.codes)))


@settings(max_examples=100, deadline=None)
@given(worlds(), st.one_of(st.none(), st.integers()))
def test_batch_and_threads_change_nothing(world: World, seed: int | None) -> None:
    """A query's ranking is the same alone, in a batch, and in a batch on two threads."""
    built = matcher_in(world)
    batch = built.rank_many(world.queries, top=world.top, seed=seed, weights_BM=world.weights)
    threaded = built.rank_many(world.queries, top=world.top, seed=seed, weights_BM=world.weights, threads=2)
    for ours, theirs in zip(batch, threaded, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for query, weights_M in enumerate(world.weights):
        alone = built.rank(world.queries[query], top=world.top, seed=seed, weights_M=weights_M)
        np.testing.assert_array_equal(batch.rows[query], alone.rows)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_exact_equals_brute_force(world: World) -> None:
    """The exact look-up finds all tracks with the query's token sequence, reserved tokens compared like any other."""
    queries = np.concatenate([world.queries, world.codes[:4]])
    for query_C, rows in zip(queries, matcher_in(world).exact_many(queries), strict=True):
        np.testing.assert_array_equal(rows, np.flatnonzero((world.codes == query_C).all(axis=1)))


def test_exact_finds_rows_of_every_block() -> None:
    """Equal tracks in the first and the last block are both found, by lists and by tails."""
    codes_NC = np.tile([1, 0, 0, 1, 0, 0], (2 * BLOCK + 5, 1))
    codes_NC[::2] = [0, 1, 1, MISSING, MISSING, MISSING]
    codes_NC[[3, 2 * BLOCK + 4]] = [0, 1, 0, 0, 1, 0]
    assert matcher(codes_NC).exact([0, 1, 0, 0, 1, 0]).tolist() == [3, 2 * BLOCK + 4]


def test_numbers_tell_equal_tracks_apart() -> None:
    """With a number, the exact look-up finds the one of two equal tracks that bears it; rankings are as without."""
    codes = np.zeros((2, 6), dtype=np.int32)
    built = LevelMatcher.build(["a", "b"], codes, sizes=PAIR, numbers_N=np.array([1, 0]))
    assert built.exact([0] * 6).tolist() == [0, 1]
    assert built.exact([0] * 6, number=1).tolist() == [0]
    assert built.rank([0] * 6, top=2).rows.tolist() == [0, 1]
    with pytest.raises(ValueError, match="this catalog has no numbers"):
        matcher(codes).exact([0] * 6, number=1)


@pytest.mark.parametrize(("counting", "depths"), [("hierarchical", [3, 2, 1, 0]), ("counted", [3, 2, 2, 2])])
def test_what_a_level_counts_under(counting: Counting, depths: list[int]) -> None:
    """Against 0 0 0, hierarchical matching stops at the first unequal level; counting takes every equal one."""
    codes_NC = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]])
    ranking = matcher(codes_NC, sizes=[(2, 2, 2)], counting=counting).rank([0, 0, 0], top=4)
    assert ranking.rows.tolist() == [0, 1, 2, 3]
    assert ranking.depths[:, 0].tolist() == ranking.scores.tolist() == depths


@pytest.mark.parametrize("level", [0, 1, 2])
def test_missing_level_ends_the_match(level: int) -> None:
    """A level that both query and track lack matches nothing, nor do the levels below it, hierarchically."""
    codes = np.zeros((2, 6), dtype=np.int32)
    codes[:, level] = MISSING
    assert matcher(codes).rank(codes[0], top=1).depths.tolist() == [[level, 3]]


def test_weights_of_a_query_replace_the_matcher_s() -> None:
    """Depths 3 and 1 score 2 x 3 + 5 x 1 by the matcher's weights, 10 x 1 by a query's that leave the first out."""
    built = LevelMatcher.build(["a"], np.array([[0, 0, 0, 0, 1, 0]]), sizes=PAIR, weights=(2, 5))
    assert built.rank([0] * 6, top=1).scores.tolist() == [11]
    left_out = built.rank([0] * 6, top=1, weights_M=[0, 10])
    assert left_out.scores.tolist() == [10]
    assert left_out.depths.tolist() == [[3, 1]]
    batch = built.rank_many([[0] * 6] * 2, top=1, weights_BM=[[1, 1], [0, 0]])
    assert batch.scores.tolist() == [[4], [0]]


@pytest.mark.parametrize("code", [0, 1])
def test_seed_draws_equals_evenly(code: int) -> None:
    """Of four equal tracks each is first in about a quarter of 2,000 seeds (sd 19), matched or unmatched alike."""
    built = matcher(np.full((4, 6), code, dtype=np.int32))
    firsts = Counter(int(built.rank([0] * 6, top=1, seed=seed).rows[0]) for seed in range(2000))
    assert all(abs(firsts[row] - 500) < 100 for row in range(4))


def test_query_draws_its_own_order() -> None:
    """Two queries that match the same 1,000 tracks order them differently under one seed."""
    built = matcher(np.tile([0, 0, 0, 1, 1, 1], (1000, 1)))
    first, second = built.rank_many([[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]], top=1000, seed=7).rows
    assert 0 <= (first == second).sum() < 20  # of random orders one place agrees, sd 1


def test_memory_is_four_bytes_a_list_s_place_and_one_a_code() -> None:
    """A list's place takes four bytes, two for the row and two for the later levels, a code of the catalog one."""
    random = np.random.default_rng(0)
    tracks = 8 * BLOCK
    codes = np.stack([random.integers(0, size, tracks) for size in (32, 64, 128)], axis=1)
    assert tracks * 7 <= matcher(codes, sizes=[(32, 64, 128)]).nbytes < tracks * 7.2


@pytest.mark.parametrize("ids", [["b", "a"], ["a", "a"], ["a", None]])
def test_ids_must_ascend(ids: list[str | None]) -> None:
    """Rows are the last tie-break, so ids that are unsorted, repeated or null are refused with the row."""
    with pytest.raises(ValueError, match=r"row 1: track id .* sort by track_id"):
        LevelMatcher.build(ids, np.zeros((2, 6), np.int32), sizes=PAIR)


def test_code_out_of_range_is_refused() -> None:
    """One past the reserved code is an error that names the place and the range, in a catalog and in a query."""
    with pytest.raises(ValueError, match=r"row 0, modality 1, level 2: code 3; wanted 0\.\.1, or 2 where missing"):
        matcher(np.array([[0, 0, 0, 0, 3, 0]]))
    with pytest.raises(ValueError, match="row 0, modality 0, level 1: code -1"):
        matcher(np.zeros((1, 6), dtype=np.int32)).rank([-1, 0, 0, 0, 0, 0], top=1)


def test_codes_of_another_shape_are_refused() -> None:
    """Five codes for six levels, and fractional codes, are errors that say what was wanted."""
    built = matcher(np.zeros((1, 6), dtype=np.int32))
    with pytest.raises(ValueError, match=r"wanted integers of shape \(\*, 6\)"):
        built.rank([0] * 5, top=1)
    with pytest.raises(ValueError, match="codes are float64"):
        built.rank([0.5] * 6, top=1)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [([1], "of shape"), ([1, -1], "go from -1"), ([1, 0.5], "float64"), ([1, 2**30], "scores at most")],
)
def test_weights_are_checked(weights: list[float], reason: str) -> None:
    """Too few weights, negative and fractional ones, and such as would overflow a score are refused."""
    with pytest.raises(ValueError, match=reason):
        matcher(np.zeros((1, 6), dtype=np.int32)).rank([0] * 6, top=1, weights_M=weights)


def test_settings_are_checked() -> None:
    """No modality, no level, no code, codes beyond 16 bits, levels beyond 64 bits, too few codes and top 0 fail."""
    one = np.zeros((1, 1), dtype=np.int32)
    for sizes, reason in [
        ([], "at least one modality"),
        ([[]], "one level of each"),
        ([[0]], "wanted 1 to 65535"),
        ([[65_536]], "wanted 1 to 65535"),
        ([[1, *[65_535] * 5]], "need 80 bits"),
    ]:
        with pytest.raises(ValueError, match=reason):
            LevelMatcher.build(["a"], one, sizes=sizes)
    with pytest.raises(ValueError, match="2 track ids but 1 rows of codes"):
        LevelMatcher.build(["a", "b"], one, sizes=[[2]])
    with pytest.raises(ValueError, match="1 track ids but 2 rows of numbers"):
        LevelMatcher.build(["a"], one, sizes=[[2]], numbers_N=np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="top is 0"):
        LevelMatcher.build(["a"], one, sizes=[[2]]).rank([0], top=0)
