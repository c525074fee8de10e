"""Distinct texts as integers: each text gets the code of the first one that is the same, byte for byte.

Comparing and sorting strings is what reading a log costs, so they become integers once. The hash decides only where
to look; no two different texts ever share a code.
"""

from typing import NamedTuple, TypeVar

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

# B bytes, S slots, T texts

Bytes = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Kind = TypeVar("Kind", bound=np.generic)

BATCH_ROWS = 64
# A signed index may count from the end, and the test for it costs more than the hash itself: indices are unsigned.
ONE, WORD_BYTES = np.uint64(1), np.uint64(8)


class Spans(NamedTuple):
    """One text a line: where it starts and ends, and its hash."""

    starts: Longs
    ends: Longs
    hashes: Hashes


class Texts:
    """Distinct texts in order of appearance: an open-addressing table over one growing store of bytes."""

    def __init__(self) -> None:
        self.slots_S: Ints = np.full(1024, -1, np.int32)
        self.hashes_T: Hashes = np.zeros(512, np.uint64)
        self.offsets_T: Longs = np.zeros(513, np.int64)
        self.store_B: Bytes = np.zeros(2**16, np.uint8)
        self.count: Longs = np.zeros(1, np.int64)

    def codes(self, bytes_B: Bytes, spans: Spans) -> Ints:
        """The code of each text, new ones at first appearances."""
        self._reserve(texts=len(spans.starts), new_bytes=len(bytes_B))
        texts = self.slots_S, self.hashes_T, self.offsets_T, self.store_B, self.count
        codes = np.empty(len(spans.starts), np.int32)
        _find(bytes_B, spans, texts, codes)
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
            self.hashes_T = _grown(self.hashes_T, needed + known)
            self.offsets_T = _grown(self.offsets_T, len(self.hashes_T) + 1)
        used = int(self.offsets_T[known])
        if used + new_bytes > len(self.store_B):
            self.store_B = _grown(self.store_B, used + used // 2 + new_bytes)
        if 2 * needed > len(self.slots_S):
            self.slots_S = _slots(self.hashes_T[:known], 1 << (2 * needed).bit_length())


@numba.njit(cache=True)
def hash_of(bytes_B, start, end):  # type: ignore[no-untyped-def]
    """A mixing hash, eight bytes a step."""
    start, end = np.uint64(start), np.uint64(end)
    hashed = end - start
    while start + WORD_BYTES <= end:
        hashed = (hashed ^ _word(bytes_B, start)) * np.uint64(0xFF51AFD7ED558CCD)
        hashed ^= hashed >> np.uint64(32)
        start += WORD_BYTES
    while start < end:
        hashed = (hashed ^ np.uint64(bytes_B[start])) * np.uint64(0x100000001B3)
        start += ONE
    hashed = (hashed ^ (hashed >> np.uint64(29))) * np.uint64(0xC4CEB9FE1A85EC53)
    return hashed ^ (hashed >> np.uint64(32))


def _grown(values: npt.NDArray[Kind], size: int) -> npt.NDArray[Kind]:
    grown = np.zeros(size, values.dtype)
    grown[: len(values)] = values
    return grown


@numba.njit(cache=True)
def _find(bytes_B, spans, texts, codes):  # type: ignore[no-untyped-def]
    """The code of each text that lies in its first slot; -1 for the others.

    Three short loops over a few rows, because misses of the cache overlap only where nothing depends on them.
    """
    slots_S, hashes_T, offsets_T, store_B, _ = texts
    mask = np.uint64(len(slots_S) - 1)
    begins, hits = np.empty(BATCH_ROWS, np.int64), np.empty(BATCH_ROWS, np.bool_)
    for batch in range(0, len(codes), BATCH_ROWS):
        rows = min(BATCH_ROWS, len(codes) - batch)
        for place in range(rows):
            codes[batch + place] = slots_S[spans.hashes[batch + place] & mask]
        for place in range(rows):
            row = batch + place
            code = max(codes[row], 0)
            begins[place] = offsets_T[code]
            length = offsets_T[code + 1] - begins[place]
            hits[place] = hashes_T[code] == spans.hashes[row] and length == spans.ends[row] - spans.starts[row]
        for place in range(rows):
            row = batch + place
            if not hits[place] or not _is_same(bytes_B, spans.starts[row], spans.ends[row], store_B, begins[place]):
                codes[row] = -1


@numba.njit(cache=True)
def _find_or_add(bytes_B, spans, texts, codes):  # type: ignore[no-untyped-def]
    """The code of each text that has none yet, a new one at its first appearance."""
    slots_S, hashes_T, offsets_T, store_B, count = texts
    mask = np.uint64(len(slots_S) - 1)
    for row in range(len(codes)):
        if codes[row] >= 0:
            continue
        start, end, hashed = spans.starts[row], spans.ends[row], spans.hashes[row]
        slot = hashed & mask
        while slots_S[slot] >= 0:
            code = slots_S[slot]
            begin = offsets_T[code]
            is_alike = hashes_T[code] == hashed and offsets_T[code + 1] - begin == end - start
            if is_alike and _is_same(bytes_B, start, end, store_B, begin):
                codes[row] = code
                break
            slot = (slot + np.uint64(1)) & mask
        if codes[row] < 0:
            code = count[0]
            slots_S[slot], hashes_T[code], codes[row] = code, hashed, code
            begin = offsets_T[code]
            offsets_T[code + 1] = begin + end - start
            store_B[begin : begin + end - start] = bytes_B[start:end]
            count[0] = code + 1


@numba.njit(cache=True)
def _is_same(bytes_B, start, end, store_B, begin):  # type: ignore[no-untyped-def]
    """Whether bytes_B[start:end] stand in the store from `begin` on."""
    start, end, begin = np.uint64(start), np.uint64(end), np.uint64(begin)
    while start + WORD_BYTES <= end:
        if _word(bytes_B, start) != _word(store_B, begin):
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
def _word(bytes_B, start):  # type: ignore[no-untyped-def]
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


@numba.njit(cache=True)
def _slots(hashes_T, size):  # type: ignore[no-untyped-def]
    """A fresh table of the codes 0..T-1."""
    slots_S = np.full(size, -1, np.int32)
    for code in range(len(hashes_T)):
        slot = np.int64(hashes_T[code] & np.uint64(size - 1))
        while slots_S[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots_S[slot] = code
    return slots_S
