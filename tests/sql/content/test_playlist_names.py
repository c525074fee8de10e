"""The names that training playlists give their tracks."""

import polars as pl

import sql

PLAYLISTS = pl.DataFrame(
    [(1, "s1", "Old Name"), (1, "s2", "New Name"), (2, "s1", "Secret"), (3, "s2", "Rain")],
    schema={"playlist_id": pl.Int64, "slice": pl.String, "name": pl.String},
    orient="row",
)
TRACKS = pl.DataFrame(
    [
        (1, 0, "lost", "s1"),
        (1, 0, "b", "s2"),
        (1, 1, "a", "s2"),
        (1, 2, "b", "s2"),
        (2, 0, "a", "s1"),
        (3, 0, "a", "s2"),
    ],
    schema={"playlist_id": pl.Int64, "position": pl.Int32, "track_uri": pl.String, "slice": pl.String},
    orient="row",
)
SPLITS = pl.DataFrame(
    [(1, "s2", "train"), (2, "s1", "test"), (3, "s2", "train")],
    schema={"playlist_id": pl.Int64, "slice": pl.String, "split": pl.String},
    orient="row",
)


def names(tracks: pl.DataFrame = TRACKS, splits: pl.DataFrame = SPLITS) -> list[tuple[object, ...]]:
    """The rows of the SELECT."""
    tables = {"sources.playlists": PLAYLISTS, "sources.playlist_tracks": tracks, "catalog.playlist_splits": splits}
    rows = sql.select("content/playlist_names", tables)
    assert rows.columns == ["track_id", "playlist_id", "name"]
    return rows.rows()


def test_each_track_has_the_name_of_each_of_its_playlists_once() -> None:
    """A track twice in a playlist counts once there; rows are in order of track and playlist."""
    assert names() == [("a", 1, "New Name"), ("a", 3, "Rain"), ("b", 1, "New Name")]


def test_the_slice_that_lost_a_playlist_says_nothing() -> None:
    """Of a pid in two slices only the version that counts gives names and tracks."""
    assert not [row for row in names() if "lost" in row or "Old Name" in row]


def test_test_playlists_say_nothing() -> None:
    """The name of a test playlist never becomes a tag; with test playlists only there are no rows."""
    assert "Secret" not in {name for _, _, name in names()}
    assert names(splits=SPLITS.with_columns(split=pl.lit("test"))) == []


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled positions give the same rows."""
    assert names(TRACKS.sample(fraction=1, shuffle=True, seed=4)) == names()
