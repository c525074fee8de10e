"""Weighted hierarchical matching of 1.6 million tracks by 27 codes: ours, exact numpy brute force, and torch as people
write it, on one core.

The catalog is made up: 20,000 clusters of tracks with Zipf sizes (exponent 0.8), nine modalities of 32, 128 and 64
codes. At each level a cluster has a home code drawn by Zipf (0.6); 60 % of its tracks have that of level 1, 60 % of
those that of level 2 too, and so on, while the others draw their own the same way. Three modalities miss 20 %. Half the
queries are tracks with 40 % of their codes drawn anew, half are random codes; each has weights of its own from 0 to 10.
The collapsed catalog has one first-level code in every modality, so that no list narrows anything. Compiling (once a
machine, then cached on disk) is left out.
"""

import statistics
import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from assets.index.level_matching import LevelMatcher
from benchmarks.claims import Claim, median_s
from benchmarks.matching import median, percentile_99, rate_claim, time_claim, zipf

TRACKS, MODALITIES, LEVELS, TOP = 1_600_000, 9, (32, 128, 64), 50
CLUSTERS, HOME_SHARE, CHANGED_SHARE, MISSING_SHARE, MISSING = 20_000, 0.6, 0.4, 0.2, (0, 6, 7)
QUERIES, BATCH_QUERIES, NUMPY_QUERIES, TORCH_QUERIES, CHECKED = 2000, 1000, 60, 12, 60
SIZES = np.array(LEVELS * MODALITIES)
Codes = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]


def measure() -> list[Claim]:
    """Every claim about the matcher of several levels."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    codes_NC = made_up_catalog(random)
    ids = pa.array(f"{row:07d}" for row in range(TRACKS))
    queries_BC = made_up_queries(codes_NC, random)
    weights_BM = random.integers(0, 11, (QUERIES, MODALITIES))
    matcher = built(ids, codes_NC)
    build_s = median_s(lambda: built(ids, codes_NC))
    by_numpy, checked = numpy_times_ms(matcher, codes_NC, queries_BC, weights_BM)
    print(f"{checked} queries are those of brute force")

    ours = times_ms(matcher, queries_BC, weights_BM)
    seeded = times_ms(matcher, queries_BC, weights_BM, seed=1)
    by_torch = torch_times_ms(codes_NC, queries_BC, weights_BM)
    batch, batch_weights = queries_BC[:BATCH_QUERIES], weights_BM[:BATCH_QUERIES]
    batch_s = median_s(lambda: matcher.rank_many(batch, top=TOP, weights_BM=batch_weights))
    exact_s = median_s(lambda: matcher.exact_many(queries_BC)) / QUERIES
    counting = LevelMatcher.build(ids, codes_NC, sizes=[LEVELS] * MODALITIES, counting="counted")
    counted = times_ms(counting, queries_BC, weights_BM)
    codes_NC[:, :: len(LEVELS)] = queries_BC[:, :: len(LEVELS)] = 0
    collapsed = times_ms(built(ids, codes_NC), queries_BC[:200], weights_BM)

    numpy_p50 = median(by_numpy)
    return [
        time_claim("levels: one query against numpy, p50", median(ours), numpy_p50, most=5),
        time_claim("levels: one query against numpy, p99", percentile_99(ours), percentile_99(by_numpy), most=5),
        time_claim("levels: one query against torch, p50", median(ours), median(by_torch), most=5),
        time_claim("levels: one seeded query, p50", median(seeded), numpy_p50, most=5),
        time_claim("levels: one query of counted levels, p50", median(counted), numpy_p50, most=5),
        time_claim("levels: collapsed first level, p50", median(collapsed), numpy_p50, most=10),
        time_claim("levels: exact look-up, mean", 1e3 * exact_s, numpy_p50, most=1),
        rate_claim("levels: batch against numpy loop", BATCH_QUERIES / batch_s, 1e3 / numpy_p50, least=200),
        Claim("levels: build", build_s, 5, 5 / build_s, "at most 5 s", build_s <= 5, "s"),
        memory_claim(matcher.nbytes / 1e6, codes_NC.size * 8 / 1e6),
    ]


def built(ids: pa.Array, codes_NC: Codes) -> LevelMatcher:
    """The hierarchical matcher of the catalog."""
    return LevelMatcher.build(ids, codes_NC, sizes=[LEVELS] * MODALITIES)


def made_up_catalog(random: np.random.Generator) -> Codes:
    """Codes [N, C] of the catalog that the module describes."""
    cluster_N = zipf(random, CLUSTERS, 0.8, TRACKS)
    columns = []
    for modality in range(MODALITIES):
        is_missing_N = random.random(TRACKS) < (MISSING_SHARE if modality in MISSING else 0)
        is_home_N = np.ones(TRACKS, dtype=bool)
        for size in LEVELS:
            code_by_rank = random.permutation(size).astype(np.uint8)
            home_N = code_by_rank[zipf(random, size, 0.6, CLUSTERS)][cluster_N]
            is_home_N &= random.random(TRACKS) < HOME_SHARE
            codes_N = np.where(is_home_N, home_N, code_by_rank[zipf(random, size, 0.6, TRACKS)])
            columns.append(np.where(is_missing_N, np.uint8(size), codes_N))
    return np.stack(columns, axis=1)


def made_up_queries(codes_NC: Codes, random: np.random.Generator) -> IntArray:
    """Tracks with some codes changed and random codes, in turn."""
    queries_BC = codes_NC[random.integers(0, TRACKS, QUERIES)].astype(np.int64)
    is_drawn_BC = random.random(queries_BC.shape) < CHANGED_SHARE
    is_drawn_BC[1::2] = True
    return np.where(is_drawn_BC, random.integers(0, SIZES, queries_BC.shape), queries_BC)


def numpy_times_ms(
    matcher: LevelMatcher, codes_NC: Codes, queries_BC: IntArray, weights_BM: IntArray
) -> tuple[list[float], int]:
    """Times of brute force, and on how many queries ours gave its rows and scores, ties included: on all of them."""
    columns = np.ascontiguousarray(codes_NC.T)
    times, checked = [], 0
    for query_C, weights_M in zip(queries_BC[:NUMPY_QUERIES], weights_BM, strict=False):
        started = time.perf_counter()
        rows, scores = brute_force(columns, query_C, weights_M)
        times.append(1e3 * (time.perf_counter() - started))
        ranking = matcher.rank(query_C, top=TOP, weights_M=weights_M)
        np.testing.assert_array_equal(ranking.rows, rows)
        np.testing.assert_array_equal(ranking.scores, scores)
        checked += 1
    return times, checked


def brute_force(
    columns: Codes, query_C: IntArray, weights_M: IntArray
) -> tuple[npt.NDArray[np.integer[Any]], npt.NDArray[np.integer[Any]]]:
    """Rows and scores, exact with ties: compare the columns, then sort what is at or above the last score."""
    score_N = np.zeros(TRACKS, dtype=np.int16)
    for modality, weight in enumerate(weights_M):
        is_equal_N = np.ones(TRACKS, dtype=bool)
        for column in range(len(LEVELS) * modality, len(LEVELS) * (modality + 1)):
            is_equal_N &= (columns[column] == query_C[column]) & (query_C[column] < SIZES[column])
            score_N += is_equal_N * np.int16(weight)
    last = np.searchsorted(np.bincount(score_N)[::-1].cumsum(), TOP)
    rows = np.flatnonzero(score_N >= score_N.max() - last)
    rows = rows[np.argsort(-score_N[rows], kind="stable")][:TOP]
    return rows, score_N[rows]


def torch_times_ms(codes_NC: Codes, queries_BC: IntArray, weights_BM: IntArray) -> list[float]:
    """One comparison of everything, a cumulative product over levels, a weighted sum, topk; ties fall as they may."""
    codes = torch.from_numpy(codes_NC).view(TRACKS, MODALITIES, len(LEVELS))
    times = []
    for query_C, weights_M in zip(queries_BC[:TORCH_QUERIES].astype(np.uint8), weights_BM, strict=False):
        query, weights = torch.from_numpy(query_C).view(MODALITIES, -1), torch.from_numpy(weights_M).float()
        started = time.perf_counter()
        ((codes == query).float().cumprod(dim=2).sum(dim=2) @ weights).topk(TOP)
        times.append(1e3 * (time.perf_counter() - started))
    return times


def times_ms(
    matcher: LevelMatcher, queries_BC: IntArray, weights_BM: IntArray, *, seed: int | None = None
) -> list[float]:
    """The time of each query alone, after three that warm up: of three rounds the median of each query."""
    for query_C, weights_M in zip(queries_BC[:3], weights_BM, strict=False):
        matcher.rank(query_C, top=TOP, seed=seed, weights_M=weights_M)
    rounds = []
    for _ in range(3):
        times = []
        for query_C, weights_M in zip(queries_BC, weights_BM, strict=False):
            started = time.perf_counter()
            matcher.rank(query_C, top=TOP, seed=seed, weights_M=weights_M)
            times.append(1e3 * (time.perf_counter() - started))
        rounds.append(times)
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def memory_claim(ours: float, alternative: float) -> Claim:
    """Memory of the matcher against the codes as int64."""
    holds = ours <= 150
    return Claim(
        "levels: memory against int64 codes", ours, alternative, alternative / ours, "at most 150 MB", holds, "MB"
    )


if __name__ == "__main__":
    for claim in measure():
        figures = f"{claim.ours:12.3f} {claim.alternative:12.3f} {claim.ratio:10.1f}"
        print(f"{claim.name:52} {figures} {claim.unit:10} {claim.goal} {claim.holds}")
