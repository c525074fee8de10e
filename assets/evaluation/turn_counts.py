"""How many candidates stand before a turn's track: counts of one system over the cases, and how scores become counts.

Candidates of a case are the tracks of the catalog but those it has `seen`. Of several targets the best counts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from assets.evaluation.turn_cases import TurnCases

# C cases, B cases of a block, N tracks of the catalog
Scores = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

SCORES_AT_ONCE = 2**24  # 64 MiB of float32, and as many bytes again while they are compared


class TurnCounts(NamedTuple):
    """Candidates of each case by one system: `above` score higher than the best target, `ties`, which count the
    targets, score like it, `good` of them are targets.
    """

    above_C: Counts
    ties_C: Counts
    good_C: Counts

    def split(self, sizes: Sequence[int]) -> "list[TurnCounts]":
        """The counts of parts of so many cases, one after the other."""
        ends = np.cumsum(sizes)[:-1]
        return [
            TurnCounts(*numbers) for numbers in zip(*(np.split(numbers_C, ends) for numbers_C in self), strict=True)
        ]


def counts_of_scores(scores_BN: Scores, cases: TurnCases) -> TurnCounts:
    """The counts of a block of cases; a higher score is better, minus infinity is last, scores must be equal to tie.

    Raises ValueError for another number of rows than cases, and for NaN, which has no rank.
    """
    if len(scores_BN) != len(cases.prompts):
        raise ValueError(f"scores of {len(scores_BN)} cases; wanted {len(cases.prompts)}, a row for each case")
    unknown = np.argwhere(np.isnan(scores_BN))
    if len(unknown):
        case, track = unknown[0]
        raise ValueError(
            f"{len(unknown)} scores are NaN, first that of row {track} of the catalog for case {case} of the block: "
            "give a track that can't be scored minus infinity"
        )
    good_scores = [row_N[targets] for row_N, targets in zip(scores_BN, cases.targets, strict=True)]
    seen_scores = [row_N[seen] for row_N, seen in zip(scores_BN, cases.seen, strict=True)]
    best_B = np.array([scores.max() for scores in good_scores], scores_BN.dtype)
    is_above_BN, is_equal_BN = scores_BN > best_B[:, None], scores_BN == best_B[:, None]
    above_B, ties_B = (np.count_nonzero(is_in_BN, axis=1) for is_in_BN in (is_above_BN, is_equal_BN))
    for case, (best, scores) in enumerate(zip(best_B, seen_scores, strict=True)):
        above_B[case] -= np.count_nonzero(scores > best)
        ties_B[case] -= np.count_nonzero(scores == best)
    good_B = [np.count_nonzero(scores == best) for best, scores in zip(best_B, good_scores, strict=True)]
    return TurnCounts(above_B.astype(np.int64), ties_B.astype(np.int64), np.array(good_B, np.int64))


def counts_in_blocks(cases: TurnCases, score: Callable[[slice], Scores], *, tracks: int) -> TurnCounts:
    """The counts of all cases; `score` gives the cases of a slice a score for each of the catalog's `tracks`."""
    nothing = np.zeros(0, np.int64)
    parts = [TurnCounts(nothing, nothing, nothing)]
    size = max(1, SCORES_AT_ONCE // max(1, tracks))
    for first in range(0, len(cases.prompts), size):
        places = slice(first, first + size)
        parts.append(counts_of_scores(score(places), cases.part(places)))
    return TurnCounts(*(np.concatenate(numbers) for numbers in zip(*parts, strict=True)))
