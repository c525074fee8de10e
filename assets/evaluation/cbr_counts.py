"""How many tracks of the catalog score above and like the best target of each case: every system of tokens at once.

In: the catalog's codes, and cases. Out: counts by case and system, from which `hits.py` makes the share that hits.
One walk through the catalog serves all systems: it takes a block of tracks, small enough for a core's cache, and
scores it for every case before it takes the next.

Scores, with w the weight of a modality:
m3token: sum of w x depth, the levels from the first on that are equal without a gap (3MToken 2.4).
m3token_counted: the number of equal levels, wherever they are (TalkPlay-Tools).
m3token_<modality>: depth in that modality alone; m3token_without_<modality>: m3token without it.
Each baseline: sum of w over the modalities whose codes are equal.
A missing modality matches nothing. The seed is no candidate for itself.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from assets.evaluation.cbr_cases import CaseCounts, Cases

# N tracks, M modalities, Q columns of codes, C cases, S systems, B tracks of a block, T targets of a case
Codes = npt.NDArray[np.uint16]

BLOCK = 4096  # tracks: codes and scores of so many stay in a core's second cache
UNMATCHED = np.iinfo(np.uint16).max  # in a query: equal to no track's code
MOST_SCORE = np.iinfo(np.uint16).max


class CatalogCodes(NamedTuple):
    """A catalog's codes: a row of `columns` for each level of each modality, then each baseline's modalities.

    `sizes` [Q] are the codes of each column; the code after the last means missing. `levels` [M] counts the levels.
    """

    columns_QN: Codes
    sizes_Q: npt.NDArray[np.int64]
    levels_M: npt.NDArray[np.int64]


def catalog_codes(
    levels_NL: Sequence[npt.NDArray[np.integer]],
    level_sizes: Sequence[Sequence[int]],
    baselines_NM: Sequence[npt.NDArray[np.integer]] = (),
    baseline_sizes: Sequence[Sequence[int]] = (),
) -> CatalogCodes:
    """The codes of each modality, [N, its levels], and of each baseline, [N, M], as the kernel reads them.

    Raises ValueError for a code beyond its reserved one: it is of another codebook.
    """
    columns_NQ = np.concatenate([*levels_NL, *baselines_NM], axis=1)
    sizes_Q = np.concatenate([np.asarray(sizes, np.int64) for sizes in (*level_sizes, *baseline_sizes)])
    if columns_NQ.shape[1] != len(sizes_Q):
        raise ValueError(f"{columns_NQ.shape[1]} columns of codes and {len(sizes_Q)} sizes; wanted a size for each")
    bad_NQ = (columns_NQ < 0) | (columns_NQ > sizes_Q)
    if bad_NQ.any():
        row, column = (int(at) for at in np.argwhere(bad_NQ)[0])
        raise ValueError(
            f"track {row}, column {column}: code {columns_NQ[row, column]}, wanted 0 to {sizes_Q[column]}: "
            "tokens and codebooks are of different versions; materialize the tokens"
        )
    if len(sizes_Q) and sizes_Q.max() >= UNMATCHED:
        raise ValueError(f"a codebook has {sizes_Q.max()} codes; wanted fewer than {UNMATCHED}")
    levels_M = np.asarray([codes_NL.shape[1] for codes_NL in levels_NL], np.int64)
    return CatalogCodes(np.ascontiguousarray(columns_NQ.T, np.uint16), sizes_Q, levels_M)


def system_names(modalities: Sequence[str], baselines: Sequence[str]) -> list[str]:
    """The systems in the order of the counts."""
    alone = [f"m3token_{modality}" for modality in modalities]
    without = [f"m3token_without_{modality}" for modality in modalities]
    return ["m3token", "m3token_counted", *alone, *without, *baselines]


def count_cases(codes: CatalogCodes, cases: Cases, *, weights: Sequence[int], threads: int = 1) -> CaseCounts:
    """The counts of every case by every system; no result depends on `threads`.

    Raises ValueError for weights that are negative, or so large that a score is above 65,535.
    """
    weights_M = np.asarray(weights, np.int64)
    if len(weights_M) != len(codes.levels_M) or (weights_M < 0).any():
        raise ValueError(f"weights are {list(weights)}; wanted {len(codes.levels_M)}, none negative")
    if weights_M @ codes.levels_M > MOST_SCORE:
        raise ValueError(f"weights {list(weights)} make scores above {MOST_SCORE}; wanted smaller ones")
    modalities = len(weights_M)
    systems = 2 + 2 * modalities + (len(codes.sizes_Q) - int(codes.levels_M.sum())) // modalities
    counts = CaseCounts(*(np.zeros((len(cases.seeds_C), systems), np.int64) for _ in range(3)))
    weights_M = weights_M.astype(np.uint16)

    def count(part: npt.NDArray[np.int64]) -> None:
        _count_part(codes, cases, weights_M, part, counts)

    parts = np.array_split(np.arange(len(cases.seeds_C)), threads)
    if threads == 1:
        count(parts[0])
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(count, parts))
    return counts


def popularity_counts(popularity_N: npt.NDArray[np.int64], cases: Cases) -> CaseCounts:
    """The counts, [C, 1], of a system that scores tracks by a number of their own, whatever the seed."""
    ordered_N = np.sort(popularity_N)
    pairs = cases.pairs()
    best_C = np.full(len(cases.seeds_C), -1, np.int64)
    np.maximum.at(best_C, pairs.cases, popularity_N[pairs.targets])
    own_C = popularity_N[cases.seeds_C]
    good_C = np.bincount(pairs.cases[popularity_N[pairs.targets] == best_C[pairs.cases]], minlength=len(cases.seeds_C))
    first_C, last_C = (np.searchsorted(ordered_N, best_C, side=side) for side in ("left", "right"))
    above_C = len(ordered_N) - last_C - (own_C > best_C)
    return CaseCounts(above_C[:, None], (last_C - first_C - (own_C == best_C))[:, None], good_C[:, None])


@numba.njit(cache=True, nogil=True)
def _count_part(codes, cases, weights_M, part, counts):  # type: ignore[no-untyped-def]
    """Fill the counts of the cases in `part`."""
    columns_QN, systems = codes.columns_QN, counts.above.shape[1]
    tracks = columns_QN.shape[1]
    queries_PQ = np.empty((len(part), len(columns_QN)), np.uint16)
    best_PS = np.empty((len(part), systems), np.uint16)
    scores_SB = np.empty((systems, BLOCK), np.uint16)
    for at in range(len(part)):
        seed = cases.seeds_C[part[at]]
        for column in range(len(columns_QN)):
            code = columns_QN[column, seed]
            queries_PQ[at, column] = code if code < codes.sizes_Q[column] else UNMATCHED
        _score_targets(codes, cases, weights_M, part[at], queries_PQ[at], best_PS[at], counts)
    for first in range(0, tracks, BLOCK):
        last = min(first + BLOCK, tracks)
        for at in range(len(part)):
            _score(columns_QN, first, last, queries_PQ[at], codes.levels_M, weights_M, scores_SB)
            for system in range(systems):
                above, level = _count_above(scores_SB[system, : last - first], best_PS[at, system])
                counts.above[part[at], system] += above
                counts.ties[part[at], system] += level


@numba.njit(cache=True, nogil=True)
def _score_targets(codes, cases, weights_M, case, query_Q, best_S, counts):  # type: ignore[no-untyped-def]
    """The best target's scores, how many targets have them, and what the seed itself would add, taken off."""
    columns_QN, seed = codes.columns_QN, cases.seeds_C[case]
    start, stop = cases.starts[cases.lists_C[case]], cases.starts[cases.lists_C[case] + 1]
    codes_QT = np.empty((len(columns_QN), stop - start + 1), np.uint16)
    targets = 0
    for at in range(start, stop):
        if cases.members[at] != seed:
            for column in range(len(columns_QN)):
                codes_QT[column, targets] = columns_QN[column, cases.members[at]]
            targets += 1
    for column in range(len(columns_QN)):
        codes_QT[column, targets] = columns_QN[column, seed]
    scores_ST = np.empty((len(best_S), targets + 1), np.uint16)
    _score(codes_QT, 0, targets + 1, query_Q, codes.levels_M, weights_M, scores_ST)
    for system in range(len(best_S)):
        best = scores_ST[system, :targets].max()
        best_S[system] = best
        counts.good[case, system] = (scores_ST[system, :targets] == best).sum()
        counts.above[case, system] = -int(scores_ST[system, targets] > best)
        counts.ties[case, system] = -int(scores_ST[system, targets] == best)


@numba.njit(cache=True, nogil=True)
def _score(columns_QN, first, last, query_Q, levels_M, weights_M, scores_SB):  # type: ignore[no-untyped-def]
    """Fill the scores of the tracks from `first` up to `last`, a row a system in the order of `system_names`."""
    modalities, column = len(levels_M), 0
    tracks = last - first
    scores_SB[:, :tracks] = 0
    total_B, counted_B = scores_SB[0, :tracks], scores_SB[1, :tracks]
    for modality in range(modalities):
        depth_B = scores_SB[2 + modality, :tracks]
        for level in range(levels_M[modality]):
            _add_level(columns_QN[column, first:last], query_Q[column], np.uint16(level), depth_B, counted_B)
            column += 1
        _add_weighted(depth_B, weights_M[modality], total_B)
    for modality in range(modalities):
        without_B = scores_SB[2 + modalities + modality, :tracks]
        _without(total_B, scores_SB[2 + modality, :tracks], weights_M[modality], without_B)
    for system in range(2 + 2 * modalities, len(scores_SB)):
        for modality in range(modalities):
            codes_B = columns_QN[column, first:last]
            _add_equal(codes_B, query_Q[column], weights_M[modality], scores_SB[system, :tracks])
            column += 1


# Each loop below is one array operation of one width, so that it is compiled to vector instructions.


@numba.njit(cache=True, nogil=True)
def _add_level(codes_B, code, level, depth_B, counted_B):  # type: ignore[no-untyped-def]
    for at in range(len(codes_B)):
        equal = codes_B[at] == code
        counted_B[at] += np.uint16(equal)
        depth_B[at] += np.uint16(equal & (depth_B[at] == level))


@numba.njit(cache=True, nogil=True)
def _add_weighted(depth_B, weight, total_B):  # type: ignore[no-untyped-def]
    for at in range(len(depth_B)):
        total_B[at] += np.uint16(weight * depth_B[at])


@numba.njit(cache=True, nogil=True)
def _without(total_B, depth_B, weight, without_B):  # type: ignore[no-untyped-def]
    for at in range(len(total_B)):
        without_B[at] = np.uint16(total_B[at] - weight * depth_B[at])


@numba.njit(cache=True, nogil=True)
def _add_equal(codes_B, code, weight, total_B):  # type: ignore[no-untyped-def]
    for at in range(len(codes_B)):
        total_B[at] += np.uint16(weight * np.uint16(codes_B[at] == code))


@numba.njit(cache=True, nogil=True)
def _count_above(scores_B, best):  # type: ignore[no-untyped-def]
    """How many scores are above `best`, and how many are `best`; of at most 65,535 tracks."""
    above, level = np.uint16(0), np.uint16(0)
    for at in range(len(scores_B)):
        above = np.uint16(above + np.uint16(scores_B[at] > best))
        level = np.uint16(level + np.uint16(scores_B[at] == best))
    return above, level
