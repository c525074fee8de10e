"""Weighted matching over 1.7 million tracks: ours, exact numpy brute force, and torch as people write it, on one core.

The catalog is made up: 20,000 clusters of tracks with Zipf sizes (exponent 0.8); in each modality a cluster has a home
code drawn by Zipf (0.6) from 1,024, which 60 % of its tracks have, while the others draw their own the same way;
20 % have no lyrics. So codes are correlated and the longest list has about 50,000 tracks. Half the queries are tracks
with 40 % of their codes drawn anew, half are five random codes. Compiling (once a machine, then cached on disk) is left
out.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from assets.index.matching import WEIGHTS, Matcher
from benchmarks.claims import Claim, median_s

TRACKS, MODALITIES, CODES, TOP = 1_700_000, 5, 1024, 100
CLUSTERS, HOME_SHARE, CHANGED_SHARE, NO_LYRICS_SHARE, LYRICS = 20_000, 0.6, 0.4, 0.2, 3
SINGLE_QUERIES, BATCH_QUERIES, NUMPY_QUERIES, TORCH_QUERIES = 10_000, 20_000, 300, 60
MASK_BITS = 1 << np.arange(MODALITIES)[::-1]
IntArray = npt.NDArray[np.int32]
Answer = Callable[[IntArray], object]


def measure() -> list[Claim]:
    """Every claim about the matcher."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    codes_NM = made_up_catalog(random)
    ids = pa.array(f"{row:07d}" for row in range(TRACKS))
    started = time.perf_counter()
    matcher = Matcher.build(ids, codes_NM, codes_per_modality=(CODES,) * MODALITIES)
    first_build_s = time.perf_counter() - started
    build_s = median_s(lambda: Matcher.build(ids, codes_NM, codes_per_modality=(CODES,) * MODALITIES))
    print(f"first build {first_build_s:.1f} s, compiling or loading the compiled code included")

    queries_BM = made_up_queries(codes_NM, random)
    numpy_rank = numpy_brute_force(codes_NM)
    for query_M in queries_BM[:100]:
        np.testing.assert_array_equal(matcher.rank(query_M, top=TOP).rows, numpy_rank(query_M))

    ours = times_ms(lambda query_M: matcher.rank(query_M, top=TOP), queries_BM[:SINGLE_QUERIES])
    seeded = times_ms(lambda query_M: matcher.rank(query_M, top=TOP, seed=1), queries_BM[:SINGLE_QUERIES])
    exact = times_ms(matcher.exact, queries_BM[:SINGLE_QUERIES])
    by_numpy = times_ms(numpy_rank, queries_BM[:NUMPY_QUERIES])
    exact_numpy = times_ms(
        lambda query_M: np.flatnonzero((codes_NM == query_M).all(axis=1)), queries_BM[:TORCH_QUERIES]
    )
    by_torch = times_ms(torch_as_written(codes_NM), queries_BM[:TORCH_QUERIES])
    batch_rate = BATCH_QUERIES / median_s(lambda: matcher.rank_many(queries_BM, top=TOP))
    seeded_rate = BATCH_QUERIES / median_s(lambda: matcher.rank_many(queries_BM, top=TOP, seed=1))
    numpy_rate = 1e3 / statistics.mean(by_numpy)
    return [
        time_claim("matching: one query against numpy, p50", median(ours), median(by_numpy), most=0.1),
        time_claim("matching: one query against numpy, p99", percentile_99(ours), percentile_99(by_numpy), most=0.5),
        time_claim("matching: one query against torch, p50", median(ours), median(by_torch), most=0.1),
        time_claim("matching: one seeded query against numpy, p50", median(seeded), median(by_numpy), most=0.1),
        time_claim("matching: one seeded query, p99", percentile_99(seeded), percentile_99(by_numpy), most=0.5),
        time_claim("matching: exact look-up against numpy, p50", median(exact), median(exact_numpy), most=0.1),
        rate_claim("matching: batch against numpy loop", batch_rate, numpy_rate, least=10_000),
        rate_claim("matching: seeded batch against numpy loop", seeded_rate, numpy_rate, least=10_000),
        memory_claim(matcher.nbytes / 1e6, codes_NM.astype(np.int64).nbytes / 1e6, most_mb=200),
        build_claim(build_s, most_s=1.0),
    ]


def made_up_catalog(random: np.random.Generator) -> IntArray:
    """Codes [N, M] of the catalog that the module describes."""
    cluster_N = zipf(random, CLUSTERS, 0.8, TRACKS)
    codes_NM = np.empty((TRACKS, MODALITIES), dtype=np.int32)
    for modality in range(MODALITIES):
        code_by_rank = random.permutation(CODES)
        home_N = code_by_rank[zipf(random, CODES, 0.6, CLUSTERS)][cluster_N]
        own_N = code_by_rank[zipf(random, CODES, 0.6, TRACKS)]
        codes_NM[:, modality] = np.where(random.random(TRACKS) < HOME_SHARE, home_N, own_N)
    codes_NM[random.random(TRACKS) < NO_LYRICS_SHARE, LYRICS] = CODES
    return codes_NM


def made_up_queries(codes_NM: IntArray, random: np.random.Generator) -> IntArray:
    """Tracks with some codes changed and random codes, in turn."""
    queries_BM = codes_NM[random.integers(0, TRACKS, BATCH_QUERIES)]
    is_drawn_BM = random.random(queries_BM.shape) < CHANGED_SHARE
    is_drawn_BM[1::2] = True
    return np.where(is_drawn_BM, random.integers(0, CODES, queries_BM.shape), queries_BM).astype(np.int32)


def zipf(random: np.random.Generator, ranks: int, exponent: float, size: int) -> npt.NDArray[np.int64]:
    """Ranks from 0 with probability proportional to (rank + 1)^-exponent."""
    share = np.arange(1, ranks + 1) ** -exponent
    return np.searchsorted(np.cumsum(share / share.sum())[:-1], random.random(size))


def numpy_brute_force(codes_NM: IntArray) -> Answer:
    """Exact with ties: compare the columns, look up each mask's class, sort what is at or above the last class."""
    columns = [np.ascontiguousarray(codes_N.astype(np.int16)) for codes_N in codes_NM.T]
    masks = np.arange(1 << MODALITIES)
    scores = ((masks[:, None] & MASK_BITS) > 0) @ np.array(WEIGHTS)
    classes = np.argsort(np.lexsort((-masks, -scores))).astype(np.uint8)

    def rank(query_M: IntArray) -> object:
        mask_N = np.zeros(len(codes_NM), dtype=np.uint8)
        for column, code, bit in zip(columns, query_M, MASK_BITS, strict=True):
            if code < CODES:
                mask_N |= (column == code).view(np.uint8) * np.uint8(bit)
        class_N = classes[mask_N]
        last = np.searchsorted(np.bincount(class_N, minlength=len(masks)).cumsum(), TOP)
        rows = np.flatnonzero(class_N <= last)
        return rows[np.argsort(class_N[rows], kind="stable")][:TOP]

    return rank


def torch_as_written(codes_NM: IntArray) -> Answer:
    """One comparison of everything, a weighted sum, topk; ties fall as they may."""
    codes, weights = torch.from_numpy(codes_NM), torch.tensor(WEIGHTS, dtype=torch.float32)
    return lambda query_M: ((codes == torch.from_numpy(query_M)).float() * weights).sum(dim=1).topk(TOP)


def times_ms(answer: Answer, queries_BM: IntArray) -> list[float]:
    """The time of each query, after three that warm up."""
    for query_M in queries_BM[:3]:
        answer(query_M)
    times = []
    for query_M in queries_BM:
        started = time.perf_counter()
        answer(query_M)
        times.append(1e3 * (time.perf_counter() - started))
    return times


def median(times: list[float]) -> float:
    """The middle time."""
    return statistics.median(times)


def percentile_99(times: list[float]) -> float:
    """The time that one query in a hundred exceeds."""
    return float(np.quantile(times, 0.99))


def time_claim(name: str, ours: float, alternative: float, *, most: float) -> Claim:
    """A claim about milliseconds."""
    return Claim(name, ours, alternative, alternative / ours, f"at most {most} ms", ours <= most, "ms")


def rate_claim(name: str, ours: float, alternative: float, *, least: int) -> Claim:
    """A claim about queries a second."""
    return Claim(name, ours, alternative, ours / alternative, f"at least {least}/s", ours >= least, "queries/s")


def memory_claim(ours: float, alternative: float, *, most_mb: float) -> Claim:
    """Memory of the matcher against the codes as int64."""
    goal = f"at most {most_mb:.0f} MB"
    return Claim(
        "matching: memory against int64 codes", ours, alternative, alternative / ours, goal, ours <= most_mb, "MB"
    )


def build_claim(ours: float, *, most_s: float) -> Claim:
    """Time to build the matcher; brute force builds nothing, so the alternative is the goal."""
    return Claim("matching: build", ours, most_s, most_s / ours, f"at most {most_s} s", ours <= most_s, "s")


if __name__ == "__main__":
    for claim in measure():
        figures = f"{claim.ours:12.3f} {claim.alternative:12.3f} {claim.ratio:10.1f}"
        print(f"{claim.name:52} {figures} {claim.unit:10} {claim.goal} {claim.holds}")
