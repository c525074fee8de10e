"""The lines of a listening log: who, when and what, as integers.

A line is a listener, a timestamp and names, a tab between them; what the names are is not known here.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.sources.interned import ONE, Bytes, Ints, Longs, Spans, Texts, hash_of

# B bytes

PIECE_BYTES = 2 * 2**20  # larger pieces only touch more fresh pages
LINE_BYTES = 16 * PIECE_BYTES  # no line of a log is near it
PIECES_AHEAD = 2
NO_TIME = np.iinfo(np.int64).min
NO_NAMES = -1
TAB, LINE_FEED, CARRIAGE_RETURN = 9, 10, 13
ZERO, NINE = 48, 57
TIME_PATTERN = np.frombuffer(b"0000-00-00T00:00:00Z", np.uint8)
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
    """The pieces of the file; the next ones are marked while the caller works on one."""
    with ThreadPoolExecutor(PIECES_AHEAD) as threads:
        ahead: deque[Future[_Piece]] = deque()
        for bytes_B in _pieces(path):
            ahead.append(threads.submit(_mark, bytes_B))
            if len(ahead) > PIECES_AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _pieces(path: Path) -> Iterator[Bytes]:
    """The file in pieces of whole lines, each ending in a line feed, without a byte order mark."""
    before = path.stat()
    rest = b""
    with path.open("rb") as file:
        head = file.read(len(BYTE_ORDER_MARK))
        if head.startswith(UTF16_MARKS):
            raise ValueError(f"{path}: encoded in UTF-16; expected UTF-8: convert it, for example with iconv")
        rest = b"" if head == BYTE_ORDER_MARK else head
        while block := file.read(PIECE_BYTES):
            end = block.rfind(b"\n") + 1
            if end:
                yield np.frombuffer(b"".join((rest, memoryview(block)[:end])), np.uint8)
                rest = block[end:]
            else:
                rest += block
            if len(rest) > LINE_BYTES:
                raise ValueError(f"{path}: {len(rest)} bytes without an end of line; expected a line per play")
    if rest:
        yield np.frombuffer(rest if rest.endswith(b"\n") else rest + b"\n", np.uint8)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ValueError(f"{path}: changed while it was read; expected a finished file: read it again")


def _mark(bytes_B: Bytes) -> _Piece:
    ends = np.flatnonzero(bytes_B == LINE_FEED)
    listeners, names = (
        Spans(np.empty_like(ends), np.empty_like(ends), np.empty(len(ends), np.uint64)) for _ in range(2)
    )
    times_s, has_names = np.empty_like(ends), np.empty(len(ends), np.bool_)
    _mark_lines(bytes_B, ends, listeners, names, times_s, has_names)
    return _Piece(bytes_B, listeners, names, times_s, has_names)


@numba.njit(cache=True, nogil=True)
def _mark_lines(bytes_B, ends, listeners, names, times_s, has_names):  # type: ignore[no-untyped-def]
    start = 0
    for row in range(len(ends)):
        end = ends[row]
        last = end - 1 if end > start and bytes_B[end - 1] == CARRIAGE_RETURN else end
        first = _next_tab(bytes_B, start, last)
        second = _next_tab(bytes_B, min(first + 1, last), last)
        listeners.starts[row], listeners.ends[row] = start, first
        listeners.hashes[row] = hash_of(bytes_B, start, first)
        times_s[row] = _epoch_s(bytes_B, first + 1, second)
        has_names[row] = second < last
        names.starts[row], names.ends[row] = min(second + 1, last), last
        names.hashes[row] = hash_of(bytes_B, names.starts[row], last)
        start = end + 1


@numba.njit(cache=True)
def _next_tab(bytes_B, start, end):  # type: ignore[no-untyped-def]
    place, stop = np.uint64(start), np.uint64(end)
    while place < stop and bytes_B[place] != TAB:
        place += ONE
    return np.int64(place)


@numba.njit(cache=True)
def _epoch_s(bytes_B, start, end):  # type: ignore[no-untyped-def]
    """Seconds since 1970 of a time written exactly like TIME_PATTERN; NO_TIME for anything else."""
    if end - start != len(TIME_PATTERN):
        return NO_TIME
    for place in range(len(TIME_PATTERN)):
        seen, wanted = bytes_B[start + place], TIME_PATTERN[place]
        if seen != wanted and not (wanted == ZERO and ZERO <= seen <= NINE):
            return NO_TIME
    year = 100 * _two_digits(bytes_B, start) + _two_digits(bytes_B, start + 2)
    month, day = _two_digits(bytes_B, start + 5), _two_digits(bytes_B, start + 8)
    hour, minute, second = (
        _two_digits(bytes_B, start + 11),
        _two_digits(bytes_B, start + 14),
        _two_digits(bytes_B, start + 17),
    )
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
    return np.int64(10) * (bytes_B[start] - ZERO) + (bytes_B[start + 1] - ZERO)
