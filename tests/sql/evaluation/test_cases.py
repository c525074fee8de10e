"""What is drawn from held-out playlists and sessions, and what counts as popular."""

import polars as pl
import pytest

import sql

HELD_OUT, TRAINING = range(10, 18), range(20, 24)
PLAYLIST_TRACKS = pl.DataFrame(
    [
        *((pid, place, f"p{pid}-{place % 6}", "s1") for pid in (*HELD_OUT, *TRAINING) for place in range(8)),
        (10, 0, "lost", "s0"),
        *((30, place, "alone", "s1") for place in range(3)),
    ],
    schema={"playlist_id": pl.Int64, "position": pl.Int32, "track_uri": pl.String, "slice": pl.String},
    orient="row",
)
PLAYLIST_SPLITS = pl.DataFrame(
    [(pid, "s1", "train" if pid in TRAINING else "test") for pid in (*HELD_OUT, *TRAINING, 30)],
    schema={"playlist_id": pl.Int64, "slice": pl.String, "split": pl.String},
    orient="row",
)
SESSIONS = pl.DataFrame(
    [
        *((f"u{n}/{n}", place, f"u{n}", f"t{n}-{place % 4}") for n in range(6) for place in range(5)),
        *((f"u0/{n}", place, "u0", f"t0-{place}") for n in (7, 8) for place in range(2)),
    ],
    schema={"session_id": pl.String, "position": pl.Int32, "listener_id": pl.String, "track_id": pl.String},
    orient="row",
)
SESSION_SPLITS = pl.DataFrame(
    [
        (session_id, "train" if session_id in ("u4/4", "u5/5") else "test")
        for session_id in SESSIONS["session_id"].unique()
    ],
    schema={"session_id": pl.String, "split": pl.String},
    orient="row",
)


def playlists(tracks: pl.DataFrame = PLAYLIST_TRACKS, **draws: int) -> pl.DataFrame:
    """The test playlists with their seeds."""
    tables = {"sources.playlist_tracks": tracks, "catalog.playlist_splits": PLAYLIST_SPLITS}
    return sql.select("evaluation/playlist_cases", tables, **{"playlists": 99, "seeds": 2, "seed": 7, **draws})


def pairs(sessions: pl.DataFrame = SESSIONS, **draws: int) -> pl.DataFrame:
    """The pairs of test sessions."""
    tables = {"catalog.sessions": sessions, "catalog.session_splits": SESSION_SPLITS}
    return sql.select("evaluation/session_pairs", tables, **{"session_pairs": 3, "pairs": 99, "seed": 7, **draws})


def test_only_test_playlists_of_two_tracks_or_more_are_drawn() -> None:
    """No training playlist, none that holds one track alone, and none as a slice that does not count has it."""
    rows = playlists()
    assert rows["playlist_id"].to_list() == list(HELD_OUT)
    assert rows["track_ids"].to_list() == [[f"p{pid}-{n}" for n in range(6)] for pid in HELD_OUT]


def test_seeds_are_distinct_tracks_of_the_playlist() -> None:
    """As many as may be, or all there are."""
    for seeds, found in ((2, 2), (9, 6)):
        for _, track_ids, seed_ids in playlists(seeds=seeds).rows():
            assert len(seed_ids) == len(set(seed_ids)) == found
            assert set(seed_ids) <= set(track_ids)


def test_playlists_are_drawn_by_seed() -> None:
    """So many of them, others for another seed, fewer being the first of more."""
    drawn = {seed: set(playlists(playlists=4, seed=seed)["playlist_id"]) for seed in range(6)}
    assert {len(pids) for pids in drawn.values()} == {4}
    assert len({frozenset(pids) for pids in drawn.values()}) > 1
    assert set(playlists(playlists=2, seed=3)["playlist_id"]) < drawn[3]


def test_pairs_are_of_one_test_session() -> None:
    """Two distinct tracks, at most so many pairs a session, none of a training session."""
    rows = pairs()
    assert set(rows["listener_id"]) == {"u0", "u1", "u2", "u3"}
    assert rows.filter(pl.col("seed_id") == pl.col("target_id")).is_empty()
    assert rows.filter(pl.col("seed_id").str.head(2) != pl.col("target_id").str.head(2)).is_empty()
    assert rows.group_by("session_id").len()["len"].max() == 3


def test_a_pair_of_several_sessions_counts_once() -> None:
    """Two sessions of one listener hold the same two tracks: both directions, once each."""
    rows = pairs(session_pairs=99)
    assert rows.select("seed_id", "target_id").is_unique().all()
    assert rows.height == 4 * 12  # four tracks a session: 4 x 3 ordered pairs
    assert pairs(pairs=5).height == 5


@pytest.mark.parametrize("select", [playlists, pairs])
def test_the_order_of_rows_changes_nothing(select) -> None:
    """Shuffled tables give the same rows."""
    table = PLAYLIST_TRACKS if select is playlists else SESSIONS
    assert select(table.sample(fraction=1, shuffle=True, seed=4)).equals(select())


@pytest.mark.parametrize("select", [playlists, pairs])
def test_no_test_data_give_no_rows(select) -> None:
    """As where there is no listening log."""
    table = PLAYLIST_TRACKS if select is playlists else SESSIONS
    assert select(table.clear()).is_empty()


def test_popularity_counts_training_data_alone() -> None:
    """Positions of training playlists as the catalog has them, and plays of training sessions."""
    tracks = pl.DataFrame({"track_id": ["t4-0", "t4-1", "t1-0", "x"], "train_appearances": [2, 0, 3, 0]})
    tables = {
        "catalog.sessions": SESSIONS,
        "catalog.session_splits": SESSION_SPLITS,
        "catalog.tracks": tracks.with_columns(pl.col("train_appearances").cast(pl.Int32)),
    }
    rows = sql.select("evaluation/popularity", tables)
    assert rows.rows() == [("t1-0", 3), ("t4-0", 2 + 2), ("t4-1", 1), ("x", 0)]
