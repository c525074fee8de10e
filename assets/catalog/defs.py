"""What Dagster sees of `catalog`."""

import dagster as dg
import polars as pl

import sql
from assets.catalog.tables import DATASET_TABLE, LOG_TRACKS, PLAYLIST_SPLITS, SESSION_SPLITS, SESSIONS, TRACKS
from assets.making import asset_key
from assets.partitions import LISTENER_BUCKETS, TRACK_SHARDS
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS, PLAYS, RELEASE_FACTS, SLICE_TRACKS
from assets.work import Work, asset
from resources.lake import Lake
from resources.profile import Profile


@asset(PLAYLIST_SPLITS, whole=[PLAYLISTS, PLAYLIST_TRACKS], kinds={"duckdb", "parquet"})
def playlist_splits(work: Work) -> None:
    """Each playlist once, on its side of TalkPlay's chronological split (section 3.3).

    Test playlists are sampled from the last day. Of a pid in several slices the later slice counts; the others are
    refused.
    """
    settings = work.profile.catalog
    for part in work:
        tables = part.tables(PLAYLISTS, PLAYLIST_TRACKS)
        splits = sql.select(
            "catalog/playlist_splits", tables, test_playlists=settings.test_playlists, seed=settings.split_seed
        )
        refused = sql.select("catalog/playlist_conflicts", {**tables, "catalog.playlist_splits": splits})
        counts = dict(splits.group_by("split").len().sort("split").iter_rows())
        part.write({PLAYLIST_SPLITS: splits}, refused, notes=counts)


@asset(LOG_TRACKS, whole=[PLAYS, PLAYLIST_TRACKS, PLAYLIST_SPLITS, SLICE_TRACKS], kinds={"polars", "parquet"})
def log_tracks(work: Work) -> None:
    """Each distinct track of the listening log, linked to the MPD track it is: by normalised artist and title,
    scored.
    """
    from assets.catalog.linking import link_tracks
    from assets.catalog.log_tracks import count_tracks

    for part in work:
        counted = count_tracks(work.lake.read(PLAYS, bucket) for bucket in part.partitions(PLAYS))
        mpd_tracks = sql.select("catalog/mpd_tracks", part.tables(SLICE_TRACKS, PLAYLIST_TRACKS, PLAYLIST_SPLITS))
        links = link_tracks(counted, mpd_tracks, min_score=work.profile.catalog.link_min_score)
        linked = counted.join(links, on="track_key", how="left")
        counts = dict(linked.group_by("link_status").len().sort("link_status").iter_rows())
        part.write({LOG_TRACKS: linked}, notes=counts)


@asset(
    TRACKS,
    whole=[SLICE_TRACKS, PLAYLIST_TRACKS, PLAYLIST_SPLITS, LOG_TRACKS, RELEASE_FACTS],
    partitions=TRACK_SHARDS,
    kinds={"duckdb", "polars", "parquet"},
)
def tracks(work: Work) -> None:
    """One track per recording, whatever sources know it, in shards by a stable hash of its id.

    Warm tracks are those that a training playlist holds.
    """
    from assets.catalog.tracks import catalog_tracks

    parts = list(work)
    if not parts:
        return
    shards = TRACK_SHARDS.get_partition_keys()
    for part in parts:
        tables = part.tables(SLICE_TRACKS, PLAYLIST_TRACKS, PLAYLIST_SPLITS)
        logged, released = part.read(LOG_TRACKS), part.read(RELEASE_FACTS)
    catalog = catalog_tracks(sql.select("catalog/mpd_tracks", tables), logged, released, shards=shards)
    by_shard = catalog.partition_by("shard", as_dict=True)
    for part in parts:
        rows = by_shard.get((part.key,), catalog.clear())
        part.write({TRACKS: rows}, notes={"warm": int(rows["is_warm"].sum()), "cold": int((~rows["is_warm"]).sum())})


@asset(SESSIONS, same=[PLAYS], whole=[LOG_TRACKS, TRACKS], partitions=LISTENER_BUCKETS, kinds={"polars", "parquet"})
def sessions(work: Work) -> None:
    """Listening sessions: plays without a pause of more than 20 minutes, with the share of each track that was heard.

    Cut as the E4SRec study cuts LastFM-1K, but completion is measured on all plays, before any is left out.
    """
    from assets.catalog.sessions import SessionRules, cut_sessions, known_tracks

    settings = work.profile.catalog
    rules = SessionRules(
        gap_s=settings.session_gap_s,
        min_listener_plays=settings.min_listener_plays,
        min_track_plays=settings.min_track_plays,
        min_session_tracks=settings.min_session_tracks,
        max_session_tracks=settings.max_session_tracks,
        min_listener_sessions=settings.min_listener_sessions,
    )
    known = None
    for part in work:
        lengths = part.read(TRACKS, columns=["track_id", "duration_ms"])
        logged = part.read(LOG_TRACKS, columns=["track_key", "track_id", "plays"])
        known = known or known_tracks(logged, lengths)
        cut = cut_sessions(part.read(PLAYS), known, rules=rules)
        part.write({SESSIONS: cut}, notes={"sessions": cut["session_id"].n_unique()})


@asset(SESSION_SPLITS, same=[SESSIONS], partitions=LISTENER_BUCKETS, kinds={"duckdb", "parquet"})
def session_splits(work: Work) -> None:
    """Each session on its side of the split: the last of each listener are held out for evaluation.

    No later stage trains on a test session.
    """
    for part in work:
        tables = {"catalog.sessions": part.read(SESSIONS, columns=["session_id", "listener_id", "played_at"])}
        share = work.profile.catalog.test_session_share
        splits = sql.select("catalog/session_splits", tables, test_session_share=share)
        counts = dict(splits.group_by("split").len().sort("split").iter_rows())
        part.write({SESSION_SPLITS: splits}, notes=counts)


@asset(DATASET_TABLE, whole=[PLAYLISTS, PLAYLIST_TRACKS, PLAYLIST_SPLITS], kinds={"duckdb", "parquet"})
def dataset_table(work: Work) -> None:
    """The counts of TalkPlay's Table 1 (upper half) for this corpus, beside the paper's."""
    from assets.catalog.dataset_card import dataset_markdown

    for part in work:
        table = sql.select("catalog/dataset_table", part.tables(PLAYLISTS, PLAYLIST_TRACKS, PLAYLIST_SPLITS))
        part.write({DATASET_TABLE: table}, notes={"TalkPlay Table 1": dataset_markdown(table)})


@dg.asset_check(
    asset=asset_key(PLAYLIST_SPLITS), description="The test side has the playlists that the profile asks for."
)
def test_side_is_full(lake: Lake, profile: Profile) -> dg.AssetCheckResult:
    """Whether the last day had enough playlists; one playlist with a wrong date would make a last day of its own."""
    found = lake.read(PLAYLIST_SPLITS).filter(pl.col("split") == "test").height
    wanted = profile.catalog.test_playlists
    return dg.AssetCheckResult(
        passed=found >= wanted,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"test playlists": found, "wanted": wanted},
    )
