"""The positions of playlists that continuations are made of."""

import polars as pl

import sql

TRACKS = pl.DataFrame(
    [
        (2, 0, "x", "s1"),
        (1, 1, "a", "s2"),
        (1, 0, "b", "s2"),
        (1, 0, "lost", "s1"),
        (1, 10, "b", "s2"),
        (8, 0, "y", "s1"),
    ],
    schema={"playlist_id": pl.Int64, "position": pl.Int32, "track_uri": pl.String, "slice": pl.String},
    orient="row",
)
SPLITS = pl.DataFrame(
    [(1, "s2", "train"), (2, "s1", "test")],
    schema={"playlist_id": pl.Int64, "slice": pl.String, "split": pl.String},
    orient="row",
)


def positions(tracks: pl.DataFrame = TRACKS) -> list[tuple[int, int, str]]:
    """The rows of the SELECT."""
    tables = {"sources.playlist_tracks": tracks, "catalog.playlist_splits": SPLITS}
    rows = sql.select("shards/playlist_positions", tables)
    assert rows.columns == ["playlist_id", "position", "track_id"]
    return rows.rows()


def test_every_position_of_the_corpus_is_there_in_order() -> None:
    """Rows are in order of pid and position, as numbers, for both sides of the split: a row says no side, its
    playlist does; a playlist that the split does not know is not of the corpus.
    """
    assert positions() == [(1, 0, "b"), (1, 1, "a"), (1, 10, "b"), (2, 0, "x")]


def test_the_slice_that_lost_a_playlist_is_not_read() -> None:
    """Of a pid in two slices only the version that counts has positions: no position is there twice."""
    assert "lost" not in {track for _, _, track in positions()}
    assert len({row[:2] for row in positions()}) == len(positions())


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled positions give the same rows."""
    assert positions(TRACKS.sample(fraction=1, shuffle=True, seed=4)) == positions()
