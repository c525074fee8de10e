"""What a benchmark states: one row a claim, printed by `make bench` and kept in `benchmarks/results.json`."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Claim(NamedTuple):
    """One measured claim; a `ratio` above 1 means that ours is better.

    `ratio` is alternative / ours for times and memory, ours / alternative for rates.
    """

    name: str
    ours: float
    alternative: float
    ratio: float
    goal: str
    holds: bool
    unit: str


def median_s(work: Callable[[], object], *, rounds: int = 3) -> float:
    """Median wall time of `work` in seconds, after one round that warms caches and compiles."""
    work()
    times_s = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times_s.append(time.perf_counter() - started)
    return statistics.median(times_s)
