"""Rows of the context length from whole sequences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.shards.packing import IGNORED_LABEL, Sequences, fewest_rows, fill_rows, pack

lengths = st.lists(st.integers(1, 16), max_size=60).map(lambda values: np.array(values, dtype=np.int64))


def sequences_of(lengths_S: np.ndarray) -> Sequences:
    """Sequences whose ids number all tokens from 1; every other token is a label."""
    starts = np.append(0, np.cumsum(lengths_S)).astype(np.int64)
    return Sequences(np.arange(1, starts[-1] + 1, dtype=np.int32), np.arange(starts[-1]) % 2 == 0, starts)


@given(lengths, st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_every_sequence_once(lengths_S: np.ndarray, seed: int) -> None:
    """Each sequence is in one row and no row is longer than the context."""
    packing = pack(lengths_S, context_length=16, seed=seed)
    assert sorted(packing.order.tolist()) == list(range(len(lengths_S)))
    for start, stop in zip(packing.row_starts[:-1], packing.row_starts[1:], strict=True):
        assert 1 <= lengths_S[packing.order[start:stop]].sum() <= 16


@given(lengths)
@settings(max_examples=100, deadline=None)
def test_equals_best_fit_decreasing(lengths_S: np.ndarray) -> None:
    """There are as many rows as when sequences, longest first, go one by one to the fullest row with room."""
    rooms: list[int] = []
    for length in sorted(lengths_S.tolist(), reverse=True):
        fitting = [place for place, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting, key=lambda place: rooms[place])] -= length
        else:
            rooms.append(16 - length)
    packing = pack(lengths_S, context_length=16, seed=0)
    filled = np.add.reduceat(lengths_S[packing.order], packing.row_starts[:-1]) if len(lengths_S) else np.array([])
    assert sorted((16 - filled).tolist()) == sorted(rooms)
    assert fewest_rows(lengths_S, context_length=16) <= packing.rows == len(rooms)


@given(lengths)
@settings(max_examples=50, deadline=None)
def test_rows_hold_the_sequences(lengths_S: np.ndarray) -> None:
    """Ids are the sequences' in packed order, then padding; labels are the ids to learn; places count from 0."""
    sequences, packing = sequences_of(lengths_S), pack(lengths_S, context_length=16, seed=0)
    block = fill_rows(sequences, packing, slice(None), context_length=16, pad_id=0)
    for row, (start, stop) in enumerate(zip(packing.row_starts[:-1], packing.row_starts[1:], strict=True)):
        parts = [slice(sequences.starts[s], sequences.starts[s + 1]) for s in packing.order[start:stop]]
        ids = np.concatenate([sequences.input_ids[part] for part in parts])
        is_label = np.concatenate([sequences.is_label[part] for part in parts])
        padding = 16 - len(ids)
        assert block.input_ids[row].tolist() == ids.tolist() + [0] * padding
        assert block.labels[row].tolist() == np.where(is_label, ids, IGNORED_LABEL).tolist() + [IGNORED_LABEL] * padding
        places = [place for part in parts for place in range(part.stop - part.start)]
        assert block.position_ids[row].tolist() == places + list(range(padding))


def test_a_slice_of_rows() -> None:
    """Blocks of rows are the rows of the whole."""
    lengths_S = np.arange(1, 17)
    sequences, packing = sequences_of(lengths_S), pack(lengths_S, context_length=16, seed=0)
    whole = fill_rows(sequences, packing, slice(None), context_length=16, pad_id=0)
    part = fill_rows(sequences, packing, slice(2, 5), context_length=16, pad_id=0)
    assert np.array_equal(part.input_ids, whole.input_ids[2:5])


def test_tight_lengths_leave_no_gap() -> None:
    """Halves, thirds and a rest pack without padding: 8+8, 10+6, 16."""
    packing = pack(np.array([6, 8, 16, 10, 8]), context_length=16, seed=0)
    assert packing.rows == (6 + 8 + 16 + 10 + 8) // 16 == 3


def test_realistic_fill() -> None:
    """Log-normal conversation lengths fill more than 99.5 % of rows of 1,024."""
    lengths_S = np.clip(np.random.default_rng(0).lognormal(5, 0.6, 50_000).astype(np.int64), 8, 1024)
    packing = pack(lengths_S, context_length=1024, seed=0)
    assert lengths_S.sum() / (packing.rows * 1024) > 0.995


def test_seed_shuffles_rows_only() -> None:
    """Another seed gives the same rows in another order, the same seed the same order."""
    lengths_S = np.random.default_rng(0).integers(1, 17, 200)

    def rows(seed: int) -> list[tuple[int, ...]]:
        packing = pack(lengths_S, context_length=16, seed=seed)
        return [tuple(row) for row in np.split(packing.order, packing.row_starts[1:-1])]

    assert rows(0) == rows(0) != rows(1)
    assert sorted(rows(0)) == sorted(rows(1))


@pytest.mark.parametrize("length", [0, 17])
def test_length_out_of_range(length: int) -> None:
    """An empty sequence and one longer than the context are errors, never cut."""
    with pytest.raises(ValueError, match="wanted 1 to 16, the context length"):
        pack(np.array([3, length]), context_length=16, seed=0)
