"""What Dagster sees of `sources`."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from assets.partitions import LISTENER_BUCKETS, MPD_SLICES
from assets.sources.tables import (
    ARTIST_FACTS,
    LISTENERS,
    PLAYLIST_TRACKS,
    PLAYLISTS,
    PLAYS,
    RELEASE_FACTS,
    SLICE_TRACKS,
    TRACK_FACTS,
)
from assets.work import Work, asset

if TYPE_CHECKING:
    from assets.sources.facts import Facts

LOG_FILES = "userid-timestamp-*.tsv"
PROFILE_FILE = "userid-profile.tsv"
NO_FOLDER = "{} is not there: the table is empty"


@asset(PLAYLISTS, PLAYLIST_TRACKS, SLICE_TRACKS, partitions=MPD_SLICES, kinds={"json", "parquet"}, parts_per_run=50)
def mpd(work: Work) -> None:
    """Read from the slices of the Million Playlist Dataset (Chen et al. 2018), one partition a slice file.

    A slice that is no valid JSON is refused as a whole and leaves empty tables; its reason is in `sources/refused`.
    """
    from assets.sources.mpd import mapped, read_slice

    for part in work:
        path = work.raw.slices().get(part.key)
        if path is None:
            raise FileNotFoundError(f"{work.raw.mpd}: no {part.key}.json; put the slice back or delete its partition")
        read = read_slice(mapped(part.raw(path)), slice_name=part.key)
        tables = {PLAYLISTS: read.playlists, PLAYLIST_TRACKS: read.playlist_tracks, SLICE_TRACKS: read.slice_tracks}
        part.write(tables, read.refused, notes=read.repairs)


@asset(PLAYS, LISTENERS, partitions=LISTENER_BUCKETS, kinds={"polars", "parquet"})
def listening_log(work: Work) -> None:
    """Read from the LastFM-1K listening log (Celma 2010), one partition a bucket of listeners.

    One scan of the log fills all buckets of a run. Without a log the tables are empty.
    """
    from assets.sources.identity import bucket_of
    from assets.sources.lastfm import read_listeners, read_plays
    from resources.refusals import concat_refused

    buckets = LISTENER_BUCKETS.get_partition_keys()
    parts = {part.key: part for part in work}
    profile = work.raw.lastfm / PROFILE_FILE
    for part in parts.values():
        part.raw(work.raw.lastfm)
    if not parts:
        return

    def named_bucket(listener_id: str) -> str:
        return buckets[bucket_of(listener_id, len(buckets))]

    scanned = read_plays(
        sorted(work.raw.lastfm.glob(LOG_FILES)),
        buckets=list(parts),
        bucket_of=named_bucket,
        first_day=date.fromisoformat(work.profile.sources.log_from),
        last_day=date.fromisoformat(work.profile.sources.log_to),
    )
    for bucket in scanned:
        path = profile if profile.exists() else None
        listeners, unread = read_listeners(path, bucket.plays, bucket=bucket.bucket, bucket_of=named_bucket)
        refused = concat_refused(bucket.refused, unread)
        notes = {"lines": bucket.lines} if work.raw.lastfm.is_dir() else {"note": NO_FOLDER.format(work.raw.lastfm)}
        parts[bucket.bucket].write({PLAYS: bucket.plays, LISTENERS: listeners}, refused, notes=notes)


@asset(ARTIST_FACTS, kinds={"json", "parquet"})
def artist_facts(work: Work) -> None:
    """Roles, origins and biographies of artists, from `facts/artists.jsonl`."""
    from assets.sources.facts import read_artists

    for part in work:
        path = part.raw(work.raw.facts / "artists.jsonl")
        facts = read_artists(path.read_bytes() if path.exists() else b"", work.raw.relative(path))
        part.write({ARTIST_FACTS: facts.rows}, facts.refused, notes=_facts_notes(path, facts))


@asset(RELEASE_FACTS, kinds={"json", "parquet"})
def release_facts(work: Work) -> None:
    """Release dates of tracks, from `facts/releases.jsonl`."""
    from assets.sources.facts import read_releases

    for part in work:
        path = part.raw(work.raw.facts / "releases.jsonl")
        facts = read_releases(path.read_bytes() if path.exists() else b"", work.raw.relative(path))
        part.write({RELEASE_FACTS: facts.rows}, facts.refused, notes=_facts_notes(path, facts))


@asset(TRACK_FACTS, kinds={"json", "parquet"})
def track_facts(work: Work) -> None:
    """Tags, writers and prose about tracks, from `facts/tracks.jsonl`."""
    from assets.sources.facts import read_tracks

    for part in work:
        path = part.raw(work.raw.facts / "tracks.jsonl")
        facts = read_tracks(path.read_bytes() if path.exists() else b"", work.raw.relative(path))
        part.write({TRACK_FACTS: facts.rows}, facts.refused, notes=_facts_notes(path, facts))


def _facts_notes(path: Path, facts: "Facts") -> dict[str, str | int | float]:
    unknown = {f"lines with the unknown field {name}": lines for name, lines in facts.unknown_fields.items()}
    return {**unknown} if path.exists() else {"note": NO_FOLDER.format(path)}
