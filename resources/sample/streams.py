"""Seeded random streams: one per purpose and index, so that any slice, listener or recording can be made alone."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Purpose(IntEnum):
    """What a stream of random numbers is for."""

    LATENTS = 0
    NAMES = 1
    SLICE = 2
    LISTENERS = 3
    LISTENER = 4
    RECORDINGS = 5
    RECORDING = 6
    LYRICS = 7
    FACTS = 8


def generator(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The stream of (seed, purpose, index); streams of different triples are independent."""
    return np.random.default_rng(np.random.SeedSequence((seed, purpose, index)))


def choose(rng: np.random.Generator, shares: Floats, count: int) -> Ints:
    """`count` draws of a position of `shares`, which need not sum to 1."""
    edges = np.cumsum(shares)
    positions: Ints = np.minimum(np.searchsorted(edges, rng.random(count) * edges[-1], side="right"), len(edges) - 1)
    return positions
