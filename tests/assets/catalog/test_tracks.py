"""The catalog: MPD tracks and tracks that only the log knows, their plays, MBIDs, years and shards."""

from hashlib import blake2b

import polars as pl
import pytest

from assets.catalog.tables import LOG_TRACKS, TRACKS
from assets.catalog.tracks import catalog_tracks
from assets.sources.tables import RELEASE_FACTS

SHARDS = [f"shard_{number}" for number in range(3)]
MPD_SCHEMA = {
    "track_uri": pl.String,
    "title": pl.String,
    "artist": pl.String,
    "artist_uri": pl.String,
    "album": pl.String,
    "duration_ms": pl.Int32,
    "train_appearances": pl.Int32,
}


def mpd(*tracks: tuple[str, str, str, int]) -> pl.DataFrame:
    """Rows of sql/catalog/mpd_tracks, given as uri, title, artist and appearances in training playlists."""
    rows = [
        (uri, title, artist, f"by:{artist}", "Album", 1000, appearances) for uri, title, artist, appearances in tracks
    ]
    return pl.DataFrame(rows, schema=MPD_SCHEMA, orient="row")


def log(*tracks: tuple[str, str, int]) -> pl.DataFrame:
    """Rows of catalog/log_tracks, given as key, track and plays."""
    rows = [
        (key, track, f"Artist of {key}", f"Title of {key}", plays, 1, None, "linked") for key, track, plays in tracks
    ]
    return LOG_TRACKS.checked(pl.DataFrame(rows, schema=LOG_TRACKS.empty().schema, orient="row"))


def released(*facts: tuple[str, str, str | None, int | None]) -> pl.DataFrame:
    """Rows of sources/release_facts, given as artist, title, uri and year."""
    rows = [(artist, title, uri, None, None, year) for artist, title, uri, year in facts]
    return RELEASE_FACTS.checked(pl.DataFrame(rows, schema=RELEASE_FACTS.empty().schema, orient="row"))


def catalog(mpd_tracks: pl.DataFrame, log_tracks: pl.DataFrame, facts: pl.DataFrame | None = None) -> dict[str, dict]:
    """Rows of catalog/tracks by track, checked."""
    rows = TRACKS.checked(catalog_tracks(mpd_tracks, log_tracks, released() if facts is None else facts, shards=SHARDS))
    return {row["track_id"]: row for row in rows.iter_rows(named=True)}


def test_mpd_tracks_keep_what_their_slice_says() -> None:
    """A track of the MPD is known by its uri, with the names, artist's uri, album and length of its slice."""
    track = catalog(mpd(("spotify:track:1", "Title", "Artist", 4)), log())["spotify:track:1"]
    assert {name: track[name] for name in ("title", "artist", "artist_uri", "album", "duration_ms", "track_uri")} == {
        "title": "Title",
        "artist": "Artist",
        "artist_uri": "by:Artist",
        "album": "Album",
        "duration_ms": 1000,
        "track_uri": "spotify:track:1",
    }
    assert (track["plays"], track["track_mbid"], track["release_year"]) == (0, None, None)


@pytest.mark.parametrize(("appearances", "is_warm"), [(0, False), (1, True), (9, True)])
def test_warm_is_what_training_playlists_hold(appearances: int, is_warm: bool) -> None:
    """One position of one training playlist makes a track warm."""
    track = catalog(mpd(("u:1", "T", "A", appearances)), log())["u:1"]
    assert (track["train_appearances"], track["is_warm"]) == (appearances, is_warm)


def test_tracks_that_only_the_log_knows_are_cold_and_have_no_uri() -> None:
    """A key that is linked to nothing is a track of its own, with the log's names and plays."""
    track = catalog(mpd(("u:1", "T", "A", 1)), log(("name:ab", "name:ab", 7)))["name:ab"]
    assert (track["artist"], track["title"], track["plays"]) == ("Artist of name:ab", "Title of name:ab", 7)
    unknown = ("track_uri", "artist_uri", "album", "duration_ms", "track_mbid")
    assert [track[name] for name in unknown] == [None] * 5
    assert (track["is_warm"], track["train_appearances"]) == (False, 0)


def test_plays_of_all_keys_of_a_track_add_up() -> None:
    """Three keys linked to one MPD track make one track with 5 + 3 + 2 plays; no play is lost or counted twice."""
    tracks = catalog(
        mpd(("u:1", "T", "A", 1), ("u:2", "U", "A", 1)),
        log(("mbid:a", "u:1", 5), ("name:b", "u:1", 3), ("mbid:c", "u:1", 2), ("mbid:d", "mbid:d", 11)),
    )
    assert {track_id: track["plays"] for track_id, track in tracks.items()} == {"u:1": 10, "u:2": 0, "mbid:d": 11}


@pytest.mark.parametrize(
    ("keys", "mbid"),
    [
        ([("mbid:a", 1), ("mbid:b", 2)], "b"),
        ([("name:x", 9), ("mbid:a", 1)], "a"),
        ([("mbid:b", 2), ("mbid:a", 2)], "a"),
        ([("name:x", 9)], None),
    ],
)
def test_the_most_played_mbid_counts(keys: list[tuple[str, int]], mbid: str | None) -> None:
    """Of several MBIDs the most played one stands, the first in order among equals; a key of names is none."""
    tracks = catalog(mpd(("u:1", "T", "A", 1)), log(*((key, "u:1", plays) for key, plays in keys)))
    assert tracks["u:1"]["track_mbid"] == mbid


def test_the_year_of_the_uri_comes_before_that_of_the_name() -> None:
    """A year stated for the uri counts, whatever its names; else that of the same artist and title, as normalised."""
    tracks = catalog(
        mpd(("u:1", "Song", "The Band", 1), ("u:2", "Song!", "Band", 1), ("u:3", "Song (Live)", "Band", 1)),
        log(("name:s", "name:s", 1)),
        released(
            ("Somebody", "Else", "u:1", 1991),
            ("BAND", "song", None, 1992),
            ("Artist of name S", "Title of Name:S", None, 1993),
        ),
    )
    years = {track_id: track["release_year"] for track_id, track in tracks.items()}
    assert years == {"u:1": 1991, "u:2": 1992, "u:3": None, "name:s": 1993}


def test_a_fact_without_a_year_says_nothing() -> None:
    """A fact of the uri that states no year does not hide one of the name."""
    facts = released(("A", "T", "u:1", None), ("a", "t", None, 1999))
    assert catalog(mpd(("u:1", "T", "A", 1)), log(), facts)["u:1"]["release_year"] == 1999


def test_several_facts_of_one_track_make_one_row() -> None:
    """Two facts with one uri or one normal form add no second row; the first by artist and title counts."""
    facts = released(("B", "T", "u:1", 2002), ("A", "T", "u:1", 2001), ("C", "T!", None, 2004), ("C", "T", None, 2003))
    tracks = catalog_tracks(mpd(("u:1", "x", "y", 1), ("u:2", "T", "C", 1)), log(), facts, shards=SHARDS)
    assert tracks.select("track_id", "release_year").rows() == [("u:1", 2001), ("u:2", 2003)]


def test_a_shard_is_a_stable_hash_of_the_id() -> None:
    """The shard is the BLAKE2b hash of the id, 8 bytes read from the low end, modulo the number of shards."""
    ids = [f"spotify:track:{number}" for number in range(50)]
    tracks = catalog(mpd(*((track_id, "T", "A", 1) for track_id in ids)), log())
    for track_id in ids:
        digest = blake2b(track_id.encode(), digest_size=8).digest()
        assert tracks[track_id]["shard"] == SHARDS[int.from_bytes(digest, "little") % 3]


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled tracks, log tracks and facts give the same catalog, in order of track id."""
    mpd_tracks = mpd(*((f"u:{number}", f"T{number % 7}", f"A{number % 3}", number % 2) for number in range(40)))
    log_tracks = log(*((f"mbid:{number}", f"u:{number % 5}", 3) for number in range(20)), ("name:z", "name:z", 1))
    facts = released(*((f"A{number % 3}", f"T{number}", f"u:{number % 4}", 1990 + number) for number in range(12)))
    expected = catalog_tracks(mpd_tracks, log_tracks, facts, shards=SHARDS)
    assert expected["track_id"].is_sorted()
    for seed in range(3):
        shuffled = [frame.sample(fraction=1, shuffle=True, seed=seed) for frame in (mpd_tracks, log_tracks, facts)]
        assert catalog_tracks(*shuffled, shards=SHARDS).equals(expected)


@pytest.mark.parametrize(
    ("mpd_tracks", "log_tracks", "ids"),
    [
        (mpd(), log(), []),
        (mpd(("u:1", "T", "A", 1)), log(), ["u:1"]),
        (mpd(), log(("mbid:a", "mbid:a", 2)), ["mbid:a"]),
    ],
)
def test_a_source_that_is_absent_leaves_the_other(
    mpd_tracks: pl.DataFrame, log_tracks: pl.DataFrame, ids: list[str]
) -> None:
    """Without slices, without a log or without either the catalog holds what there is."""
    assert list(catalog(mpd_tracks, log_tracks)) == ids
