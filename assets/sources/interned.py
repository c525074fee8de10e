"""Distinct texts as integers: each text gets the code of the first one that is the same, byte for byte.

Comparing and sorting strings is what reading a log costs, so they become integers once. In `Texts` the hash decides
only where to look; no two different texts ever share a code. `numbered` and `rows_among` are for texts of which only
hashes are left to compare.
"""

from typing import NamedTuple, TypeVar

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

# B bytes, H hashes, S slots, T texts

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Kind = TypeVar("Kind", bound=np.generic)

BATCH_ROWS = 64
# A signed index may count from the end, and the test for it costs more than the hash itself: indices are unsigned.
ONE, BYTE_BITS, WORD_BYTES = np.uint64(1), np.uint64(8), np.uint64(8)
# A slot is empty (0), or half of a hash above the code plus one: one look at memory for both.
CODE_BITS = np.uint64(32)
CODE_MASK = np.uint64(2**32 - 1)


class Spans(NamedTuple):
    """One text a line: where it starts and ends, and its hash."""

    starts: Longs
    ends: Longs
    hashes: Hashes


class Texts:
    """Distinct texts in order of appearance: an open-addressing table over one growing store of bytes."""

    def __init__(self) -> None:
        self.slots_S: Hashes = np.zeros(1024, np.uint64)
        self.hashes_T: Hashes = np.zeros(512, np.uint64)
        self.offsets_T: Longs = np.zeros(513, np.int64)
        self.store_B: Bytes = np.zeros(2**16, np.uint8)
        self.count: Longs = np.zeros(1, np.int64)

    def codes(self, bytes_B: Bytes, spans: Spans) -> Ints:
        """The code of each text, new ones at first appearances."""
        self._reserve(texts=len(spans.starts), new_bytes=len(bytes_B))
        texts = self.slots_S, self.hashes_T, self.offsets_T, self.store_B, self.count
        codes = np.empty(len(spans.starts), np.int32)
        _find_or_add(bytes_B, spans, texts, codes)
        return codes

    def array(self) -> pa.LargeBinaryArray:
        """The texts, code after code."""
        known = int(self.count[0])
        offsets = np.ascontiguousarray(self.offsets_T[: known + 1])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.store_B[: offsets[-1]])]
        return pa.LargeBinaryArray.from_buffers(pa.large_binary(), known, buffers)

    def _reserve(self, *, texts: int, new_bytes: int) -> None:
        """Make room for so many more texts, half of the slots left free."""
        known = int(self.count[0])
        needed = known + texts
        if needed > len(self.hashes_T):
            self.hashes_T = _grown(self.hashes_T, known, needed + known)
            self.offsets_T = _grown(self.offsets_T, known + 1, len(self.hashes_T) + 1)
        used = int(self.offsets_T[known])
        if used + new_bytes > len(self.store_B):
            self.store_B = _grown(self.store_B, used, 2 * used + new_bytes)
        if 2 * needed > len(self.slots_S):
            self.slots_S = _slots(self.hashes_T[:known], _slot_count(needed))


def numbered(hashes_H: Hashes) -> tuple[Ints, Ints]:
    """Each hash as an integer from 0 in order of first appearance, and the row of each of these appearances."""
    codes, rows = _numbered(hashes_H)
    return codes, rows


def rows_among(hashes_H: Hashes, distinct_T: Hashes) -> Ints:
    """The row of each hash among distinct ones; -1 where it is not there."""
    rows: Ints = _rows_among(hashes_H, distinct_T, _slots(distinct_T, _slot_count(len(distinct_T))))
    return rows


@numba.njit(cache=True)
def hash_of(bytes_B, start, end):  # type: ignore[no-untyped-def]
    """A mixing hash, eight bytes a step."""
    place, stop = np.uint64(start), np.uint64(end)
    hashed = np.uint64(0)
    while place + WORD_BYTES <= stop:
        hashed = mixed(hashed, word(bytes_B, place))
        place += WORD_BYTES
    rest, shift = np.uint64(0), np.uint64(0)
    while place < stop:
        rest |= np.uint64(bytes_B[place]) << shift
        shift += BYTE_BITS
        place += ONE
    return finished(hashed, rest, stop - np.uint64(start))


@numba.njit(cache=True, inline="always")
def mixed(hashed, next_word):  # type: ignore[no-untyped-def]
    """The hash with eight more bytes."""
    product = (hashed ^ next_word) * np.uint64(0xFF51AFD7ED558CCD)
    return product ^ (product >> np.uint64(32))


@numba.njit(cache=True, inline="always")
def finished(hashed, rest, length):  # type: ignore[no-untyped-def]
    """The hash with the last, fewer than eight bytes, the others zero, and the length of all."""
    hashed = mixed(mixed(hashed, rest), length)
    hashed = (hashed ^ (hashed >> np.uint64(29))) * np.uint64(0xC4CEB9FE1A85EC53)
    return hashed ^ (hashed >> np.uint64(32))


@numba.njit(cache=True, inline="always")
def word(bytes_B, start):  # type: ignore[no-untyped-def]
    """Eight bytes as one integer, written out so that the compiler makes one load of it."""
    low = (
        np.uint64(bytes_B[start])
        | np.uint64(bytes_B[start + np.uint64(1)]) << np.uint64(8)
        | np.uint64(bytes_B[start + np.uint64(2)]) << np.uint64(16)
        | np.uint64(bytes_B[start + np.uint64(3)]) << np.uint64(24)
    )
    high = (
        np.uint64(bytes_B[start + np.uint64(4)]) << np.uint64(32)
        | np.uint64(bytes_B[start + np.uint64(5)]) << np.uint64(40)
        | np.uint64(bytes_B[start + np.uint64(6)]) << np.uint64(48)
        | np.uint64(bytes_B[start + np.uint64(7)]) << np.uint64(56)
    )
    return low | high


def _slot_count(texts: int) -> int:
    """A power of two, so that a mask is the remainder; at least half of them stay free."""
    return 1 << (2 * texts).bit_length()


def _grown(values: npt.NDArray[Kind], used: int, size: int) -> npt.NDArray[Kind]:
    grown = np.empty(size, values.dtype)
    grown[:used] = values[:used]
    return grown


@numba.njit(cache=True, nogil=True)
def _find_or_add(bytes_B, spans, texts, codes):  # type: ignore[no-untyped-def]
    """The code of each text, a new one at its first appearance.

    Short loops over a few rows, because misses of the cache overlap only where nothing depends on them.
    """
    slots_S, _, offsets_T, store_B, _ = texts
    mask = np.uint64(len(slots_S) - 1)
    begins, hits = np.empty(BATCH_ROWS, np.int64), np.empty(BATCH_ROWS, np.bool_)
    for batch in range(0, len(codes), BATCH_ROWS):
        rows = min(BATCH_ROWS, len(codes) - batch)
        for place in range(rows):
            hashed = spans.hashes[batch + place]
            slot = hashed & mask
            while slots_S[slot] and (slots_S[slot] ^ hashed) >> CODE_BITS:
                slot = (slot + ONE) & mask
            codes[batch + place] = np.int64(slots_S[slot] & CODE_MASK) - 1
        for place in range(rows):
            row = batch + place
            code = max(codes[row], 0)
            begins[place] = offsets_T[code]
            length = offsets_T[code + 1] - begins[place]
            hits[place] = codes[row] >= 0 and length == spans.ends[row] - spans.starts[row]
        for place in range(rows):
            row = batch + place
            if not hits[place] or not _is_same(bytes_B, spans.starts[row], spans.ends[row], store_B, begins[place]):
                codes[row] = -1
        for row in range(batch, batch + rows):
            if codes[row] < 0:
                codes[row] = _found_or_added(bytes_B, spans.starts[row], spans.ends[row], spans.hashes[row], texts)


@numba.njit(cache=True)
def _found_or_added(bytes_B, start, end, hashed, texts):  # type: ignore[no-untyped-def]
    slots_S, hashes_T, offsets_T, store_B, count = texts
    mask = np.uint64(len(slots_S) - 1)
    slot = hashed & mask
    while slots_S[slot]:
        if not (slots_S[slot] ^ hashed) >> CODE_BITS:
            code = np.int64(slots_S[slot] & CODE_MASK) - 1
            begin = offsets_T[code]
            if offsets_T[code + 1] - begin == end - start and _is_same(bytes_B, start, end, store_B, begin):
                return code
        slot = (slot + ONE) & mask
    code = count[0]
    slots_S[slot] = _entry(hashed, code)
    hashes_T[code] = hashed
    begin = offsets_T[code]
    offsets_T[code + 1] = begin + end - start
    for place in range(end - start):
        store_B[begin + place] = bytes_B[start + place]
    count[0] = code + 1
    return code


@numba.njit(cache=True)
def _is_same(bytes_B, start, end, store_B, begin):  # type: ignore[no-untyped-def]
    """Whether bytes_B[start:end] stand in the store from `begin` on."""
    start, end, begin = np.uint64(start), np.uint64(end), np.uint64(begin)
    while start + WORD_BYTES <= end:
        if word(bytes_B, start) != word(store_B, begin):
            return False
        start += WORD_BYTES
        begin += WORD_BYTES
    while start < end:
        if bytes_B[start] != store_B[begin]:
            return False
        start += ONE
        begin += ONE
    return True


@numba.njit(cache=True, inline="always")
def _entry(hashed, code):  # type: ignore[no-untyped-def]
    return (hashed & ~CODE_MASK) | np.uint64(code + 1)


@numba.njit(cache=True, nogil=True)
def _slots(hashes_T, size):  # type: ignore[no-untyped-def]
    """A fresh table of the codes 0..T-1."""
    slots_S = np.zeros(size, np.uint64)
    mask = np.uint64(size - 1)
    for code in range(len(hashes_T)):
        slot = hashes_T[code] & mask
        while slots_S[slot]:
            slot = (slot + ONE) & mask
        slots_S[slot] = _entry(hashes_T[code], code)
    return slots_S


@numba.njit(cache=True, nogil=True)
def _rows_among(hashes_H, distinct_T, slots_S):  # type: ignore[no-untyped-def]
    rows = np.empty(len(hashes_H), np.int32)
    for place in range(len(hashes_H)):
        rows[place] = _row_in(hashes_H[place], distinct_T, slots_S)[0]
    return rows


@numba.njit(cache=True, nogil=True)
def _numbered(hashes_H):  # type: ignore[no-untyped-def]
    slots_S, distinct_T, firsts_T = np.zeros(1024, np.uint64), np.empty(512, np.uint64), np.empty(512, np.int32)
    codes, count = np.empty(len(hashes_H), np.int32), 0
    for batch in range(0, len(hashes_H), BATCH_ROWS):
        if count + BATCH_ROWS > len(distinct_T):
            distinct_T, firsts_T = np.append(distinct_T, distinct_T), np.append(firsts_T, firsts_T)
            slots_S = _slots(distinct_T[:count], 2 * len(slots_S))
        hashes = hashes_H[batch : batch + BATCH_ROWS]
        _touch(hashes, slots_S, distinct_T)
        for place in range(len(hashes)):
            code, slot = _row_in(hashes[place], distinct_T, slots_S)
            if code < 0:
                code = count
                slots_S[slot] = _entry(hashes[place], code)
                distinct_T[code], firsts_T[code] = hashes[place], batch + place
                count += 1
            codes[batch + place] = code
    return codes, firsts_T[:count]


@numba.njit(cache=True)
def _touch(hashes, slots_S, distinct_T):  # type: ignore[no-untyped-def]
    """Bring near what a few hashes will need: misses of the cache overlap only where nothing depends on them."""
    mask, near = np.uint64(len(slots_S) - 1), np.empty(BATCH_ROWS, np.uint64)
    for place in range(len(hashes)):
        near[place] = slots_S[hashes[place] & mask]
    for place in range(len(hashes)):
        near[place] = distinct_T[max(np.int64(near[place] & CODE_MASK) - 1, 0)]
    return near


@numba.njit(cache=True, inline="always")
def _row_in(hashed, distinct_T, slots_S):  # type: ignore[no-untyped-def]
    """The row of a hash, -1 where it is missing, and its slot."""
    mask = np.uint64(len(slots_S) - 1)
    slot = hashed & mask
    while slots_S[slot]:
        row = np.int64(slots_S[slot] & CODE_MASK) - 1
        if distinct_T[row] == hashed:
            return row, slot
        slot = (slot + ONE) & mask
    return np.int64(-1), slot
