"""The playlists that item2vec learns from."""

import polars as pl

import sql

TRACKS = pl.DataFrame(
    [
        *[(1, 0, "lost", "s1"), (1, 1, "lost", "s1"), (1, 2, "lost", "s1")],
        *[(1, 1, "a", "s2"), (1, 0, "b", "s2"), (1, 10, "b", "s2"), (1, 2, "c", "s2")],
        *[(2, 0, "secret", "s1"), (2, 1, "a", "s1")],
        *[(0, 0, "d", "s1")],
    ],
    schema={"playlist_id": pl.Int64, "position": pl.Int32, "track_uri": pl.String, "slice": pl.String},
    orient="row",
)
SPLITS = pl.DataFrame(
    [(0, "s1", "train"), (1, "s2", "train"), (2, "s1", "test"), (9, "s1", "train")],
    schema={"playlist_id": pl.Int64, "slice": pl.String, "split": pl.String},
    orient="row",
)


def playlists(tracks: pl.DataFrame = TRACKS, splits: pl.DataFrame = SPLITS) -> list[tuple[int, list[str]]]:
    """The rows of the SELECT."""
    tables = {"sources.playlist_tracks": tracks, "catalog.playlist_splits": splits}
    rows = sql.select("embeddings/training_playlists", tables)
    assert rows.columns == ["playlist_id", "track_uris"]
    return rows.rows()


def test_each_training_playlist_is_its_tracks_in_order() -> None:
    """Positions order the tracks as numbers, repeats stay, and playlists come in order of pid; empty ones don't."""
    assert playlists() == [(0, ["d"]), (1, ["b", "a", "c", "b"])]


def test_no_test_playlist_leaks() -> None:
    """Neither a test playlist nor a track that only test playlists hold is there."""
    assert 2 not in dict(playlists())
    assert "secret" not in {track for _, tracks in playlists() for track in tracks}
    assert playlists(splits=SPLITS.with_columns(split=pl.lit("test"))) == []


def test_the_slice_that_lost_a_playlist_is_not_read() -> None:
    """Of a pid in two slices only the version that counts is learnt from."""
    assert "lost" not in {track for _, tracks in playlists() for track in tracks}


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled positions give the same playlists."""
    assert playlists(TRACKS.sample(fraction=1, shuffle=True, seed=4)) == playlists()


def test_no_playlists_are_no_rows() -> None:
    """Without slices there is nothing to learn from."""
    assert playlists(TRACKS.clear(), SPLITS.clear()) == []
