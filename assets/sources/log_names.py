"""The names of a log line's track: split, cleaned, and with the key of the track that they name."""

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pyarrow as pa

from assets.sources.identity import track_key

# The first that holds is a line's reason.
REASONS = (
    *("", "not_utf8", "wrong_columns", "bad_listener", "bad_timestamp", "outside_span", "no_title", "no_artist"),
    "duplicate_play",
)
NOT_UTF8, WRONG_COLUMNS, BAD_LISTENER, BAD_TIMESTAMP, OUTSIDE_SPAN, NO_TITLE, NO_ARTIST, DUPLICATE_PLAY = range(1, 9)
NAME_COLUMNS = ["artist_mbid", "artist_name", "track_mbid", "track_name"]
NAME_CHARACTERS = 1000
PART_NAMES = 100_000
UNCLEAN_PATTERN = r"[^\x20-\x7e]|^ | $"
ID_PATTERN = "^[A-Za-z0-9:_.-]{1,128}$"


def split_names(texts: pa.LargeBinaryArray) -> pl.DataFrame:
    """Each distinct names part of a line, split and cleaned, with its reason and its track's key.

    Returns NAME_COLUMNS, text, reason (an index into REASONS, 0 for none) and track_key.
    """
    parts = [texts[start : start + PART_NAMES] for start in range(0, max(1, len(texts)), PART_NAMES)]
    with ThreadPoolExecutor() as threads:  # keys are made in Python while another part is split
        return pl.concat(threads.map(_split, parts), rechunk=True)


def _split(texts: pa.LargeBinaryArray) -> pl.DataFrame:
    text, is_utf8 = decoded(texts)
    fields = text.str.split_exact("\t", 3).struct.rename_fields(NAME_COLUMNS).struct.unnest()
    frame = fields.with_columns(
        [_cleaned(fields[name]) for name in NAME_COLUMNS[1::2]] + [_id_or_null(name) for name in NAME_COLUMNS[::2]]
    ).with_columns(text.alias("text"))
    frame = frame.with_columns(
        pl.when(~is_utf8)
        .then(NOT_UTF8)
        .when(pl.col("text").str.count_matches("\t", literal=True) != 3)
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


def decoded(texts: pa.LargeBinaryArray) -> tuple[pl.Series, pl.Series]:
    """The texts, and whether each is UTF-8; what is not has U+FFFD for its bad bytes."""
    try:
        series = pl.Series(pl.from_arrow(texts.cast(pa.large_string())))
        return series, pl.repeat(True, len(series), eager=True)
    except pa.ArrowInvalid:
        repaired = [text.decode("utf-8", "replace") for text in texts.to_pylist()]
        is_utf8 = [text.encode() == raw for text, raw in zip(repaired, texts.to_pylist(), strict=True)]
        return pl.Series(repaired, dtype=pl.String), pl.Series(is_utf8, dtype=pl.Boolean)


def _cleaned(names: pl.Series) -> pl.Series:
    """Composed (NFC), without control characters and outer spaces, cut to 1,000 characters."""
    rows = names.str.contains(UNCLEAN_PATTERN).arg_true()
    cleaned = names.gather(rows).str.normalize("NFC").str.replace_all(r"[\x00-\x1f\x7f]", "").str.strip_chars()
    return names.scatter(rows, cleaned).str.slice(0, NAME_CHARACTERS).str.strip_chars_end().fill_null("")


def _id_or_null(name: str) -> pl.Expr:
    return pl.when(pl.col(name).str.contains(ID_PATTERN)).then(name).alias(name)


def _name_keys(names: pl.DataFrame) -> pl.Series:
    """The key of each track by its names, null for those that need none."""
    rows = names.select((pl.col("track_mbid").is_null() & (pl.col("reason") == 0)).arg_true()).to_series()
    unkeyed = names.select("artist_name", "track_name")[rows]
    keys = [track_key(artist, title) for artist, title in unkeyed.iter_rows()]
    return pl.repeat(None, names.height, dtype=pl.String, eager=True).scatter(rows, keys)
