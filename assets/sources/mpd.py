"""One slice of the Million Playlist Dataset as tables: playlists, their tracks in order, and its distinct tracks.

Nothing is repaired silently. A row that can't be used is refused with one of REASONS; a value that can't be used is
null and counted under one of REPAIRS. The published layout (an object with `playlists`) and the bare list are read;
of the fields, only pid, name, tracks, track_uri, track_name and artist_name must be there. Text becomes NFC.
"""

import re
import unicodedata
from collections import Counter
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from assets.sources.mpd_json import Decoded, decode_regular, decode_strict
from resources.refusals import Refusal, refused_frame

REASONS = (
    "truncated_json",  # whole slice: broken JSON, at the byte named
    "not_utf8",  # whole slice
    "too_deep",  # whole slice
    "not_a_slice",  # whole slice
    "duplicate_key",  # slice, playlist or track that states a key twice
    "bad_playlist",  # no usable pid, or no list of tracks
    "no_name",
    "duplicate_playlist",  # a pid again, same name and tracks
    "pid_conflict",  # a pid again, another name or other tracks: the first in the slice stands
    "bad_track_uri",
    "no_title",
    "no_artist",
)
REPAIRS = (
    "text_repaired",  # control characters taken out; NUL and lone surrogates replaced by U+FFFD
    "text_truncated",  # cut to MAX_CHARACTERS
    "bad_duration",  # distinct tracks whose length is outside 0 < ms <= 24 h, now null
    "bad_value",  # other optional values of the wrong type or range, now null
    "position_gaps",  # playlists whose `pos` had gaps or repeats, now 0..n-1 in the order of `pos`
    "declared_tracks_differ",  # playlists whose num_tracks is not what was kept
)
ID_PATTERN = r"^[A-Za-z0-9:_.-]{1,128}$"
LARGE_BYTES = 8_000_000  # where the compiled decoder has earned its start
MAX_CHARACTERS = 1000
MAX_DURATION_MS = 24 * 3600 * 1000
MAX_COUNT = 2**31 - 1
MAX_EPOCH_S = 253_402_300_799  # the last second of the year 9999
SPACE, DELETE = 32, 127
VISIBLE = r"[^\s\x01-\x1f\x7f-\x9f]"
CONTROL = re.compile(r"[\x01-\x08\x0e-\x1f\x7f-\x9f]")
LINE_BREAKS = re.compile(r"[\t\n\x0b\x0c\r]+")


class Slice(NamedTuple):
    """What one slice holds, as rows of the tables of the same names in `sources`; counts by REPAIRS."""

    playlists: pl.DataFrame
    playlist_tracks: pl.DataFrame
    slice_tracks: pl.DataFrame
    refused: pl.DataFrame
    repairs: dict[str, int]


def read_slice(raw: bytes | mmap, *, slice_name: str) -> Slice:
    """The tables of one slice file, given its bytes and its name without `.json`."""
    decoded = decode_regular(raw) if len(raw) >= LARGE_BYTES else None
    return slice_tables(decoded or decode_strict(bytes(raw), slice_name), slice_name=slice_name)


def mapped(path: Path) -> bytes | mmap:
    """The bytes of a file, mapped into memory where it is large: copying them costs a seventh of the reading."""
    if path.stat().st_size < LARGE_BYTES:
        return path.read_bytes()
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)


def slice_tables(decoded: Decoded, *, slice_name: str) -> Slice:
    """The tables of one decoded slice."""
    repairs = Counter(dict.fromkeys(REPAIRS, 0)) + Counter(decoded.repairs)
    playlists, bad_playlists = _usable_playlists(decoded.playlists, slice_name)
    tracks, bad_tracks = _usable_tracks(decoded.tracks, playlists, slice_name)
    tracks, gaps = _in_order(tracks)
    playlists, repeated = _first_of_each_pid(playlists, tracks, slice_name)
    if repeated:
        tracks = tracks.join(playlists.select("playlist"), on="playlist", how="semi", maintain_order="left")

    playlist_rows, playlist_repairs = _playlist_rows(playlists, tracks, slice_name)
    track_rows, track_repairs = _distinct_tracks(tracks, slice_name)
    repairs.update(gaps)
    repairs.update(playlist_repairs)
    repairs.update(track_repairs)
    positions = tracks.select(
        playlist_id="pid", position=pl.col("position").cast(pl.Int32), track_uri="track_uri", slice=pl.lit(slice_name)
    )
    refused = refused_frame([*decoded.refusals, *bad_playlists, *bad_tracks, *repeated])
    return Slice(playlist_rows, positions, track_rows, refused, {name: repairs[name] for name in REPAIRS})


def clean_text(text: str) -> str:
    """The text in NFC, without control characters; tabs and line breaks as one space, NUL as U+FFFD."""
    if text.isprintable() and unicodedata.is_normalized("NFC", text):
        return text
    text = LINE_BREAKS.sub(" ", CONTROL.sub("", text)).replace("\0", "\ufffd")
    return unicodedata.normalize("NFC", text)


def _usable_playlists(playlists: pl.DataFrame, slice_name: str) -> tuple[pl.DataFrame, list[Refusal]]:
    is_bad = pl.col("pid").is_null() | (pl.col("pid") < 0) | ~pl.col("has_tracks")
    reason = pl.when(is_bad).then(pl.lit("bad_playlist")).when(pl.col("name").is_null()).then(pl.lit("no_name"))
    judged = playlists.with_columns(reason=reason)
    refusals = [
        Refusal(slice_name, f"playlists[{row['playlist']}]", row["reason"], _playlist_detail(row))
        for row in judged.filter(pl.col("reason").is_not_null()).iter_rows(named=True)
    ]
    return (judged.filter(pl.col("reason").is_null()) if refusals else playlists), refusals


def _playlist_detail(row: dict[str, object]) -> str:
    if row["reason"] == "no_name":
        return f"pid {row['pid']} has no name; wanted a text"
    seen = "no list of tracks" if not row["has_tracks"] else "no pid that is a whole number of at least 0"
    return f"the playlist has {seen}; its name is {row['name']!r}"


def _usable_tracks(
    tracks: pl.DataFrame, playlists: pl.DataFrame, slice_name: str
) -> tuple[pl.DataFrame, list[Refusal]]:
    """The usable tracks of the usable playlists, with their pid, and what is refused of them."""
    pids = tracks.select("playlist").join(
        playlists.select("playlist", "pid"), on="playlist", how="left", maintain_order="left"
    )["pid"]
    tracks = tracks.with_columns(pids)
    if pids.null_count():
        tracks = tracks.filter(pl.col("pid").is_not_null())
    is_uri = pl.col("track_uri").str.contains(ID_PATTERN).fill_null(value=False)
    has_title = pl.col("track_name").str.contains(VISIBLE).fill_null(value=False)
    has_artist = pl.col("artist_name").str.contains(VISIBLE).fill_null(value=False)
    usable = tracks.select(is_uri & has_title & has_artist).to_series()
    if usable.all():
        return tracks, []
    reason = pl.when(~is_uri).then(pl.lit("bad_track_uri")).when(~has_title).then(pl.lit("no_title"))
    rows = tracks.filter(~usable).with_columns(reason=reason.otherwise(pl.lit("no_artist"))).iter_rows(named=True)
    refusals = [
        Refusal(
            slice_name,
            f"playlists[{row['playlist']}].tracks[{row['track']}]",
            row["reason"],
            f"pid {row['pid']}: {row['track_uri']!r}, {row['track_name']!r} by {row['artist_name']!r}",
        )
        for row in rows
    ]
    return tracks.filter(usable), refusals


def _in_order(tracks: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """The tracks with positions 0..n-1 in each playlist, by `pos` where stated, else as listed; counts of repairs."""
    pos, bad_values = _within(tracks["pos"], 0, MAX_COUNT)
    place = pl.int_range(pl.len()).over("playlist")
    tracks = tracks.with_columns(pos, position=place)
    if (tracks["pos"] == tracks["position"]).all() and not pos.null_count():
        return tracks, {"bad_value": bad_values}
    tracks = tracks.sort("playlist", "pos", nulls_last=True, maintain_order=True).with_columns(position=place)
    stated = tracks.filter(pl.col("pos").is_not_null().any().over("playlist"))
    gaps = stated.filter(pl.col("pos").ne_missing(pl.col("position")))["playlist"].n_unique()
    return tracks, {"bad_value": bad_values, "position_gaps": gaps}


def _within(numbers: pl.Series, low: int, high: int) -> tuple[pl.Series, int]:
    """The numbers with those out of range null, and how many those are."""
    kept = numbers.to_frame().select(pl.when(pl.first().is_between(low, high)).then(pl.first())).to_series()
    return kept, kept.null_count() - numbers.null_count()


def _first_of_each_pid(
    playlists: pl.DataFrame, tracks: pl.DataFrame, slice_name: str
) -> tuple[pl.DataFrame, list[Refusal]]:
    repeated = playlists.filter(pl.col("pid").is_duplicated())
    if repeated.is_empty():
        return playlists, []
    listed = tracks.group_by("playlist").agg("track_uri")
    contents: dict[int, tuple[str, list[str] | None]] = {}
    refusals = []
    for index, pid, name, uris in (
        repeated.join(listed, on="playlist", how="left")
        .sort("playlist")
        .select("playlist", "pid", "name", "track_uri")
        .iter_rows()
    ):
        first = contents.setdefault(pid, (name, uris))
        reason = "duplicate_playlist" if first == (name, uris) else "pid_conflict"
        refusals.append(Refusal(slice_name, f"playlists[{index}]", reason, f"pid {pid} is in the slice before"))
    firsts = playlists.unique("pid", keep="first", maintain_order=True)
    kept = set(firsts["playlist"])
    later = [refusal for refusal in refusals if int(refusal.location[len("playlists[") : -1]) not in kept]
    return firsts, later


def _playlist_rows(playlists: pl.DataFrame, tracks: pl.DataFrame, slice_name: str) -> tuple[pl.DataFrame, Counter[str]]:
    repairs: Counter[str] = Counter()
    limits = {"num_tracks": MAX_COUNT, "num_followers": MAX_COUNT, "modified_at": MAX_EPOCH_S}
    for column, high in limits.items():
        kept, bad_values = _within(playlists[column], 0, high)
        playlists = playlists.with_columns(kept)
        repairs["bad_value"] += bad_values
    for column in ("name", "description"):
        cleaned, text_repairs = _cleaned(playlists[column])
        playlists = playlists.with_columns(cleaned)
        repairs.update(text_repairs)

    counts = tracks.group_by("playlist").agg(pl.len().cast(pl.Int32).alias("tracks"))
    playlists = playlists.join(counts, on="playlist", how="left", maintain_order="left")
    playlists = playlists.with_columns(pl.col("tracks").fill_null(0))
    repairs["bad_value"] += playlists.filter(~pl.col("collaborative").is_in(["true", "false"])).height
    repairs["declared_tracks_differ"] += playlists.filter(pl.col("num_tracks") != pl.col("tracks")).height
    rows = playlists.select(
        playlist_id="pid",
        name="name",
        description="description",
        modified_at=(pl.col("modified_at") * 1_000_000).cast(pl.Datetime("us", "UTC")),
        followers="num_followers",
        is_collaborative=(pl.col("collaborative") == "true").fill_null(value=False),
        tracks="tracks",
        declared_tracks=pl.col("num_tracks").cast(pl.Int32),
        slice=pl.lit(slice_name),
    )
    return rows, repairs


def _distinct_tracks(tracks: pl.DataFrame, slice_name: str) -> tuple[pl.DataFrame, Counter[str]]:
    repairs: Counter[str] = Counter()
    firsts = (
        tracks.with_row_index("row")
        .group_by("track_uri", maintain_order=True)
        .agg(pl.col("row").first(), appearances=pl.len().cast(pl.Int32))
    )
    described = tracks.select(pl.exclude("track_uri"))[firsts["row"]]
    described = pl.concat([firsts, described], how="horizontal")
    durations, repairs["bad_duration"] = _within(described["duration_ms"], 1, MAX_DURATION_MS)
    columns = [durations.cast(pl.Int32)]
    for column in ("track_name", "artist_name", "album_name"):
        cleaned, text_repairs = _cleaned(described[column])
        columns.append(cleaned)
        repairs.update(text_repairs)
    for column in ("artist_uri", "album_uri"):
        ids = described.select(pl.when(pl.col(column).str.contains(ID_PATTERN)).then(pl.col(column))).to_series()
        columns.append(ids)
        repairs["bad_value"] += ids.null_count() - described[column].null_count()
    rows = described.with_columns(columns).select(
        track_uri="track_uri",
        title="track_name",
        artist="artist_name",
        album="album_name",
        artist_uri="artist_uri",
        album_uri="album_uri",
        duration_ms="duration_ms",
        appearances="appearances",
        slice=pl.lit(slice_name),
    )
    return rows, repairs


def _cleaned(texts: pl.Series) -> tuple[pl.Series, dict[str, int]]:
    """The texts cleaned; only those that hold more than printable ASCII, or much, are touched."""
    lengths = texts.str.len_bytes()
    is_special = (lengths != texts.str.len_chars()) | (lengths > MAX_CHARACTERS)
    if _has_controls(texts):
        is_special |= texts.str.contains(r"[\x00-\x1f\x7f]")
    special = is_special.arg_true()
    before = texts.gather(special)
    after = [clean_text(text) for text in before]
    counts = {
        "text_repaired": int(before.str.contains(r"[\x00-\x1f\x7f-\x9f]").sum()),
        "text_truncated": sum(len(text) > MAX_CHARACTERS for text in after),
    }
    capped = pl.Series(texts.name, [text[:MAX_CHARACTERS] for text in after], pl.String)
    return texts.clone().scatter(special, capped), counts


def _has_controls(texts: pl.Series) -> bool:
    """Whether a byte of the texts is an ASCII control character, which is rare: one look at all bytes at once."""
    text = texts.to_arrow().buffers()[2]
    text_N = np.frombuffer(text or b"", np.uint8)
    return bool(((text_N < SPACE) | (text_N == DELETE)).any())
