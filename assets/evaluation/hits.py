"""Hit@k where scores tie: the probability of a hit, were equal scores in random order. Tokens tie a lot."""

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def hit_probability(above: Counts, ties: Counts, good: Counts, *, k: int) -> npt.NDArray[np.float64]:
    """The probability that one of `good` targets, 1 or more, is within the first k, in arrays of any one shape.

    `above` candidates score higher than the best target; `ties`, which count the targets, score like it. With s = k -
    above places left it is 1 - C(ties - good, s) / C(ties, s): a product over the places, in which each holds none of
    the targets. 1 where the others can't fill the places.
    """
    slots = k - above
    logs = np.zeros(np.shape(above), np.float64)
    with np.errstate(divide="ignore"):
        for place in range(k):
            # Once the others are used up the share is 1, its logarithm minus infinity, and so the probability 1.
            share = good / np.maximum(ties - place, good)
            logs += np.where(place < slots, np.log1p(-share), 0.0)
    return -np.expm1(logs)
