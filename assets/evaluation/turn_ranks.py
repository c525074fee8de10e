"""Reciprocal rank where scores tie: its mean over random orders of the equal scores."""

import numpy as np
import numpy.typing as npt

# C cases
Counts = npt.NDArray[np.int64]


def reciprocal_rank(above_C: Counts, ties_C: Counts, good_C: Counts) -> npt.NDArray[np.float64]:
    """The mean of 1 / rank of the first of `good` targets, 1 or more, were equal scores in random order.

    `above` candidates score higher than the best target; `ties`, which count the targets, score like it. Never 0: every
    track has a rank. One target has each rank from above + 1 to above + ties alike: a difference of harmonic numbers.
    """
    last = int((above_C + ties_C).max(initial=0))
    harmonic = np.append(0.0, np.cumsum(1 / np.arange(1, last + 1)))
    # A difference of neighbours would lose digits where nothing ties.
    ranks_C: npt.NDArray[np.float64] = np.where(
        ties_C == 1, 1 / (above_C + 1.0), (harmonic[above_C + ties_C] - harmonic[above_C]) / ties_C
    )
    several = np.flatnonzero(good_C > 1)
    counts, which = np.unique(np.stack([above_C, ties_C, good_C])[:, several], axis=1, return_inverse=True)
    means = np.array([_of_several(above, ties, good) for above, ties, good in counts.T.tolist()], np.float64)
    ranks_C[several] = means[which]
    return ranks_C


def _of_several(above: int, ties: int, good: int) -> float:
    """The sum over the places among the equals that the first target may have."""
    places = np.arange(ties - good + 1)
    others_first = np.cumprod(np.append(1.0, 1 - good / (ties - places[:-1])))  # no target before the place
    return float(np.sum(others_first * good / (ties - places) / (above + 1 + places)))
