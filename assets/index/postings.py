"""Posting lists of codes, and the compiled walk through them that ranks tracks by match mask.

In: a catalog's codes and packed queries; out: rows in the order that `matching.py` defines. Every list repeats its
tracks' codes, packed in one integer, so that a query reads two or three lists straight through and looks nothing up.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

# N tracks, M modalities, B queries, T ranked tracks a query, L tracks in a list, C = 2^M classes of equal tracks
MOST_MODALITIES = 5
CODE_BITS = 12
IntArray = npt.NDArray[np.int32]

FIELD_ONES = np.uint64(sum(1 << (CODE_BITS * field) for field in range(MOST_MODALITIES)))
FIELD_HIGH = FIELD_ONES << np.uint64(CODE_BITS - 1)
FIELD_LOW = FIELD_HIGH - FIELD_ONES
FIELD_SHIFT = np.uint64(CODE_BITS - 1)
MASK_BITS = np.uint64((1 << MOST_MODALITIES) - 1)
# SplitMix64 (Steele, Lea, Flood 2014): the increment of its state and the two multipliers of its output.
DRAW_STEP, DRAW_FIRST, DRAW_SECOND = (
    np.uint64(factor) for factor in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


class Postings(NamedTuple):
    """A catalog as the kernels read it.

    `catalog` [N] has a track's codes in one integer, 12 bits each, first modality highest. The list of code c of
    modality m is `starts[firsts[m] + c]` up to the next start, in row order, in `rows` and (codes again) `packed`; a
    reserved code has none. `sizes` [M] counts the codes. `scores` and `classes` go by mask, `masks` by class.
    """

    catalog: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    rows: IntArray
    packed: npt.NDArray[np.uint64]
    scores: IntArray
    classes: npt.NDArray[np.int64]
    masks: npt.NDArray[np.uint8]


def post(codes_NM: IntArray, *, sizes: Sequence[int], weights: Sequence[int]) -> Postings:
    """The lists of a catalog with codes in 0..size, size being reserved. Classes rank by weight, then by mask."""
    counts = [np.bincount(codes_N, minlength=size + 1)[:size] for codes_N, size in zip(codes_NM.T, sizes, strict=True)]
    starts = np.concatenate([[0], *counts]).cumsum()
    sizes_M = np.asarray(sizes, dtype=np.int64)
    firsts_M = sizes_M.cumsum() - sizes_M
    catalog_N = pack(codes_NM)
    rows, packed = np.empty(starts[-1], dtype=np.int32), np.empty(starts[-1], dtype=np.uint64)
    _fill_lists(codes_NM, catalog_N, firsts_M, sizes_M, starts[:-1].copy(), rows, packed)

    bits_CM = np.arange(1 << len(sizes))[:, None] >> np.arange(len(sizes))[::-1] & 1
    scores = (bits_CM @ np.asarray(weights)).astype(np.int32)
    masks = np.lexsort((np.arange(len(scores)), scores))[::-1].astype(np.uint8)
    return Postings(catalog_N, sizes_M, firsts_M, starts, rows, packed, scores, np.argsort(masks), masks)


def pack(codes_BM: IntArray) -> npt.NDArray[np.uint64]:
    """The codes of each row in one integer, so that one XOR compares them all."""
    packed_B = np.zeros(len(codes_BM), dtype=np.uint64)
    for codes_B in codes_BM.T:
        packed_B = (packed_B << np.uint64(CODE_BITS)) | codes_B.astype(np.uint64)
    return packed_B


@numba.njit(cache=True, nogil=True)
def rank_queries(lists, queries_BM, queries_B, part, is_seeded, seed, rows_BT, masks_BT):  # type: ignore[no-untyped-def]
    """Fill the rows and masks of the queries in `part`; equal tracks keep row order or are drawn by seed and query."""
    modalities, top = queries_BM.shape[1], rows_BT.shape[1]
    longest = _longest_list(lists, queries_BM, part)
    # A draw needs all tracks of a class; pages that no class reaches are never touched.
    found_CL = np.empty((len(lists.masks), longest if is_seeded else min(top, longest)), dtype=np.int32)
    counts_C, masks_L = np.empty(len(lists.masks), dtype=np.int64), np.empty(longest, dtype=np.uint8)
    for query in part:
        packed, present = queries_B[query], 0
        for modality in range(modalities):
            present = 2 * present + (queries_BM[query, modality] < lists.sizes[modality])
        counts_C[:] = 0
        for modality in range(modalities):
            own = 1 << (modalities - 1 - modality)
            if not present & own:
                continue
            # The best that this list and those after it can add is a match in all of their modalities.
            if counts_C[: lists.classes[present & (2 * own - 1)]].sum() >= top:
                break
            at = lists.firsts[modality] + queries_BM[query, modality]
            start, stop = lists.starts[at], lists.starts[at + 1]
            _match_list(lists.packed[start:stop], packed, present, masks_L)
            _collect(lists.rows[start:stop], masks_L, own, lists.classes, counts_C, found_CL)
        state = _mixed(_mixed(seed) ^ packed)
        filled = 0
        for rank in range(len(lists.masks)):
            taken = min(counts_C[rank], top - filled)
            if is_seeded:
                _draw(found_CL[rank, : counts_C[rank]], taken, state + np.uint64(rank))
            for at in range(taken):  # copying slices would be three times as slow, for most are short
                rows_BT[query, filled + at] = found_CL[rank, at]
                masks_BT[query, filled + at] = lists.masks[rank]
            filled += taken
        if filled < top:
            masks_BT[query, filled:] = 0
            state += np.uint64(len(lists.masks))
            _write_unmatched(lists.catalog, packed, present, is_seeded, state, rows_BT[query, filled:])


@numba.njit(cache=True, nogil=True)
def _fill_lists(codes_NM, catalog_N, firsts_M, sizes_M, free, rows, packed):  # type: ignore[no-untyped-def]
    for row in range(codes_NM.shape[0]):
        for modality in range(codes_NM.shape[1]):
            code = codes_NM[row, modality]
            if code < sizes_M[modality]:
                at = free[firsts_M[modality] + code]
                free[firsts_M[modality] + code] = at + 1
                rows[at] = row
                packed[at] = catalog_N[row]


@numba.njit(cache=True, nogil=True)
def _longest_list(lists, queries_BM, part):  # type: ignore[no-untyped-def]
    longest = 1
    for query in part:
        for modality in range(queries_BM.shape[1]):
            if queries_BM[query, modality] < lists.sizes[modality]:
                at = lists.firsts[modality] + queries_BM[query, modality]
                longest = max(longest, lists.starts[at + 1] - lists.starts[at])
    return longest


@numba.njit(cache=True, nogil=True)
def _match_list(packed_L, query, present, masks_L):  # type: ignore[no-untyped-def]
    for at in range(len(packed_L)):
        masks_L[at] = _match_mask(packed_L[at] ^ query) & present


@numba.njit(cache=True, nogil=True)
def _match_mask(difference):  # type: ignore[no-untyped-def]
    """One bit for each 12-bit field that is zero; without a branch, so that the loop around it is vectorized."""
    differs = ((difference & FIELD_LOW) + FIELD_LOW) | difference
    equal = (~differs & FIELD_HIGH) >> FIELD_SHIFT  # field f in bit 12 f, wanted in bit f
    mask = equal | equal >> FIELD_SHIFT
    mask |= mask >> np.uint64(2 * FIELD_SHIFT) | equal >> np.uint64(4 * FIELD_SHIFT)
    return np.uint8(mask & MASK_BITS)


@numba.njit(cache=True, nogil=True)
def _collect(rows_L, masks_L, own, classes, counts_C, found_CL):  # type: ignore[no-untyped-def]
    """Count a list's tracks by class and keep the first of each; a track belongs to the first list that it is in."""
    room, alone, elsewhere, others = found_CL.shape[1], 0, 0, 0
    for at in range(len(rows_L)):
        if alone == room:
            break
        if masks_L[at] == own:
            found_CL[classes[own], alone] = rows_L[at]
            alone += 1
    for at in range(len(rows_L)):
        mask = masks_L[at]
        if mask == own:  # nearly all of a list: counted by subtraction, since adding one at a time is twice as slow
            continue
        if mask >= 2 * own:
            elsewhere += 1
            continue
        others += 1
        rank = classes[mask]
        if counts_C[rank] < room:
            found_CL[rank, counts_C[rank]] = rows_L[at]
        counts_C[rank] += 1
    counts_C[classes[own]] = len(rows_L) - elsewhere - others


@numba.njit(cache=True, nogil=True)
def _draw(rows, taken, state):  # type: ignore[no-untyped-def]
    """Bring `taken` rows drawn without replacement to the front (Fisher and Yates); a shorter draw is its beginning."""
    for at in range(taken):
        state += DRAW_STEP
        drawn = at + np.int64(_mixed(state) % np.uint64(len(rows) - at))
        rows[at], rows[drawn] = rows[drawn], rows[at]


@numba.njit(cache=True, nogil=True)
def _mixed(state):  # type: ignore[no-untyped-def]
    state = (state ^ (state >> np.uint64(30))) * DRAW_FIRST
    state = (state ^ (state >> np.uint64(27))) * DRAW_SECOND
    return state ^ (state >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _write_unmatched(catalog_N, query, present, is_seeded, state, rows):  # type: ignore[no-untyped-def]
    """Fill `rows` with tracks that share nothing with the query."""
    unmatched = np.empty(len(catalog_N) if is_seeded else len(rows), dtype=np.int32)
    found = 0
    for row in range(len(catalog_N)):
        if found == len(unmatched):
            break
        if not _match_mask(catalog_N[row] ^ query) & present:
            unmatched[found] = row
            found += 1
    if is_seeded:
        _draw(unmatched[:found], len(rows), state)
    rows[:] = unmatched[: len(rows)]
