"""The order of plays, on integers alone."""

import numba
import numpy as np

from assets.sources.interned import Longs

# R rows


def order_plays(listener_ranks_R: Longs, times_s_R: Longs) -> Longs:
    """The rows by listener and time, later rows first at one time.

    Linear in the rows where each listener's are in descending order of time, as the log's are.
    """
    order: Longs = _turned_round(listener_ranks_R, int(listener_ranks_R.max(initial=0)) + 1)
    ranks_R, times_R = listener_ranks_R[order], times_s_R[order]
    is_later = (ranks_R[1:] > ranks_R[:-1]) | (times_R[1:] >= times_R[:-1])
    if is_later.all():
        return order
    sorted_again: Longs = order[np.lexsort((times_R, ranks_R))]
    return sorted_again


@numba.njit(cache=True)
def _turned_round(listener_ranks_R, ranks):  # type: ignore[no-untyped-def]
    """The rows by listener, each listener's in reversed order."""
    ends = np.zeros(ranks + 1, np.int64)
    for rank in listener_ranks_R:
        ends[rank + 1] += 1
    ends = np.cumsum(ends)
    order = np.empty(len(listener_ranks_R), np.int64)
    for row in range(len(listener_ranks_R) - 1, -1, -1):
        rank = listener_ranks_R[row]
        order[ends[rank]] = row
        ends[rank] += 1
    return order
