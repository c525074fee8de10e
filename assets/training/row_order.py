"""Which rows a training step reads: of each source a seeded permutation an epoch, so that a place in it says the rest.

A source's order depends on its own name, its number of rows and the seed alone. Epochs join without a gap: a step may
take the last rows of one and the first of the next.
"""

# R rows of a source, B rows of a step

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

LongArray = npt.NDArray[np.int64]


class Place(msgspec.Struct, frozen=True):
    """How far a source has been read: `row` rows of the permutation of `epoch`."""

    epoch: int = 0
    row: int = 0


class Drawn(NamedTuple):
    """Rows of a source, and the place after them."""

    rows_B: LongArray
    place: Place


def draw_rows(place: Place, count: int, *, name: str, rows: int, seed: int) -> Drawn:
    """The next `count` rows of the source of this name, which has `rows` rows; more than it has repeat."""
    if not rows and count:
        raise ValueError(f"{name} has no rows; wanted {count} a step")
    parts: list[LongArray] = []
    while count:
        part = _permutation(name, rows, seed, place.epoch)[place.row : place.row + count]
        parts.append(part)
        count -= len(part)
        row = place.row + len(part)
        place = Place(place.epoch + 1) if row == rows else Place(place.epoch, row)
    return Drawn(np.concatenate(parts) if parts else np.empty(0, np.int64), place)


def rows_by_source(available: Mapping[str, int], *, rows: int, shares: Mapping[str, float]) -> dict[str, int]:
    """How many of a step's rows each source gives, in order of name: its share, rounded, at least one.

    A source without rows gives none, whose share the others take. Raises ValueError where no source has rows, or where
    there are fewer rows than sources.
    """
    names = sorted(name for name, count in available.items() if count and shares[name] > 0)
    if not names or rows < len(names):
        raise ValueError(f"talkplay.rows={rows} for {len(names)} sources with rows; wanted at least one row of each")
    total = sum(shares[name] for name in names)
    counts = {name: max(1, round(rows * shares[name] / total)) for name in names}
    largest = max(names, key=counts.__getitem__)
    counts[largest] += rows - sum(counts.values())
    return counts


@lru_cache(maxsize=4)
def _permutation(name: str, rows: int, seed: int, epoch: int) -> LongArray:
    permutation = np.random.default_rng([seed, crc32(name.encode()), epoch]).permutation(rows)
    permutation.flags.writeable = False
    return permutation
