"""The distinct tracks of the listening log: how often played, by how many, and as what most often written."""

from collections.abc import Iterable

import polars as pl

SPELLING = ["artist_name", "track_name"]
KEY = pl.col("track_key").hash().alias("key")
NO_TRACKS = pl.DataFrame(
    schema={
        "track_key": pl.String,
        "artist": pl.String,
        "title": pl.String,
        "plays": pl.Int64,
        "listeners": pl.Int32,
    }
)


def count_tracks(plays_by_bucket: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """One row per track_key, in order of appearance: artist, title, plays, listeners.

    The spelling is the pair of names most often logged, the alphabetically first among equals. A bucket has all plays
    of its listeners, so their numbers add up; one bucket at a time is in memory. Rows are grouped by 64-bit hashes of
    their texts: of 1.5 million texts, two meet in one of 10^7 logs.
    """
    spelled = [_spellings(plays) for plays in plays_by_bucket]
    if not spelled:
        return NO_TRACKS
    rows = pl.concat(spelled)
    texts = rows.select("track_key", artist="artist_name", title="track_name")
    hashed = rows.select(pl.struct("track_key", *SPELLING).hash().alias("spelling"), KEY, "plays", "listeners")
    spellings = (
        hashed.with_row_index("row")
        .group_by("spelling")
        .agg(pl.col("key", "row").first(), pl.col("plays", "listeners").sum())
    )
    tracks = _tracks(spellings, texts).sort("row")
    return texts[tracks["row"]].hstack(tracks.select("plays", "listeners"))


def _spellings(plays: pl.DataFrame) -> pl.DataFrame:
    """Each spelling of each key of a bucket: plays, and the listeners whose first play of the key is spelled so."""
    listener = pl.col("listener_id").hash()
    hashed = plays.select(
        spelling=pl.struct("track_key", *SPELLING).hash(), is_first=(KEY ^ listener).is_first_distinct()
    ).with_row_index("row")
    spelled = (
        hashed.group_by("spelling")
        .agg(
            pl.col("row").min(),
            pl.len().cast(pl.Int64).alias("plays"),
            pl.col("is_first").sum().cast(pl.Int32).alias("listeners"),
        )
        .sort("row")
    )
    return plays.select("track_key", *SPELLING)[spelled["row"]].hstack(spelled.select("plays", "listeners"))


def _tracks(spellings: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """The row of each key's most frequent spelling, with the plays and listeners of all its spellings."""
    tracks = spellings.group_by("key").agg(
        pl.col("row").first(), pl.col("plays", "listeners").sum(), pl.len().alias("spellings")
    )
    several = spellings.join(tracks.filter(pl.col("spellings") > 1), on="key", how="semi")
    best = (
        several.hstack(texts[several["row"]])
        .sort("plays", "artist", "title", descending=[True, False, False])
        .group_by("key", maintain_order=True)
        .agg(pl.col("row").first().alias("best"))
    )
    return tracks.join(best, on="key", how="left").with_columns(row=pl.coalesce("best", "row"))
