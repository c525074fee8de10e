"""The sessions that co-listening learns from."""

import polars as pl

import sql

SESSIONS = pl.DataFrame(
    [
        *[("ann/0", 1, "b"), ("ann/0", 0, "a"), ("ann/0", 10, "c"), ("ann/0", 2, "b")],
        *[("ann/1", 0, "secret"), ("ann/1", 1, "a")],
        *[("ann/2", 0, "unsplit")],
    ],
    schema={"session_id": pl.String, "position": pl.Int32, "track_id": pl.String},
    orient="row",
)
SPLITS = pl.DataFrame({"session_id": ["ann/0", "ann/1"], "split": ["train", "test"]})


def sessions(rows: pl.DataFrame = SESSIONS, splits: pl.DataFrame = SPLITS) -> list[tuple[str, list[str]]]:
    """The rows of the SELECT."""
    found = sql.select("embeddings/training_sessions", {"catalog.sessions": rows, "catalog.session_splits": splits})
    assert found.columns == ["session_id", "track_ids"]
    return found.rows()


def test_each_training_session_is_its_tracks_in_order() -> None:
    """Positions order the tracks as numbers; what is a test session, or on no side, is not there."""
    assert sessions() == [("ann/0", ["a", "b", "b", "c"])]


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled plays give the same sessions."""
    assert sessions(SESSIONS.sample(fraction=1, shuffle=True, seed=4)) == sessions()


def test_no_sessions_are_no_rows() -> None:
    """Without a listening log there is nothing to learn from."""
    assert sessions(SESSIONS.clear(), SPLITS.clear()) == []
