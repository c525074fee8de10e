"""The names of a log line's track: split, cleaned, and with the key of the track that they name."""

import string
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.sources.identity import track_key
from assets.sources.interned import Ints, Longs

# B bytes, T texts

Flags = npt.NDArray[np.bool_]

# The first that holds is a line's reason.
REASONS = (
    *("", "not_utf8", "wrong_columns", "bad_listener", "bad_timestamp", "outside_span", "no_title", "no_artist"),
    "duplicate_play",
)
NOT_UTF8, WRONG_COLUMNS, BAD_LISTENER, BAD_TIMESTAMP, OUTSIDE_SPAN, NO_TITLE, NO_ARTIST, DUPLICATE_PLAY = range(1, 9)
NAME_COLUMNS = ["artist_mbid", "artist_name", "track_mbid", "track_name"]
ID_COLUMNS = NAME_COLUMNS[::2]
NAME_CHARACTERS = 1000
PART_BYTES = 16 * 2**20  # a view counts bytes in 31 bits
ID_CHARACTERS = 128
ID_PATTERN = f"^[A-Za-z0-9:_.-]{{1,{ID_CHARACTERS}}}$"
TAB, SPACE = 9, 32
INLINE_BYTES = 12  # a text no longer stands in its view
ID_KIND, NAME_KIND = np.uint8(1), np.uint8(2)
BOTH_KINDS = ID_KIND | NAME_KIND
ID_BYTES = f"{string.ascii_letters}{string.digits}:_.-".encode()
KINDS = np.array([(byte in ID_BYTES) * ID_KIND | (32 <= byte < 127) * NAME_KIND for byte in range(256)], np.uint8)


def split_names(texts: pa.LargeBinaryArray) -> pl.DataFrame:
    """Each distinct names part of a line, split and cleaned, with its reason and its track's key.

    Returns NAME_COLUMNS, text, reason (an index into REASONS, 0 for none) and track_key.
    """
    offsets_T = _offsets(texts)
    bounds = [0, *np.searchsorted(offsets_T, range(PART_BYTES, offsets_T[-1], PART_BYTES)).tolist(), len(texts)]
    with ThreadPoolExecutor() as threads:  # keys are made in Python while another part is split
        parts = threads.map(lambda start, end: _split(texts[start:end]), bounds[:-1], bounds[1:])
        return pl.concat(parts, rechunk=True)


def _split(raw: pa.LargeBinaryArray) -> pl.DataFrame:
    texts, is_utf8 = decoded(raw)
    views, is_plain, tabs = _fields(texts)
    artist_mbid, artist_name, track_mbid, track_name = views
    frame = pl.DataFrame(
        {
            "artist_mbid": artist_mbid,
            "artist_name": _cleaned(artist_name, np.flatnonzero(~is_plain[1])),
            "track_mbid": track_mbid,
            "track_name": _cleaned(track_name, np.flatnonzero(~is_plain[3])),
            "text": pl.from_arrow(texts),
        }
    )
    frame = frame.with_columns(
        pl.when(~pl.Series(is_utf8))
        .then(NOT_UTF8)
        .when(pl.Series(tabs != len(NAME_COLUMNS) - 1))
        .then(WRONG_COLUMNS)
        .when(pl.col("track_name") == "")
        .then(NO_TITLE)
        .when(pl.col("artist_name") == "")
        .then(NO_ARTIST)
        .otherwise(0)
        .cast(pl.UInt8)
        .alias("reason")
    )
    return frame.with_columns(track_key=pl.coalesce("mbid:" + pl.col("track_mbid"), _name_keys(frame)))


def decoded(texts: pa.LargeBinaryArray) -> tuple[pa.LargeStringArray, Flags]:
    """The texts, and whether each is UTF-8; what is not has U+FFFD for its bad bytes."""
    try:
        return texts.cast(pa.large_string()), np.ones(len(texts), np.bool_)
    except pa.ArrowInvalid:
        repaired = [text.decode("utf-8", "replace") for text in texts.to_pylist()]
        is_utf8 = [text.encode() == raw for text, raw in zip(repaired, texts.to_pylist(), strict=True)]
        return pa.array(repaired, pa.large_string()), np.array(is_utf8, np.bool_)


def _fields(texts: pa.LargeStringArray) -> tuple[list[pl.Series], Flags, Ints]:
    """The first four fields of each text, whether they are plain (see `_mark_fields`), and its count of tabs.

    Nothing is copied: a field is a view into the texts. An id that is none is null.
    """
    offsets_T = _offsets(texts)
    content = texts.buffers()[2].slice(offsets_T[0], offsets_T[-1] - offsets_T[0])
    views = np.zeros((len(NAME_COLUMNS), len(texts), 2), np.uint64)
    is_plain, tabs = np.ones(views.shape[:2], np.bool_), np.empty(len(texts), np.int32)
    _mark_fields(np.frombuffer(content, np.uint8), offsets_T - offsets_T[0], views, is_plain, tabs)
    series = []
    for field, name in enumerate(NAME_COLUMNS):
        known = pa.py_buffer(np.packbits(is_plain[field], bitorder="little")) if name in ID_COLUMNS else None
        buffers = [known, pa.py_buffer(views[field]), content]
        series.append(pl.Series(pl.from_arrow(pa.Array.from_buffers(pa.string_view(), len(texts), buffers))))
    return series, is_plain, tabs


def _offsets(texts: pa.LargeBinaryArray | pa.LargeStringArray) -> Longs:
    return np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]


@numba.njit(cache=True, nogil=True)
def _mark_fields(bytes_B, offsets_T, views, is_plain, tabs):  # type: ignore[no-untyped-def]
    """Arrow's string views of the fields; the ids (even fields) that are ids and the names in need of no cleaning.

    A view is two words: the length and, above it, the first four bytes; then eight more bytes, or where they are.
    """
    for row in range(len(tabs)):
        start, field = offsets_T[row], 0
        while start <= offsets_T[row + 1]:
            end, kinds = start, BOTH_KINDS
            while end < offsets_T[row + 1] and bytes_B[end] != TAB:
                kinds &= KINDS[bytes_B[end]]
                end += 1
            if field < len(views):
                views[field, row] = _view(bytes_B, start, end)
                if field % 2 == 0:
                    is_plain[field, row] = kinds & ID_KIND and 0 < end - start <= ID_CHARACTERS
                elif end > start:
                    has_outer_space = bytes_B[start] == SPACE or bytes_B[end - 1] == SPACE
                    is_plain[field, row] = kinds & NAME_KIND and not has_outer_space and end - start <= NAME_CHARACTERS
            start, field = end + 1, field + 1
        tabs[row] = field - 1


@numba.njit(cache=True)
def _view(bytes_B, start, end):  # type: ignore[no-untyped-def]
    length = end - start
    low, high = np.uint64(length), np.uint64(0)
    for place in range(min(length, 4)):
        low |= np.uint64(bytes_B[start + place]) << np.uint64(32 + 8 * place)
    if length > INLINE_BYTES:
        return low, np.uint64(start) << np.uint64(32)
    for place in range(4, length):
        high |= np.uint64(bytes_B[start + place]) << np.uint64(8 * (place - 4))
    return low, high


def _cleaned(names: pl.Series, rows: Longs) -> pl.Series:
    """Those rows composed (NFC), without control characters and outer spaces, cut to 1,000 characters."""
    cleaned = names.gather(rows).str.normalize("NFC").str.replace_all(r"[\x00-\x1f\x7f]", "").str.strip_chars()
    return names.scatter(rows, cleaned.str.slice(0, NAME_CHARACTERS).str.strip_chars_end())


def _name_keys(names: pl.DataFrame) -> pl.Series:
    """The key of each track by its names, null for those that need none."""
    rows = names.select((pl.col("track_mbid").is_null() & (pl.col("reason") == 0)).arg_true()).to_series()
    unkeyed = names.select("artist_name", "track_name")[rows]
    keys = [track_key(artist, title) for artist, title in unkeyed.iter_rows()]
    return pl.repeat(None, names.height, dtype=pl.String, eager=True).scatter(rows, keys)
