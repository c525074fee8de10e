"""The lines of a listening log: who, when and what, as integers.

A line is a listener, a timestamp and names, a tab between them; what the names are is not known here.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import SEEK_CUR
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.sources.interned import (
    BYTE_BITS,
    ONE,
    WORD_BYTES,
    Bytes,
    Ints,
    Longs,
    Spans,
    Texts,
    finished,
    hash_of,
    mixed,
    word,
)

# B bytes

PIECE_BYTES = 2 * 2**20  # larger pieces only touch more fresh pages
LINE_BYTES = 16 * PIECE_BYTES  # no line of a log is near it
NO_TIME = np.iinfo(np.int64).min
NO_NAMES = -1
TAB, LINE_FEED, CARRIAGE_RETURN = 9, 10, 13
ZERO = 48
EACH_BYTE = np.uint64(0x0101010101010101)
TIME_PATTERN = b"0000-00-00T00:00:00Z"
TIME_BYTES = len(TIME_PATTERN)
TIME_STARTS = np.array([0, 8, TIME_BYTES - 8], np.uint64)
TIME_WORDS = np.array([int.from_bytes(TIME_PATTERN[start : start + 8], "little") for start in TIME_STARTS], np.uint64)
SLACK_PATTERN = bytes(0x10 - 10 if byte == ZERO else 0x10 - 1 for byte in TIME_PATTERN)
TIME_SLACKS = np.array([int.from_bytes(SLACK_PATTERN[start : start + 8], "little") for start in TIME_STARTS], np.uint64)
DAYS_BEFORE_MONTH = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365])
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Lines(NamedTuple):
    """One entry a line of all files, in file order, and the distinct texts that the codes stand for."""

    listener_codes: Ints
    times_s: Longs  # since 1970, UTC; NO_TIME where unreadable
    name_codes: Ints  # NO_NAMES where a line has fewer than two tabs
    listeners: pa.LargeBinaryArray
    names: pa.LargeBinaryArray  # what follows the second tab
    broken: dict[int, bytes]  # the bytes of each line without a time or without names
    starts: list[int]  # the first entry of each file


def read_lines(paths: Sequence[Path]) -> Lines:
    """Every line of the files, each read once, a piece at a time.

    Raises ValueError for a file in UTF-16, and for one that changes while it is read.
    """
    listeners, names = Texts(), Texts()
    columns: list[tuple[Ints, Longs, Ints]] = [(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int32))]
    broken: dict[int, bytes] = {}
    starts = []
    rows = 0
    for path in paths:
        starts.append(rows)
        for piece in _marked(path):
            listener_codes = listeners.codes(piece.content, piece.listeners)
            name_codes = names.codes(piece.content, piece.names)
            name_codes[~piece.has_names] = NO_NAMES
            for row in np.flatnonzero((piece.times_s == NO_TIME) | ~piece.has_names).tolist():
                start, end = piece.listeners.starts[row], piece.names.ends[row]
                broken[rows + row] = piece.content[start:end].tobytes()
            columns.append((listener_codes, piece.times_s, name_codes))
            rows += len(name_codes)
    codes, times_s, name_codes = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Lines(codes, times_s, name_codes, listeners.array(), names.array(), broken, starts)


class _Piece(NamedTuple):
    """Whole lines with their fields marked."""

    content: Bytes
    listeners: Spans
    names: Spans
    times_s: Longs
    has_names: npt.NDArray[np.bool_]


def _marked(path: Path) -> Iterator[_Piece]:
    """The pieces of the file; the next one is read and marked while the caller works on one."""
    pieces = map(_mark, _pieces(path))
    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(next, pieces, None)
        while piece := ahead.result():
            ahead = thread.submit(next, pieces, None)
            yield piece


def _pieces(path: Path) -> Iterator[Bytes]:
    """The file in pieces of whole lines, each ending in a line feed, without a byte order mark."""
    before = path.stat()
    with path.open("rb") as file:
        head = file.read(len(BYTE_ORDER_MARK))
        if head.startswith(UTF16_MARKS):
            raise ValueError(f"{path}: encoded in UTF-16; expected UTF-8: convert it, for example with iconv")
        file.seek(len(head) if head == BYTE_ORDER_MARK else 0)
        size = PIECE_BYTES
        while block := file.read(size):
            end = block.rfind(b"\n") + 1
            if end:
                yield np.frombuffer(block, np.uint8, count=end)
                size = PIECE_BYTES
            elif len(block) < size:
                yield np.frombuffer(block + b"\n", np.uint8)
                break
            elif size > LINE_BYTES:
                raise ValueError(f"{path}: more than {LINE_BYTES} bytes without an end of line; expected a line a play")
            else:
                size *= 2
            file.seek(end - len(block), SEEK_CUR)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ValueError(f"{path}: changed while it was read; expected a finished file: read it again")


def _mark(bytes_B: Bytes) -> _Piece:
    rows = np.count_nonzero(bytes_B == LINE_FEED)
    listeners, names = (
        Spans(np.empty(rows, np.int64), np.empty(rows, np.int64), np.empty(rows, np.uint64)) for _ in range(2)
    )
    times_s, has_names = np.empty(rows, np.int64), np.empty(rows, np.bool_)
    _mark_lines(bytes_B, listeners, names, times_s, has_names)
    return _Piece(bytes_B, listeners, names, times_s, has_names)


@numba.njit(cache=True, nogil=True)
def _mark_lines(bytes_B, listeners, names, times_s, has_names):  # type: ignore[no-untyped-def]
    start = 0
    for row in range(len(times_s)):
        first = _field_end(bytes_B, start)
        second, time_s = first + 1 + TIME_BYTES, NO_TIME
        if bytes_B[first] == TAB and second < len(bytes_B) and bytes_B[second] == TAB:
            time_s = _epoch_s(bytes_B, first + 1)
        if time_s == NO_TIME:
            second = first if bytes_B[first] == LINE_FEED else _field_end(bytes_B, first + 1)
        has_names[row] = bytes_B[second] == TAB
        end, hashed = _line_end_and_hash(bytes_B, second + has_names[row])
        last = end
        if end > start and bytes_B[end - 1] == CARRIAGE_RETURN:
            last = end - 1
            hashed = hash_of(bytes_B, min(second + 1, last), last)
        first = min(first, last)
        times_s[row] = time_s
        listeners.starts[row], listeners.ends[row] = start, first
        listeners.hashes[row] = hash_of(bytes_B, start, first)
        names.starts[row], names.ends[row], names.hashes[row] = min(second + 1, last), last, hashed
        start = end + 1


@numba.njit(cache=True)
def _field_end(bytes_B, start):  # type: ignore[no-untyped-def]
    place = np.uint64(start)
    while bytes_B[place] != TAB and bytes_B[place] != LINE_FEED:
        place += ONE
    return np.int64(place)


@numba.njit(cache=True)
def _line_end_and_hash(bytes_B, start):  # type: ignore[no-untyped-def]
    """Where the line ends, and `hash_of` what stands before, in one reading."""
    place, hashed, rest = np.uint64(start), np.uint64(0), np.uint64(0)
    while place + WORD_BYTES <= np.uint64(len(bytes_B)):
        read = word(bytes_B, place)
        # Zero bytes, found by the borrow of a subtraction, are line feeds; the lowest of them is marked right.
        differs = read ^ (EACH_BYTE * np.uint64(LINE_FEED))
        marks = (differs - EACH_BYTE) & ~differs & (EACH_BYTE << np.uint64(7))
        if marks:
            before = ((marks & (~marks + ONE)) >> np.uint64(7)) - ONE
            place += ((before & EACH_BYTE) * EACH_BYTE) >> np.uint64(56)
            return np.int64(place), finished(hashed, read & before, place - np.uint64(start))
        hashed = mixed(hashed, read)
        place += WORD_BYTES
    shift = np.uint64(0)
    while bytes_B[place] != LINE_FEED:
        rest |= np.uint64(bytes_B[place]) << shift
        shift += BYTE_BITS
        place += ONE
    return np.int64(place), finished(hashed, rest, place - np.uint64(start))


@numba.njit(cache=True)
def _epoch_s(bytes_B, start):  # type: ignore[no-untyped-def]
    """Seconds since 1970 of a time written exactly like TIME_PATTERN; NO_TIME for anything else."""
    start = np.uint64(start)
    for part in range(len(TIME_STARTS)):
        # Digits become 0-9, the rest 0; what is more reaches the upper half of its byte by the slack, or is there.
        differs = word(bytes_B, start + TIME_STARTS[part]) ^ TIME_WORDS[part]
        if (differs | differs + TIME_SLACKS[part]) & (EACH_BYTE * np.uint64(0xF0)):
            return NO_TIME
    year = 100 * _two_digits(bytes_B, start) + _two_digits(bytes_B, start + np.uint64(2))
    month, day = _two_digits(bytes_B, start + np.uint64(5)), _two_digits(bytes_B, start + np.uint64(8))
    hour, minute = _two_digits(bytes_B, start + np.uint64(11)), _two_digits(bytes_B, start + np.uint64(14))
    second = _two_digits(bytes_B, start + np.uint64(17))
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1 <= month <= 12 and day >= 1 and hour < 24 and minute < 60 and second < 60 and year > 0):
        return NO_TIME
    if day > DAYS_BEFORE_MONTH[month] - DAYS_BEFORE_MONTH[month - 1] + (is_leap and month == 2):
        return NO_TIME
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400 - 719162 + DAYS_BEFORE_MONTH[month - 1] + day - 1
    return (days + (is_leap and month > 2)) * 86400 + hour * 3600 + minute * 60 + second


@numba.njit(cache=True, inline="always")
def _two_digits(bytes_B, start):  # type: ignore[no-untyped-def]
    return np.int64(10) * (bytes_B[start] - ZERO) + (bytes_B[start + ONE] - ZERO)
