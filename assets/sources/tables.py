"""The tables that `sources` writes."""

import dataframely as dy

from resources.tables import Table, refused_table


class Playlists(dy.Schema):
    """One playlist of a slice, as its listener left it."""

    playlist_id = dy.Int64(primary_key=True, description="The MPD pid")
    name = dy.String(nullable=False, description="The name its listener gave it")
    description = dy.String(nullable=True, description="The description, which few playlists have")
    modified_at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC", description="Day of the last change")
    followers = dy.Int64(nullable=True, description="Followers, the creator not counted")
    is_collaborative = dy.Bool(nullable=False, description="Whether several listeners edit it")
    tracks = dy.Int32(nullable=False, description="Tracks in the list, counted")
    declared_tracks = dy.Int32(nullable=True, description="Tracks as the slice states them (num_tracks)")
    slice = dy.String(nullable=False, description="The slice file it came from, without .json")


class PlaylistTracks(dy.Schema):
    """One position of one playlist."""

    playlist_id = dy.Int64(primary_key=True, description="The MPD pid")
    position = dy.Int32(primary_key=True, description="Place in the playlist, from 0 without gaps")
    track_uri = dy.String(nullable=False, description="The track's Spotify URI")
    slice = dy.String(nullable=False, description="The slice file it came from, without .json")


class SliceTracks(dy.Schema):
    """One distinct track of a slice, as its first appearance there describes it."""

    track_uri = dy.String(primary_key=True, description="The track's Spotify URI")
    title = dy.String(nullable=False, description="Track name")
    artist = dy.String(nullable=False, description="Artist name")
    album = dy.String(nullable=True, description="Album name")
    artist_uri = dy.String(nullable=True, description="The artist's Spotify URI")
    album_uri = dy.String(nullable=True, description="The album's Spotify URI")
    duration_ms = dy.Int32(nullable=True, description="Length; null where unknown, 0 or beyond 24 hours")
    appearances = dy.Int32(nullable=False, description="Playlist positions of this slice that hold it")
    slice = dy.String(nullable=False, description="The slice file it came from, without .json")


class Plays(dy.Schema):
    """One play of the listening log."""

    listener_id = dy.String(primary_key=True, description="LastFM-1K userid")
    played_at = dy.Datetime(primary_key=True, time_unit="us", time_zone="UTC", description="Start of the play")
    play_number = dy.Int32(primary_key=True, description="Place in the listener's log in time order, from 0")
    track_key = dy.String(nullable=False, description="mbid:<MBID>, or name:<hash of artist and title>")
    artist_name = dy.String(nullable=False, description="Artist as logged")
    track_name = dy.String(nullable=False, description="Title as logged")
    artist_mbid = dy.String(nullable=True, description="MusicBrainz id of the artist")
    track_mbid = dy.String(nullable=True, description="MusicBrainz id of the track")


class Listeners(dy.Schema):
    """One listener of the listening log."""

    listener_id = dy.String(primary_key=True, description="LastFM-1K userid")
    gender = dy.String(nullable=True, description="m or f")
    age = dy.Int32(nullable=True, description="Years, as stated")
    country = dy.String(nullable=True, description="Country, as stated")
    registered_at = dy.Date(nullable=True, description="Day of registration")
    plays = dy.Int64(nullable=False, description="Plays kept in sources/plays")


class ArtistFacts(dy.Schema):
    """What is known about one artist."""

    artist = dy.String(primary_key=True, description="Artist name")
    artist_uri = dy.String(nullable=True, description="The artist's Spotify URI")
    roles = dy.List(
        dy.Struct({"name": dy.String(nullable=False), "role": dy.String(nullable=False)}),
        nullable=False,
        description="People and their roles",
    )
    gender = dy.String(nullable=True, description="Gender of a solo artist, or group")
    birth_year = dy.Int32(nullable=True, description="Year of birth or of formation")
    origin = dy.String(nullable=True, description="Place of origin")
    biography = dy.String(nullable=True, description="Biography")


class ReleaseFacts(dy.Schema):
    """When one track was released."""

    artist = dy.String(primary_key=True, description="Artist name")
    title = dy.String(primary_key=True, description="Track name")
    track_uri = dy.String(nullable=True, description="The track's Spotify URI")
    album = dy.String(nullable=True, description="Album name")
    released_at = dy.Date(nullable=True, description="Day of release; null where only the year is known")
    release_year = dy.Int32(nullable=True, description="Year of release")


class TrackFacts(dy.Schema):
    """What is written about one track."""

    artist = dy.String(primary_key=True, description="Artist name")
    title = dy.String(primary_key=True, description="Track name")
    track_uri = dy.String(nullable=True, description="The track's Spotify URI")
    facts = dy.String(nullable=True, description="Prose about the track")
    tags = dy.List(dy.String(nullable=False), nullable=False, description="Tags, lower case, strongest first")
    writers = dy.List(dy.String(nullable=False), nullable=False, description="Writers of the track")


PLAYLISTS = Table("sources", "playlists", Playlists)
PLAYLIST_TRACKS = Table("sources", "playlist_tracks", PlaylistTracks)
SLICE_TRACKS = Table("sources", "slice_tracks", SliceTracks)
PLAYS = Table("sources", "plays", Plays)
LISTENERS = Table("sources", "listeners", Listeners)
ARTIST_FACTS = Table("sources", "artist_facts", ArtistFacts)
RELEASE_FACTS = Table("sources", "release_facts", ReleaseFacts)
TRACK_FACTS = Table("sources", "track_facts", TrackFacts)
REFUSED = refused_table("sources")
