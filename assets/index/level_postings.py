"""Posting lists of first-level codes, and the compiled walk through them that ranks tracks by weighted depth.

In: a catalog's codes, column by column, and queries; out: rows in the order that `level_matching.py` defines. Columns
come in groups, and a column counts only under equal codes in all earlier ones of its group: a group is a modality where
matching is hierarchical, and one column alone where equal levels are counted. The list of a group's first code holds
its tracks in row order with their later codes packed beside them, so that a query reads one list a group and looks
nothing up. The catalog is walked in blocks whose scores stay in the first-level cache. A code that a large share of the
catalog has needs no list: comparing the group's columns themselves, many rows an instruction, is then faster.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

# N tracks, C columns, G groups, M modalities, B queries, T ranked tracks a query
IntArray = npt.NDArray[np.int32]
CodeArray = npt.NDArray[np.integer[Any]]

BLOCK = 8192  # rows, so that their scores fit a first-level cache
CHUNK = 256  # rows whose best score is found before any one of them is looked at
ROOM = 256  # candidates beyond those wanted, before the worst are cut off
LONG_SHARE = 3  # a code that more than 1/3 of the tracks have gets no list: from there on columns are faster (measured)
TAIL_BITS = 64  # of the packed later codes of a group; 16 where they suffice
CEILING = 2**31 - 1  # of scores

# The 32-bit mixer lowbias32 (Wellons, 2018) and its inverse: a permutation, so no two rows share a draw.
MIX_FIRST, MIX_SECOND = np.uint64(0x7FEB352D), np.uint64(0x846CA68B)
UNMIX_FIRST, UNMIX_SECOND = (np.uint64(pow(int(factor), -1, 2**32)) for factor in (MIX_SECOND, MIX_FIRST))
WORD = np.uint64(2**32 - 1)


class LevelPostings(NamedTuple):
    """A catalog as the kernels read it.

    `codes` [C, N] has the columns, `sizes` [C] their numbers of codes, the next code being reserved. Group g has the
    columns from `columns[g]` to the next, `owners[g]` is its modality. The list of its first code c is number
    i = `firsts[g] + c`; the part of it that block b has is in `rows`, counted within the block, and `tails`, from
    `starts[i, b]` to `starts[i, b + 1]`. A tail is the later codes, each shifted by its column's `shifts`, the second
    highest; the first column's shift is the tail's width. A list that `is_long` is empty; reserved codes have none.
    """

    codes: CodeArray
    sizes: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]
    starts: npt.NDArray[np.uint32]
    is_long: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.uint16]
    tails: CodeArray
    shifts: npt.NDArray[np.uint64]


def post_levels(codes_NC: CodeArray, *, sizes: Sequence[Sequence[int]], owners: Sequence[int]) -> LevelPostings:
    """The lists of a catalog with codes in 0..size, size being reserved; `sizes` go by group, and by column in it."""
    sizes_C = np.array([size for group in sizes for size in group], dtype=np.int64)
    columns_G = np.cumsum([0, *map(len, sizes)])
    codes_CN: CodeArray = np.ascontiguousarray(codes_NC.T, dtype=np.uint8 if sizes_C.max() < 1 << 8 else np.uint16)
    shifts = [np.cumsum([0, *(size.bit_length() for size in group[:0:-1])])[::-1] for group in sizes]

    first_sizes_G = sizes_C[columns_G[:-1]]
    firsts_G = first_sizes_G.cumsum() - first_sizes_G
    counts = np.zeros((first_sizes_G.sum(), -(-len(codes_NC) // BLOCK)), dtype=np.int64)
    for column, first, size in zip(columns_G[:-1], firsts_G, first_sizes_G, strict=True):
        _count(codes_CN[column], counts[first : first + size])
    is_long = counts.sum(axis=1) > len(codes_NC) // LONG_SHARE
    counts[is_long] = 0
    ends = counts.cumsum().reshape(counts.shape)
    starts = np.concatenate([ends - counts, counts.sum(axis=1, keepdims=True)], axis=1).astype(np.uint32)
    starts[:, -1] += starts[:, 0]

    rows = np.empty(counts.sum(), dtype=np.uint16)
    width = max(int(shift[0]) for shift in shifts)
    tails: CodeArray = np.empty(len(rows) if width else 0, dtype=np.uint16 if width <= 16 else np.uint64)
    owners_G, shifts_C = np.asarray(owners, dtype=np.int64), np.concatenate(shifts).astype(np.uint64)
    lists = LevelPostings(codes_CN, sizes_C, columns_G, owners_G, firsts_G, starts, is_long, rows, tails, shifts_C)
    for group in range(len(sizes)):
        _fill_lists(lists, group)
    return lists


@numba.njit(cache=True, nogil=True)
def rank_queries(lists, queries_BC, weights_BM, part, is_seeded, seed, rows_BT, scores_BT):  # type: ignore[no-untyped-def]
    """Fill the rows and scores of the queries in `part`; equal tracks keep row order or are drawn by seed and query."""
    tracks, top = lists.codes.shape[1], rows_BT.shape[1]
    scores, depths = np.empty(BLOCK, dtype=np.int32), np.empty(BLOCK, dtype=np.uint8)
    # The best so far, each one number, the lower the better: the score it lacks, then its draw, which no other row has.
    best = np.empty(min(tracks, top + max(top, ROOM)), dtype=np.uint64)
    for query in part:
        codes, weights = queries_BC[query], weights_BM[query]
        key = _key(codes, seed) if is_seeded else np.uint64(0)
        count, last = 0, np.uint64(2**64 - 1)
        for block in range(lists.starts.shape[1] - 1):
            stop = min(BLOCK, tracks - block * BLOCK)
            scores[:] = 0
            for group in range(len(lists.owners)):
                first, weight = lists.columns[group], weights[lists.owners[group]]
                if codes[first] == lists.sizes[first] or weight == 0:
                    continue
                if lists.is_long[lists.firsts[group] + codes[first]]:
                    _add_columns(lists, group, codes, weight, block, scores[:stop], depths)
                else:
                    _add_list(lists, group, codes, weight, block, scores)
            count, last = _collect(scores[:stop], block * BLOCK, is_seeded, key, best, count, top, last)
        best[:count].sort()
        for at in range(top):
            draw = best[at] & WORD
            rows_BT[query, at] = _unmixed(draw) ^ key if is_seeded else draw
            scores_BT[query, at] = CEILING - np.int64(best[at] >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def fill_depths(lists, queries_BC, part, rows_BT, depths_BTM):  # type: ignore[no-untyped-def]
    """Count the equal levels of each modality of ranked rows, as the groups count them."""
    for query in part:
        for at in range(rows_BT.shape[1]):
            depths_BTM[query, at] = 0
            for group in range(len(lists.owners)):
                for column in range(lists.columns[group], lists.columns[group + 1]):
                    code = queries_BC[query, column]
                    if code == lists.sizes[column] or lists.codes[column, rows_BT[query, at]] != code:
                        break
                    depths_BTM[query, at, lists.owners[group]] += 1


@numba.njit(cache=True, nogil=True)
def tail_of(lists, group, codes):  # type: ignore[no-untyped-def]
    """The codes of a group after its first, in one integer."""
    tail = np.uint64(0)
    for column in range(lists.columns[group] + 1, lists.columns[group + 1]):
        tail |= np.uint64(codes[column]) << lists.shifts[column]
    return tail


@numba.njit(cache=True, nogil=True)
def _count(codes_N, counts):  # type: ignore[no-untyped-def]
    for row in range(len(codes_N)):
        if codes_N[row] < len(counts):
            counts[codes_N[row], row // BLOCK] += 1


@numba.njit(cache=True, nogil=True)
def _fill_lists(lists, group):  # type: ignore[no-untyped-def]
    first = lists.columns[group]
    free = lists.starts[lists.firsts[group] : lists.firsts[group] + lists.sizes[first], 0].copy()
    for row in range(lists.codes.shape[1]):
        code = lists.codes[first, row]
        if code < lists.sizes[first] and not lists.is_long[lists.firsts[group] + code]:
            lists.rows[free[code]] = row % BLOCK
            if len(lists.tails):
                lists.tails[free[code]] = tail_of(lists, group, lists.codes[:, row])
            free[code] += 1


@numba.njit(cache=True, nogil=True)
def _add_list(lists, group, codes, weight, block, scores):  # type: ignore[no-untyped-def]
    """Add what a list gives to the rows of a block."""
    first, end = lists.columns[group], _reach(lists, group, codes)
    at = lists.firsts[group] + codes[first]
    part = slice(lists.starts[at, block], lists.starts[at, block + 1])
    if end == first + 1:
        for row in lists.rows[part]:
            scores[row] += weight
        return
    rows, tails, tail = lists.rows[part], lists.tails[part], tail_of(lists, group, codes)
    second, third = _limit(lists, first + 1, end), _limit(lists, first + 2, end)
    fourth = _limit(lists, first + 3, end)
    for at in range(len(rows)):
        different = np.uint64(tails[at]) ^ tail
        scores[rows[at]] += weight * (1 + (different < second) + (different < third))
        if different < fourth:
            column = first + 3
            while different < _limit(lists, column, end):
                scores[rows[at]] += weight
                column += 1


@numba.njit(cache=True, nogil=True)
def _reach(lists, group, codes):  # type: ignore[no-untyped-def]
    """The first column of the group that can't count: one that the query lacks, or the end."""
    column = lists.columns[group]
    while column < lists.columns[group + 1] and codes[column] < lists.sizes[column]:
        column += 1
    return column


@numba.njit(cache=True, nogil=True)
def _limit(lists, column, end):  # type: ignore[no-untyped-def]
    """What tails that agree up to the column differ by less than; 0 where the column can't count."""
    return np.uint64(1) << lists.shifts[column] if column < end else np.uint64(0)


@numba.njit(cache=True, nogil=True)
def _add_columns(lists, group, codes, weight, block, scores, depths):  # type: ignore[no-untyped-def]
    """Add what a group gives to the rows of a block, all of them compared; loops without a branch are vectorized."""
    first, end = lists.columns[group], _reach(lists, group, codes)
    span = slice(block * BLOCK, block * BLOCK + len(scores))
    depths[:] = 0
    for column in range(first, end):
        codes_R, code, before = lists.codes[column, span], codes[column], np.uint8(column - first)
        for row in range(len(scores)):
            depths[row] += np.uint8((codes_R[row] == code) & (depths[row] == before))
    for row in range(len(scores)):
        scores[row] += weight * np.int32(depths[row])


@numba.njit(cache=True, nogil=True)
def _collect(scores, base, is_seeded, key, best, count, top, last):  # type: ignore[no-untyped-def]
    """Keep the rows of a block that may be among the best; `last` is the worst that is wanted, once there are `top`."""
    for start in range(0, len(scores), CHUNK):
        chunk = scores[start : start + CHUNK]
        highest = np.int32(0)
        for at in range(len(chunk)):
            highest = max(highest, chunk[at])
        # A later row of an equal score is better only by a draw.
        if highest + is_seeded <= CEILING - np.int64(last >> np.uint64(32)):
            continue
        for at in range(len(chunk)):
            if chunk[at] + is_seeded <= CEILING - np.int64(last >> np.uint64(32)):
                continue
            row = np.uint64(base + start + at)
            draw = _mixed(row ^ key) if is_seeded else row
            candidate = np.uint64(CEILING - chunk[at]) << np.uint64(32) | draw
            if candidate > last:
                continue
            if count == len(best):
                best.sort()
                count, last = top, best[top - 1]
                if candidate > last:
                    continue
            best[count] = candidate
            count += 1
    return count, last


@numba.njit(cache=True, nogil=True)
def _key(codes, seed):  # type: ignore[no-untyped-def]
    """32 bits drawn from all codes of a query and a seed of 64 bits."""
    key = _mixed(_mixed(seed & WORD) ^ (seed >> np.uint64(32)))
    for code in codes:
        key = _mixed(key ^ np.uint64(code))
    return key


@numba.njit(cache=True, nogil=True)
def _mixed(word):  # type: ignore[no-untyped-def]
    word ^= word >> np.uint64(16)
    word = word * MIX_FIRST & WORD
    word ^= word >> np.uint64(15)
    word = word * MIX_SECOND & WORD
    return word ^ (word >> np.uint64(16))


@numba.njit(cache=True, nogil=True)
def _unmixed(word):  # type: ignore[no-untyped-def]
    word ^= word >> np.uint64(16)
    word = word * UNMIX_FIRST & WORD
    word ^= word >> np.uint64(15) ^ word >> np.uint64(30)
    word = word * UNMIX_SECOND & WORD
    return word ^ (word >> np.uint64(16))
