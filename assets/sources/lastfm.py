"""The LastFM-1K listening log (Celma 2010): plays and listeners, and what of them could not be used.

The log has no header and six columns between tabs, newest play first for each listener; quotes are part of names.
Every line of it is either a play or a refused row with its line number. Times are UTC.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from assets.sources.interned import Longs
from assets.sources.log_lines import NO_NAMES, NO_TIME, Lines, read_lines
from assets.sources.log_names import (
    BAD_LISTENER,
    BAD_TIMESTAMP,
    DUPLICATE_PLAY,
    ID_PATTERN,
    NOT_UTF8,
    OUTSIDE_SPAN,
    REASONS,
    WRONG_COLUMNS,
    decoded,
    split_names,
)
from assets.sources.log_order import order_plays
from resources.refusals import DETAIL_CHARACTERS, Refusal, refused_frame

FIRST_DAY = date(2005, 1, 1)  # the log's own span is 2005-02-14 to 2009-06-19; a few rows are stamped years later
LAST_DAY = date(2009, 12, 31)
PROFILE_HEADER = "#id"
OLDEST_YEARS = 120
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LISTENER_COLUMNS = {
    "listener_id": pl.String,
    "gender": pl.String,
    "age": pl.Int32,
    "country": pl.String,
    "registered_at": pl.Date,
    "plays": pl.Int64,
}
S_PER_DAY = 86_400
WRONG_FILE_LINES = 1000  # so many lines without a single play are another format, not bad luck


class BucketPlays(NamedTuple):
    """The plays of one bucket of listeners, and its lines that are none; `lines` is their sum."""

    bucket: str
    plays: pl.DataFrame
    refused: pl.DataFrame
    lines: int


class _Log(NamedTuple):
    """The lines of the log with what they stand for; reasons index REASONS, 0 where nothing is wrong."""

    lines: Lines
    reasons: npt.NDArray[np.uint8]
    listeners: pl.DataFrame  # listener_id, reason, rank
    names: pl.DataFrame  # NAME_COLUMNS, track_key, reason, text
    files: list[str]


def read_plays(
    paths: Sequence[Path],
    *,
    buckets: Sequence[str],
    bucket_of: Callable[[str], str],
    first_day: date = FIRST_DAY,
    last_day: date = LAST_DAY,
) -> Iterator[BucketPlays]:
    """The plays of each bucket in turn, from one scan of the files.

    `bucket_of` names the bucket of a listener id; a line whose listener is unreadable goes by what stands there.
    A play told twice, by time and track, counts once: its later lines are refused. Plays at one time are numbered
    against the file's order, which is newest first. Raises ValueError for a file that is no listening log.
    """
    lines = read_lines(paths)
    listeners = _listeners(lines.listeners)
    names = split_names(lines.names)
    reasons = _reasons(lines, listeners, names, first_day=first_day, last_day=last_day)
    log = _Log(lines, reasons, listeners, names, [path.name for path in paths])
    _check_format(log, paths)

    place_of = {bucket: place for place, bucket in enumerate(buckets)}
    places = np.array([place_of.get(bucket_of(id_), -1) for id_ in listeners["listener_id"]], np.int32)
    places_by_line = places[lines.listener_codes]
    for place, bucket in enumerate(buckets):
        yield _bucket_plays(log, bucket, np.flatnonzero(places_by_line == place))


def read_listeners(
    path: Path | None, plays: pl.DataFrame, *, bucket: str, bucket_of: Callable[[str], str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The listeners of a bucket, from the profile file where there is one, and its lines that could not be used.

    A listener of the plays without a usable profile has nulls; one of the profile without plays has 0.
    """
    counts = dict(plays.group_by("listener_id").len().iter_rows())
    rows: dict[str, _Profile] = {}
    refusals = []
    for number, line in enumerate(path.read_bytes().splitlines() if path else [], start=1):
        text = line.decode("utf-8-sig", "replace")
        fields = text.split("\t")
        if fields[0] == PROFILE_HEADER or bucket_of(fields[0]) != bucket:
            continue
        profile = _profile(fields) if _is_utf8(line) else "not_utf8"
        if isinstance(profile, _Profile) and profile.listener_id in rows:
            profile = "duplicate_listener"
        if isinstance(profile, str):
            refusals.append(Refusal(str(path and path.name), f"line {number}", profile, text))
        else:
            rows[profile.listener_id] = profile
    unknown = (_Profile(listener_id, None, None, None, None) for listener_id in counts if listener_id not in rows)
    listeners = [(*row, counts.get(row.listener_id, 0)) for row in (*rows.values(), *unknown)]
    return pl.DataFrame(listeners, schema=LISTENER_COLUMNS, orient="row").sort("listener_id"), refused_frame(refusals)


class _Profile(NamedTuple):
    listener_id: str
    gender: str | None
    age: int | None
    country: str | None
    registered_at: date | None


def _profile(fields: list[str]) -> _Profile | str:
    """The listener that a line describes, or the reason why it describes none."""
    if len(fields) != len(_Profile._fields):
        return "wrong_columns"
    listener_id, gender, age, country, registered = (field.strip() for field in fields)
    if not re.fullmatch(ID_PATTERN, listener_id):
        return "bad_listener"
    if gender not in ("m", "f", ""):
        return "bad_gender"
    if age and not (age.isdecimal() and 0 < int(age[:4]) <= OLDEST_YEARS):
        return "bad_age"
    day = _day(registered)
    if registered and day is None:
        return "bad_date"
    return _Profile(listener_id, gender or None, int(age) if age else None, country or None, day)


def _day(text: str) -> date | None:
    """A day written like `Aug 13, 2006`, in English whatever the locale."""
    found = re.fullmatch(r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4})", text)
    if found is None or found[1] not in MONTHS:
        return None
    try:
        return date(int(found[3]), MONTHS.index(found[1]) + 1, int(found[2]))
    except ValueError:
        return None


def _listeners(texts: pa.LargeBinaryArray) -> pl.DataFrame:
    ids, is_utf8 = decoded(texts)
    return pl.DataFrame({"listener_id": pl.from_arrow(ids), "is_utf8": is_utf8}).select(
        "listener_id",
        pl.when(~pl.col("is_utf8"))
        .then(NOT_UTF8)
        .when(~pl.col("listener_id").str.contains(ID_PATTERN))
        .then(BAD_LISTENER)
        .otherwise(0)
        .cast(pl.UInt8)
        .alias("reason"),
        pl.col("listener_id").rank("dense").cast(pl.Int64).alias("rank"),
    )


def _reasons(
    lines: Lines, listeners: pl.DataFrame, names: pl.DataFrame, *, first_day: date, last_day: date
) -> npt.NDArray[np.uint8]:
    """The first reason that holds for each line, as an index into REASONS."""
    epoch = date(1970, 1, 1)
    after_s = (last_day - epoch).days * S_PER_DAY + S_PER_DAY
    is_outside = (lines.times_s < (first_day - epoch).days * S_PER_DAY) | (lines.times_s >= after_s)
    found = [
        is_outside * np.uint8(OUTSIDE_SPAN) - (lines.times_s == NO_TIME) * np.uint8(OUTSIDE_SPAN - BAD_TIMESTAMP),
        listeners["reason"].to_numpy()[lines.listener_codes],
        # One entry more, for the code -1 of lines without names.
        np.append(names["reason"].to_numpy(), np.uint8(WRONG_COLUMNS))[lines.name_codes],
    ]
    # Zero means no reason, so it is put last while the least is sought.
    least: npt.NDArray[np.uint8] = np.minimum.reduce([reasons - np.uint8(1) for reasons in found]) + np.uint8(1)
    for row, text in lines.broken.items():
        if not _is_utf8(text):
            least[row] = NOT_UTF8
    return least


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_format(log: _Log, paths: Sequence[Path]) -> None:
    ends = [*log.lines.starts, len(log.reasons)][1:]
    for path, start, end in zip(paths, log.lines.starts, ends, strict=True):
        if end - start >= WRONG_FILE_LINES and (log.reasons[start:end] == WRONG_COLUMNS).all():
            first = log.lines.broken.get(start, b"")[:DETAIL_CHARACTERS]
            raise ValueError(
                f"{path}: none of its {end - start} lines has six columns between tabs, the first being {first!r}; "
                "expected LastFM-1K's userid-timestamp-artid-artname-traid-traname.tsv"
            )


def _bucket_plays(log: _Log, bucket: str, rows: Longs) -> BucketPlays:
    good = rows[log.reasons[rows] == 0]
    ordered, repeated = _played_order(log, good)
    log.reasons[repeated] = DUPLICATE_PLAY
    refused = rows[log.reasons[rows] != 0]
    return BucketPlays(bucket, _plays(log, ordered), _refused(log, refused), len(rows))


def _played_order(log: _Log, rows: Longs) -> tuple[Longs, Longs]:
    """The rows by listener and time, later lines first at one time, and apart from them the repeated plays."""
    ranks = log.listeners["rank"].to_numpy()[log.lines.listener_codes[rows]]
    rows = rows[order_plays(ranks, log.lines.times_s[rows])]
    codes, times_s = log.lines.listener_codes[rows], log.lines.times_s[rows]
    is_tied = np.zeros(len(rows), np.bool_)
    same = (codes[1:] == codes[:-1]) & (times_s[1:] == times_s[:-1])
    is_tied[1:] |= same
    is_tied[:-1] |= same
    tied = np.flatnonzero(is_tied)
    track_keys = log.names["track_key"].gather(log.lines.name_codes[rows[tied]])
    # Turned round again, so that of equal plays the first line of the file stays.
    ties = pl.DataFrame({"listener": codes[tied], "time": times_s[tied], "track_key": track_keys}).reverse()
    is_first = ties.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()[::-1]
    repeated = tied[~is_first]
    return np.delete(rows, repeated), rows[repeated]


def _plays(log: _Log, rows: Longs) -> pl.DataFrame:
    codes = log.lines.listener_codes[rows]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    numbers = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    names = log.names.select("track_key", "artist_name", "track_name", "artist_mbid", "track_mbid")
    return (
        names[log.lines.name_codes[rows]]
        .insert_column(0, log.listeners["listener_id"].gather(codes))
        .insert_column(1, _datetimes("played_at", log.lines.times_s[rows]))
        .insert_column(2, pl.Series("play_number", numbers, dtype=pl.Int32))
    )


def _datetimes(name: str, times_s: Longs) -> pl.Series:
    return pl.Series(name, times_s * 1_000_000).cast(pl.Datetime("us", "UTC"))


def _refused(log: _Log, rows: Longs) -> pl.DataFrame:
    """The refused rows: the line's names are the detail, or what else was wrong with it."""
    files = np.searchsorted(log.lines.starts, rows, side="right") - 1
    codes = log.lines.name_codes[rows]
    texts = pl.concat([log.names["text"], pl.Series([""])])
    frame = pl.DataFrame(
        {
            "source": pl.Series(log.files, dtype=pl.String).gather(files),
            "line": rows - np.array(log.lines.starts, np.int64)[files] + 1,
            "reason": pl.Series(REASONS).gather(log.reasons[rows]),
            "text": texts.gather(np.where(codes == NO_NAMES, len(texts) - 1, codes)),
            "listener_id": log.listeners["listener_id"].gather(log.lines.listener_codes[rows]),
            "time": _datetimes("time", np.where(log.lines.times_s[rows] == NO_TIME, 0, log.lines.times_s[rows])),
            "broken": pl.Series([_text(log.lines.broken.get(row)) for row in rows.tolist()], dtype=pl.String),
        }
    )
    detail = (
        pl.when(pl.col("reason") == "outside_span")
        .then(pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        .when(pl.col("reason") == "bad_listener")
        .then("listener_id")
        .otherwise(pl.coalesce("broken", "text"))
    )
    return frame.select(
        "source",
        pl.format("line {}", "line").alias("location"),
        "reason",
        detail.str.slice(0, DETAIL_CHARACTERS).alias("detail"),
    ).sort("source", "location", "reason", "detail")


def _text(broken: bytes | None) -> str | None:
    return None if broken is None else broken.decode("utf-8", "replace")
