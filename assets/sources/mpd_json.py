"""The JSON of one Million Playlist Dataset slice as two flat frames of its fields, types checked, rows not yet judged.

Two decoders with one result. `decode_strict` is Python's json: it says what is wrong and keeps the rest.
`decode_regular` reads a slice in the usual form four times faster, compiled, and gives up on any other.
"""

import json
import re
from collections import Counter
from mmap import mmap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from resources.refusals import Refusal

if TYPE_CHECKING:
    from assets.sources.mpd_scan import Fields

PLAYLIST_TEXTS = ("name", "description", "collaborative")
PLAYLIST_NUMBERS = ("pid", "modified_at", "num_tracks", "num_followers")
UNUSED_NUMBERS = ("num_albums", "num_artists", "num_edits", "duration_ms")
TRACK_TEXTS = ("track_uri", "track_name", "artist_name", "artist_uri", "album_name", "album_uri")
TRACK_NUMBERS = ("pos", "duration_ms")
REQUIRED_TEXTS = ("name", "track_uri", "track_name", "artist_name")

MAX_EXACT = 2**53  # whole numbers that float64 holds exactly, as JSON numbers are read elsewhere
BLOCK_BYTES = 1 << 18  # stays in a core's cache
WHITE = b" \t\r\n"
OPENING = re.compile(
    rb"""[WHITE]* (?P<object> \{ [WHITE]*
        (?: "info" [WHITE]* : [WHITE]* (?P<info> \{ [^{}]* \} ) [WHITE]* , [WHITE]* )?
        "playlists" [WHITE]* : [WHITE]* )? \[""".replace(b"WHITE", rb"\ \t\r\n"),
    re.VERBOSE,
)
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Decoded(NamedTuple):
    """The fields of a slice.

    playlists: PLAYLIST_COLUMNS, `playlist` being the place in the slice; tracks: TRACK_COLUMNS, `track` being the place
    in the playlist. Null where missing; a lone surrogate is NUL; what should be a whole number and is none is negative.
    `repairs` counts optional texts that were none; `refusals` are what has no row.
    """

    playlists: pl.DataFrame
    tracks: pl.DataFrame
    refusals: list[Refusal]
    repairs: dict[str, int]


class RepeatedKeys(dict[str, object]):
    """A JSON object that states one key twice; the last value stands."""


def decode_regular(raw: bytes | mmap) -> Decoded | None:
    """The fields of a slice in the usual form; None where `decode_strict` has to look at it."""
    opening = OPENING.match(raw)
    if opening is None:
        return None
    try:
        info = json.loads(opening["info"] or b"{}", object_pairs_hook=json_object)
        return None if isinstance(info, RepeatedKeys) else _scanned(raw, opening)
    except (ValueError, RecursionError):  # of the info, of the scanner, or of Arrow where a text is not UTF-8
        return None


def decode_strict(raw: bytes, slice_name: str) -> Decoded:
    """The fields of any slice, and refusals of what can't be read: the whole slice, or objects with repeated keys."""
    try:
        content = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=json_object, parse_int=_integer)
    except UnicodeDecodeError as error:
        guess = "UTF-16" if b"\0" in raw[:4] or raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "Latin-1 or damaged bytes"
        detail = f"byte {error.object[error.start]:#04x} is not UTF-8; the file looks like {guess}"
        return _refused(Refusal(slice_name, f"byte {error.start + _mark_bytes(raw)}", "not_utf8", detail))
    except json.JSONDecodeError as error:
        offset = len(error.doc[: error.pos].encode()) + _mark_bytes(raw)
        return _refused(Refusal(slice_name, f"byte {offset}", "truncated_json", f"{error.msg} ({len(raw)} bytes)"))
    except RecursionError:
        return _refused(Refusal(slice_name, "file", "too_deep", "lists or objects nested deeper than Python reads"))

    playlists = content.get("playlists") if isinstance(content, dict) else content
    if isinstance(content, RepeatedKeys):
        return _refused(Refusal(slice_name, "file", "duplicate_key", f"one of {sorted(content)} stands twice"))
    if not isinstance(playlists, list):
        detail = "wanted an object with a list of playlists, or the list alone"
        return _refused(Refusal(slice_name, "file", "not_a_slice", detail))
    return _fields(playlists, slice_name)


def json_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object from its fields, as `object_pairs_hook` of `json.loads` gives them."""
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else RepeatedKeys(fields)


PLAYLIST_COLUMNS = {
    "playlist": pl.UInt32(),
    **dict.fromkeys(PLAYLIST_TEXTS, pl.String()),
    **dict.fromkeys(PLAYLIST_NUMBERS, pl.Int64()),
    "has_tracks": pl.Boolean(),
}
TRACK_COLUMNS = {
    "playlist": pl.UInt32(),
    "track": pl.UInt32(),
    **dict.fromkeys(TRACK_TEXTS, pl.String()),
    **dict.fromkeys(TRACK_NUMBERS, pl.Int64()),
}


def _scanned(raw: bytes | mmap, opening: re.Match[bytes]) -> Decoded:
    from assets.sources.mpd_scan import room, scan

    text_N = np.frombuffer(raw, np.uint8)
    blocks = (text_N[start : start + BLOCK_BYTES] for start in range(0, len(raw), BLOCK_BYTES))
    rows = sum(int(np.count_nonzero(block == ord("{"))) for block in blocks)
    playlist_numbers = (*PLAYLIST_NUMBERS, *UNUSED_NUMBERS, "tracks")
    playlists = room(PLAYLIST_TEXTS, playlist_numbers, rows=rows, text_bytes=len(raw))
    tracks = room(TRACK_TEXTS, TRACK_NUMBERS, rows=rows, text_bytes=len(raw))
    firsts_P = np.zeros(rows + 1, np.int64)
    end, listed = scan(text_N, opening.end() - 1, playlists, tracks, firsts_P)
    if raw[end:].strip(WHITE) != (b"}" if opening["object"] else b""):
        raise ValueError("more than a list of playlists")

    numbers_P, lengths_P = np.arange(listed, dtype=np.uint32), np.diff(firsts_P[: listed + 1])
    track_rows = int(firsts_P[listed])
    track_numbers = np.arange(track_rows) - np.repeat(firsts_P[:listed], lengths_P)
    playlist_columns = {
        "playlist": numbers_P,
        **_columns(playlists, PLAYLIST_TEXTS, PLAYLIST_NUMBERS, listed),
        "has_tracks": playlists.has_KR[-1, :listed],
    }
    track_columns = {
        "playlist": np.repeat(numbers_P, lengths_P),
        "track": track_numbers.astype(np.uint32),
        **_columns(tracks, TRACK_TEXTS, TRACK_NUMBERS, track_rows),
    }
    return Decoded(pl.DataFrame(playlist_columns), pl.DataFrame(track_columns), [], {})


def _columns(fields: "Fields", texts: tuple[str, ...], numbers: tuple[str, ...], rows: int) -> dict[str, pl.Series]:
    columns: dict[str, pl.Series] = {}
    for field, name in enumerate(texts):
        offsets = np.concatenate([[0], fields.ends_TR[field, :rows]])
        validity = np.packbits(fields.has_KR[field, :rows], bitorder="little")
        buffers = [pa.py_buffer(part) for part in (validity, offsets, fields.texts_TB[field, : offsets[-1]])]
        column = pa.Array.from_buffers(pa.large_string(), rows, buffers)
        column.validate(full=True)  # the texts are UTF-8; polars would take that for granted
        columns[name] = pl.Series(name, column)
    for field, name in enumerate(numbers, start=len(texts)):
        stated = pl.Series(fields.has_KR[field, :rows])
        columns[name] = pl.Series(name, fields.numbers_KR[field, :rows]).set(~stated, None)
    return columns


def _integer(digits: str) -> int:
    return int(digits) if len(digits) < 20 else -1  # Python refuses to read more than 4,300 digits


def _mark_bytes(raw: bytes) -> int:
    return 3 if raw.startswith(b"\xef\xbb\xbf") else 0


def _refused(refusal: Refusal) -> Decoded:
    return Decoded(pl.DataFrame(schema=PLAYLIST_COLUMNS), pl.DataFrame(schema=TRACK_COLUMNS), [refusal], {})


def _fields(playlists: list[object], slice_name: str) -> Decoded:
    playlist_rows: list[dict[str, object]] = []
    track_rows: list[dict[str, object]] = []
    refusals: list[Refusal] = []
    repairs: Counter[str] = Counter()
    for index, playlist in enumerate(playlists):
        if isinstance(playlist, RepeatedKeys):
            refusals.append(_repeated(slice_name, f"playlists[{index}]", playlist))
            continue
        fields = playlist if isinstance(playlist, dict) else {}
        tracks = fields.get("tracks")
        row = _row(fields, PLAYLIST_TEXTS, PLAYLIST_NUMBERS, repairs)
        playlist_rows.append({"playlist": index, "has_tracks": isinstance(tracks, list), **row})
        for place, track in enumerate(tracks if isinstance(tracks, list) else []):
            if isinstance(track, RepeatedKeys):
                refusals.append(_repeated(slice_name, f"playlists[{index}].tracks[{place}]", track))
                continue
            fields = track if isinstance(track, dict) else {}
            row = _row(fields, TRACK_TEXTS, TRACK_NUMBERS, repairs)
            track_rows.append({"playlist": index, "track": place, **row})
    frames = (pl.DataFrame(playlist_rows, schema=PLAYLIST_COLUMNS), pl.DataFrame(track_rows, schema=TRACK_COLUMNS))
    return Decoded(*frames, refusals, dict(repairs))


def _repeated(slice_name: str, location: str, fields: dict[str, object]) -> Refusal:
    return Refusal(slice_name, location, "duplicate_key", f"one of {sorted(fields)} stands twice")


def _row(
    fields: dict[str, object], texts: tuple[str, ...], numbers: tuple[str, ...], repairs: Counter[str]
) -> dict[str, object]:
    row: dict[str, object] = {name: _whole(fields.get(name)) for name in numbers}
    for name in texts:
        value = fields.get(name)
        if name == "collaborative" and isinstance(value, bool):
            value = "true" if value else "false"
        if isinstance(value, str):
            row[name] = LONE_SURROGATE.sub("\0", value)
        elif value is not None and name not in REQUIRED_TEXTS:
            repairs["bad_value"] += 1
    return row


def _whole(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_EXACT:
        return -1
    return int(value) if value == int(value) else -1
