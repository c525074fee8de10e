"""Bootstrap intervals of means whose cases come in groups (Efron and Tibshirani 1993; cluster bootstrap).

Cases of one playlist or one listener are alike, so whole groups are drawn again, with all their cases. The draws are
the same for every column, so that a difference of columns has the paired interval.
"""

import numpy as np
import numpy.typing as npt

# C cases, G groups, X columns, R resamples
Floats = npt.NDArray[np.float64]

TAILS = (0.025, 0.975)  # of a 95 % interval
AT_ONCE = 64  # resamples whose weights are in memory


def resampled_means(values_CX: Floats, groups_C: npt.NDArray[np.int64], *, resamples: int, seed: int) -> Floats:
    """Means of the columns in each resample, [R, X]: as many groups as there are, drawn with replacement.

    Needs at least one case.
    """
    groups, members_C = np.unique(groups_C, return_inverse=True)
    cases_G = np.bincount(members_C).astype(np.float64)
    sums_GX = np.zeros((len(groups), values_CX.shape[1]))
    np.add.at(sums_GX, members_C, values_CX)
    draws = np.random.default_rng(seed)
    shares_G = np.full(len(groups), 1 / len(groups))
    means = []
    for first in range(0, resamples, AT_ONCE):
        drawn = draws.multinomial(len(groups), shares_G, size=min(AT_ONCE, resamples - first))
        weights_RG = drawn.astype(np.float64)
        means.append(weights_RG @ sums_GX / (weights_RG @ cases_G)[:, None])
    return np.concatenate(means)


def interval(means_RX: Floats) -> Floats:
    """Where the 95 % interval of each column begins and ends, [2, X]: percentiles of the resamples' means."""
    ends: Floats = np.quantile(means_RX, TAILS, axis=0)
    return ends
