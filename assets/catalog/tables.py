"""The tables that `catalog` writes."""

import dataframely as dy

from resources.tables import Table, refused_table


class PlaylistSplits(dy.Schema):
    """One playlist of the corpus: the slice that counts, and its side of the split."""

    playlist_id = dy.Int64(primary_key=True, description="The MPD pid")
    slice = dy.String(nullable=False, description="The slice whose version counts: the later name among several")
    split = dy.String(nullable=False, regex="^(train|test)$", description="train, or test: sampled from the last day")


class LogTracks(dy.Schema):
    """One distinct track of the listening log, and the catalog track that it is."""

    track_key = dy.String(primary_key=True, description="mbid:<MBID>, or name:<hash of artist and title>")
    track_id = dy.String(nullable=False, description="The catalog track: a linked MPD track, or the key itself")
    artist = dy.String(nullable=False, description="Artist, the spelling most often logged")
    title = dy.String(nullable=False, description="Title, the spelling most often logged")
    plays = dy.Int64(nullable=False, description="Plays by all listeners")
    listeners = dy.Int32(nullable=False, description="Listeners who played it")
    link_score = dy.Float64(nullable=True, description="Likeness of the best MPD candidate, 0 to 100; null without one")
    link_status = dy.String(nullable=False, description="linked, or why not: no_candidate, low_score, ambiguous, ...")


class Tracks(dy.Schema):
    """One track of the catalog: one recording, whatever sources know it."""

    track_id = dy.String(primary_key=True, description="Spotify URI, or the key of a track only the log knows")
    title = dy.String(nullable=False, description="Track name")
    artist = dy.String(nullable=False, description="Artist name")
    artist_uri = dy.String(
        nullable=True,
        description="The artist's Spotify URI; null for a track only the log knows or where the slice has none",
    )
    album = dy.String(nullable=True, description="Album name")
    duration_ms = dy.Int32(nullable=True, description="Length; null where unknown")
    track_uri = dy.String(nullable=True, description="Spotify URI; null for a track only the log knows")
    track_mbid = dy.String(nullable=True, description="MusicBrainz id, where the log states one")
    release_year = dy.Int32(nullable=True, description="Year of release, where the facts state one")
    shard = dy.String(nullable=False, description="The track shard that holds it")
    is_warm = dy.Bool(nullable=False, description="Whether a training playlist holds it")
    train_appearances = dy.Int32(nullable=False, description="Positions of training playlists that hold it")
    plays = dy.Int64(nullable=False, description="Plays in the listening log")


class Sessions(dy.Schema):
    """One play of one listening session."""

    session_id = dy.String(primary_key=True, description="listener_id/number of the session in the listener's log")
    position = dy.Int32(primary_key=True, description="Place in the session, from 0")
    listener_id = dy.String(nullable=False, description="LastFM-1K userid")
    track_id = dy.String(nullable=False, description="The catalog track")
    played_at = dy.Datetime(nullable=False, time_unit="us", time_zone="UTC", description="Start of the play")
    completion = dy.Float32(
        nullable=True,
        min=0,
        max=1,
        description="Share heard before the next play; null for a session's last or unknown length",
    )


class SessionSplits(dy.Schema):
    """One listening session: on which side of the split it is."""

    session_id = dy.String(primary_key=True, description="listener_id/number of the session in the listener's log")
    split = dy.String(nullable=False, regex="^(train|test)$", description="test: the last of each listener's sessions")


class DatasetTable(dy.Schema):
    """One split of the playlists, counted as in TalkPlay's Table 1."""

    split = dy.String(primary_key=True, description="train or test")
    playlists = dy.Int64(nullable=False, description="Playlists")
    mean_tracks = dy.Float64(nullable=True, description="Mean length of a playlist, in tracks")
    warm_tracks = dy.Int64(nullable=False, description="Distinct tracks that training playlists hold")
    cold_tracks = dy.Int64(nullable=False, description="Distinct tracks that no training playlist holds")
    vocabulary = dy.Int64(nullable=False, description="Distinct words of the names, normalised as the MPD scripts do")
    sparsity = dy.Float64(nullable=True, description="1 - distinct (playlist, track) pairs / (playlists x tracks)")


PLAYLIST_SPLITS = Table("catalog", "playlist_splits", PlaylistSplits)
LOG_TRACKS = Table("catalog", "log_tracks", LogTracks)
TRACKS = Table("catalog", "tracks", Tracks)
SESSIONS = Table("catalog", "sessions", Sessions)
SESSION_SPLITS = Table("catalog", "session_splits", SessionSplits)
DATASET_TABLE = Table("catalog", "dataset_table", DatasetTable)
REFUSED = refused_table("catalog")
