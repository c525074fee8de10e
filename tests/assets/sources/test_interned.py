"""Texts and hashes as integers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources.interned import BATCH_ROWS, numbered, rows_among

# Equal lower and equal upper halves look for the same slot and leave the same mark in it.
HASHES = st.integers(0, 3).flatmap(lambda low: st.integers(0, 3).map(lambda high: high << 32 | low))


def hashes(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """The values as hashes."""
    return np.array(values, np.uint64)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(HASHES, max_size=3 * BATCH_ROWS))
def test_hashes_are_numbered_by_first_appearance(values: list[int]) -> None:
    """Each code stands for one hash, and its row is the first that has it."""
    codes, rows = numbered(hashes(values))
    distinct = list(dict.fromkeys(values))
    assert codes.tolist() == [distinct.index(value) for value in values]
    assert rows.tolist() == [values.index(value) for value in distinct]


def test_many_hashes_outgrow_the_first_table() -> None:
    """Codes survive the growth of the table."""
    codes, rows = numbered(hashes(list(range(10_000)) * 2))
    assert codes.tolist() == list(range(10_000)) * 2
    assert rows.tolist() == list(range(10_000))


@settings(max_examples=100, deadline=None)
@given(values=st.lists(HASHES, max_size=40), distinct=st.lists(HASHES, unique=True))
def test_hashes_are_found_among_distinct_ones(values: list[int], distinct: list[int]) -> None:
    """The place in the list, or -1."""
    expected = [distinct.index(value) if value in distinct else -1 for value in values]
    assert rows_among(hashes(values), hashes(distinct)).tolist() == expected
