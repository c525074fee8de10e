"""Facts find their tracks by URI, else by normalised names."""

import polars as pl

from assets.sources.stated import with_artist_facts, with_track_facts

TRACKS = pl.DataFrame(
    [
        ("u:1", "a:1", "Ann", "Rain"),
        ("u:2", "a:2", "The Bo & Co", "Sun (feat. Cy) - 2009 Remaster"),
        (None, None, "Ánn feat. Di", "Rain!"),
        ("u:4", None, "Ann", "Rain (Live)"),
    ],
    schema=dict.fromkeys(["track_uri", "artist_uri", "artist", "title"], pl.String),
    orient="row",
)


def facts(*rows: tuple[str | None, str, str, int]) -> pl.DataFrame:
    """Facts about tracks, given as URI, artist, title and what they say."""
    schema = {"track_uri": pl.String, "artist": pl.String, "title": pl.String, "said": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def about_artists(*rows: tuple[str | None, str, int]) -> pl.DataFrame:
    """Facts about artists, given as URI, name and what they say."""
    return pl.DataFrame(rows, schema={"artist_uri": pl.String, "artist": pl.String, "said": pl.Int64}, orient="row")


def said(frame: pl.DataFrame) -> list[int | None]:
    """What was found of each track."""
    return with_track_facts(TRACKS, frame, "said")["said"].to_list()


def test_the_uri_comes_before_the_names() -> None:
    """A fact with the track's URI counts whatever its names; others by theirs, guests, case and releases aside."""
    found = said(facts(("u:1", "Else", "Other", 1), (None, "ANN", "rain", 2), ("u:9", "bo and co", "SUN", 3)))
    assert found == [1, 3, 2, None]


def test_another_recording_has_facts_of_its_own() -> None:
    """A live version is found as such, and not by the studio recording's facts."""
    assert said(facts(("u:9", "Ann", "Rain - Live", 7)))[3] == 7
    assert said(facts(("u:9", "Ann", "Rain", 7))) == [7, None, 7, None]


def test_the_first_by_name_counts() -> None:
    """Of two facts about one track the one whose names come first counts, whatever the order of rows."""
    several = facts(("u:1", "B", "x", 2), ("u:1", "A", "x", 1), (None, "Ann", "rain", 4), (None, "Ann", "Rain", 3))
    assert said(several) == said(several.reverse()) == [1, None, 3, None]


def test_several_columns_come_from_one_fact() -> None:
    """Nulls of the fact that was found are not filled from another."""
    both = facts(("u:1", "Else", "Other", 1), (None, "Ann", "Rain", 2))
    both = both.with_columns(also=pl.Series([None, "of the name"]))
    found = with_track_facts(TRACKS.head(1), both, "said", "also")
    assert found.select("said", "also").rows() == [(1, None)]


def test_tracks_keep_their_rows_order_and_columns() -> None:
    """Each track comes back once, with the columns asked for added."""
    twice = facts(("u:1", "Ann", "Rain", 1), ("u:1", "ann", "rain", 2))
    found = with_track_facts(TRACKS.reverse(), twice, "said")
    assert found.drop("said").equals(TRACKS.reverse())


def test_no_tracks_and_no_facts_are_fine() -> None:
    """Either may be empty."""
    assert said(facts()) == [None] * 4
    assert with_track_facts(TRACKS.clear(), facts(("u:1", "Ann", "Rain", 1)), "said").is_empty()
    assert with_artist_facts(TRACKS.clear(), about_artists(), "said").is_empty()


def test_artists_are_found_by_uri_then_by_name() -> None:
    """The artist's URI decides; without one, the name without guests and a leading `the`."""
    known = about_artists(("a:1", "Somebody", 1), (None, "ann", 2), ("a:9", "Bo and Co", 3))
    assert with_artist_facts(TRACKS, known, "said")["said"].to_list() == [1, 3, 2, 2]
