"""Rows of exactly the context length, filled with whole sequences by best fit, longest first.

Best-fit decreasing (Johnson 1974) needs no search tree here: lengths and rooms are small integers, so rows wait in one
stack for each room left, and equal lengths are placed together. No sequence is ever cut.

A row is three int32 arrays: `input_ids`; `labels`, the same ids where they are to be learned and -100 elsewhere;
`position_ids`, which start from 0 at each sequence. A transformers model given these three, no attention mask and
`use_cache=False` keeps the attention within each sequence. The padding at a row's end counts from 0, like a sequence.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

# S sequences, T tokens, R rows, B rows of a block, C context length
IGNORED_LABEL = -100  # torch's cross-entropy skips it
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]


class Sequences(NamedTuple):
    """Token ids of many sequences: sequence i is `input_ids[starts[i] : starts[i + 1]]`, learned where `is_label`."""

    input_ids: IntArray
    is_label: npt.NDArray[np.bool_]
    starts: LongArray

    @property
    def lengths(self) -> LongArray:
        """Tokens of each sequence."""
        return np.diff(self.starts)


class Packing(NamedTuple):
    """Row i holds the sequences `order[row_starts[i] : row_starts[i + 1]]`."""

    order: LongArray
    row_starts: LongArray

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.row_starts) - 1


class RowBlock(NamedTuple):
    """Some rows, each array int32 [B, C]."""

    input_ids: IntArray
    labels: IntArray
    position_ids: IntArray


def pack(lengths_S: npt.NDArray[np.integer], *, context_length: int, seed: int) -> Packing:
    """Best-fit decreasing packing, its rows shuffled by the seed; ValueError for a length out of 1..context_length."""
    lengths_S = np.ascontiguousarray(lengths_S, dtype=np.int64)
    if len(lengths_S) and not 1 <= lengths_S.min() <= lengths_S.max() <= context_length:
        raise ValueError(
            f"sequences are {lengths_S.min()} to {lengths_S.max()} tokens long; wanted 1 to {context_length}, "
            "the context length: split or refuse longer ones before packing"
        )
    row_S, rows = _best_fit(lengths_S, context_length)
    shuffled_R = np.random.default_rng(seed).permutation(rows)
    order_S, row_starts = _grouped(shuffled_R[row_S], rows)
    return Packing(order_S, row_starts)


def fewest_rows(lengths_S: npt.NDArray[np.integer], *, context_length: int) -> int:
    """Rows that no packing without cuts can do without: all tokens, or all sequences that can't share a row."""
    return max(-(-int(lengths_S.sum()) // context_length), int((lengths_S * 2 > context_length).sum()))


def fill_rows(sequences: Sequences, packing: Packing, rows: slice, *, context_length: int, pad_id: int) -> RowBlock:
    """The rows of a slice of the packing."""
    first, stop, _ = rows.indices(packing.rows)
    shape = max(0, stop - first), context_length
    block = RowBlock(
        np.full(shape, pad_id, np.int32), np.full(shape, IGNORED_LABEL, np.int32), np.empty(shape, np.int32)
    )
    _fill(*sequences, packing.order, packing.row_starts[first : stop + 1], *block)
    return block


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _best_fit(lengths_S: LongArray, context_length: int) -> tuple[LongArray, int]:
    """The row of each sequence, and how many rows there are."""
    by_length, starts = _grouped(lengths_S, context_length + 1)
    row_S = np.empty(len(lengths_S), dtype=np.int64)
    # Stacks of rows by the room they have left: the top of each, and for each row the one below it.
    top_by_room = np.full(context_length + 1, -1, dtype=np.int64)
    below_R = np.empty(len(lengths_S), dtype=np.int64)
    rows = 0
    for length in range(context_length, 0, -1):
        at, stop, room = starts[length], starts[length + 1], length
        while at < stop:
            while room < context_length and top_by_room[room] == -1:
                room += 1
            row = top_by_room[room]
            if row == -1:
                row, rows = rows, rows + 1
            else:
                top_by_room[room] = below_R[row]
            # After one sequence this row is the fullest that can take the next: it is the best fit until it can't.
            count = min(stop - at, room // length)
            row_S[by_length[at : at + count]] = row
            at += count
            left = room - count * length
            below_R[row] = top_by_room[left]
            top_by_room[left] = row
    return row_S, rows


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _grouped(group_S: LongArray, groups: int) -> tuple[LongArray, LongArray]:
    """Places by group, stable (a counting sort), and where each group starts."""
    starts = np.zeros(groups + 1, dtype=np.int64)
    for group in group_S:
        starts[group + 1] += 1
    starts = np.cumsum(starts)
    nexts = starts.copy()
    order_S = np.empty(len(group_S), dtype=np.int64)
    for place, group in enumerate(group_S):
        order_S[nexts[group]] = place
        nexts[group] += 1
    return order_S, starts


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _fill(
    input_ids_T: IntArray,
    is_label_T: npt.NDArray[np.bool_],
    starts: LongArray,
    order_S: LongArray,
    row_starts: LongArray,
    row_ids: IntArray,
    row_labels: IntArray,
    row_positions: IntArray,
) -> None:
    for row in range(len(row_ids)):
        at = 0
        for sequence in order_S[row_starts[row] : row_starts[row + 1]]:
            for place in range(starts[sequence + 1] - starts[sequence]):
                token = starts[sequence] + place
                row_ids[row, at] = input_ids_T[token]
                if is_label_T[token]:
                    row_labels[row, at] = input_ids_T[token]
                row_positions[row, at] = place
                at += 1
        for place in range(row_ids.shape[1] - at):
            row_positions[row, at + place] = place
