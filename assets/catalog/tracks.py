"""The catalog's tracks: MPD tracks by URI, and by their key the tracks that only the listening log knows."""

from collections.abc import Sequence

import polars as pl

from assets.sources.identity import buckets_of
from assets.sources.stated import with_track_facts


def catalog_tracks(
    mpd_tracks: pl.DataFrame, log_tracks: pl.DataFrame, release_facts: pl.DataFrame, *, shards: Sequence[str]
) -> pl.DataFrame:
    """Rows of `catalog/tracks`, of all shards.

    mpd_tracks are rows of sql/catalog/mpd_tracks. A log track that is linked adds its plays and MBID to its MPD track.
    """
    played = _played(log_tracks)
    of_mpd = mpd_tracks.select(
        "title", "artist", "artist_uri", "album", "duration_ms", "track_uri", "train_appearances", track_id="track_uri"
    )
    of_log = log_tracks.filter(pl.col("track_id") == pl.col("track_key")).select(
        "title",
        "artist",
        pl.lit(None, pl.String).alias("artist_uri"),
        pl.lit(None, pl.String).alias("album"),
        pl.lit(None, pl.Int32).alias("duration_ms"),
        pl.lit(None, pl.String).alias("track_uri"),
        pl.lit(0, pl.Int32).alias("train_appearances"),
        "track_id",
    )
    tracks = pl.concat([of_mpd.cast({"train_appearances": pl.Int32}), of_log])
    tracks = tracks.join(played, on="track_id", how="left").with_columns(pl.col("plays").fill_null(0))
    tracks = with_track_facts(tracks, release_facts.drop_nulls("release_year"), "release_year")
    place = buckets_of(tracks["track_id"], len(shards))
    return tracks.with_columns(
        shard=pl.Series(shards, dtype=pl.String).gather(place),
        is_warm=pl.col("train_appearances") > 0,
    ).sort("track_id")


def _played(log_tracks: pl.DataFrame) -> pl.DataFrame:
    """(track_id, plays, track_mbid): the MBID of the most played key that is one."""
    mbid = pl.col("track_key").str.strip_prefix("mbid:")
    is_mbid = pl.col("track_key").str.starts_with("mbid:")
    ordered = log_tracks.sort("plays", "track_key", descending=[True, False])
    return ordered.group_by("track_id", maintain_order=True).agg(
        pl.col("plays").sum(), track_mbid=mbid.filter(is_mbid).first()
    )
