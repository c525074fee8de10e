"""Listening sessions and how much of each track was heard."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.catalog.sessions import SessionRules, cut_sessions, known_tracks
from assets.catalog.tables import SESSIONS

START = datetime(2008, 5, 4, 10, tzinfo=UTC)
ALL = SessionRules(
    gap_s=1200,
    min_listener_plays=1,
    min_track_plays=1,
    min_session_tracks=1,
    max_session_tracks=None,
    min_listener_sessions=1,
)
PLAYS = pl.Schema(
    {
        "listener_id": pl.String(),
        "played_at": pl.Datetime("us", "UTC"),
        "play_number": pl.Int32(),
        "track_key": pl.String(),
    }
)
Play = tuple[str, int, str]


def frame(rows: list[Play]) -> pl.DataFrame:
    """Plays: listener, seconds after the start, track; numbered by listener in the given order."""
    numbers = Counter[str]()
    plays = []
    for listener, second, track in rows:
        plays.append((listener, START + timedelta(seconds=second), numbers[listener], track))
        numbers[listener] += 1
    return pl.DataFrame(plays, schema=PLAYS, orient="row")


def cut(
    rows: list[Play], rules: SessionRules = ALL, *, links: dict[str, str] | None = None, shuffled: bool = False
) -> pl.DataFrame:
    """The sessions of plays whose tracks all last 100 s but for `unknown`."""
    plays = frame(rows)
    counts = plays.group_by("track_key").len("plays").sort("track_key")
    track_ids = [(links or {}).get(key, key) for key in counts["track_key"]]
    logged = counts.with_columns(pl.Series("track_id", track_ids, dtype=pl.String), pl.col("plays").cast(pl.Int64))
    lengths = [None if track_id == "unknown" else 100_000 for track_id in sorted(set(track_ids))]
    tracks = pl.DataFrame(
        {"track_id": sorted(set(track_ids)), "duration_ms": lengths},
        schema={"track_id": pl.String, "duration_ms": pl.Int32},
    )
    plays = plays.sample(fraction=1, shuffle=True, seed=0) if shuffled else plays
    return SESSIONS.checked(cut_sessions(plays, known_tracks(logged, tracks), rules=rules))


def places(sessions: pl.DataFrame) -> list[tuple[str, int, str]]:
    """Session, position and track of each row."""
    return sessions.select("session_id", "position", "track_id").rows()


def test_only_a_longer_pause_starts_a_session() -> None:
    """1,200 s keep a session together, 1,201 s do not; sessions are numbered from 0."""
    sessions = cut([("l", 0, "a"), ("l", 1200, "b"), ("l", 2401, "c")])
    assert places(sessions) == [("l/0", 0, "a"), ("l/0", 1, "b"), ("l/1", 0, "c")]


def test_listeners_have_their_own_sessions() -> None:
    """Plays of two listeners a second apart are two sessions."""
    assert places(cut([("l", 0, "a"), ("m", 1, "a")])) == [("l/0", 0, "a"), ("m/0", 0, "a")]


def test_completion_is_the_share_heard_before_the_next_play() -> None:
    """25 of 100 s are a quarter, 400 s all of it, nothing at once; the last play's is unknown."""
    sessions = cut([("l", 0, "a"), ("l", 25, "b"), ("l", 425, "c"), ("l", 425, "d")])
    assert sessions["completion"].to_list() == [0.25, 1.0, 0.0, None]


def test_completion_is_unknown_before_a_pause_and_without_a_length() -> None:
    """Nobody knows how much of a session's last track was heard, nor of a track without length."""
    sessions = cut([("l", 0, "unknown"), ("l", 50, "a"), ("l", 1251, "b"), ("l", 1261, "c")])
    assert sessions["completion"].to_list() == [None, None, pytest.approx(0.1), None]


def test_completion_is_that_of_the_raw_log() -> None:
    """A play that a rule removes still ends the one before it."""
    rows = [("l", 0, "a"), ("l", 30, "rare"), ("l", 100, "a"), ("l", 160, "b"), ("l", 200, "b")]
    sessions = cut(rows, replace(ALL, min_track_plays=2))
    assert places(sessions) == [("l/0", 0, "a"), ("l/0", 1, "b")]
    assert sessions["completion"].to_list() == [pytest.approx(0.3), pytest.approx(0.4)]


def test_removed_plays_no_longer_hold_a_session_together() -> None:
    """Sessions are cut after rare tracks are gone: 1,000 + 1,000 s become one pause."""
    rows = [("l", 0, "a"), ("l", 1000, "rare"), ("l", 2000, "a")]
    assert places(cut(rows, replace(ALL, min_track_plays=2))) == [("l/0", 0, "a"), ("l/1", 0, "a")]


def test_a_track_counts_once_a_session() -> None:
    """The first of equal tracks stays; in the next session the track counts again."""
    rows = [("l", 0, "a"), ("l", 10, "b"), ("l", 20, "a"), ("l", 5000, "a")]
    assert places(cut(rows)) == [("l/0", 0, "a"), ("l/0", 1, "b"), ("l/1", 0, "a")]


def test_keys_of_one_track_are_one_track() -> None:
    """Linked keys share plays and are repeats of each other."""
    rows = [("l", 0, "a"), ("l", 10, "A"), ("l", 20, "b")]
    sessions = cut(rows, replace(ALL, min_track_plays=2), links={"a": "uri", "A": "uri"})
    assert places(sessions) == [("l/0", 0, "uri")]


def test_short_sessions_go_and_long_ones_are_cut() -> None:
    """At least two tracks, at most the first three; the number of a dropped session is not given again."""
    rows = [("l", 0, "a"), *(("l", 5000 + place, f"t{place}") for place in range(5)), ("l", 9000, "a")]
    sessions = cut(rows, replace(ALL, min_session_tracks=2, max_session_tracks=3))
    assert places(sessions) == [("l/1", 0, "t0"), ("l/1", 1, "t1"), ("l/1", 2, "t2")]


def test_listeners_with_few_plays_or_sessions_go() -> None:
    """Three plays are not four, and two sessions are not three; sessions too short do not count."""
    three = [("l", place * 10, f"t{place}") for place in range(3)]
    assert cut(three, replace(ALL, min_listener_plays=4)).is_empty()
    assert cut(three, replace(ALL, min_listener_plays=3)).height == 3
    sessions = [
        (listener, number * 5000 + place, f"t{place}") for listener in "lm" for number in range(2) for place in range(2)
    ]
    sessions = sorted([*sessions, ("l", 20_000, "t0"), ("m", 20_000, "t0"), ("m", 20_001, "t1")])
    kept = cut(sessions, replace(ALL, min_session_tracks=2, min_listener_sessions=3))
    assert kept["listener_id"].unique().to_list() == ["m"]


def test_no_plays_are_no_sessions() -> None:
    """An empty bucket gives the empty table."""
    assert cut([]).is_empty()


def test_a_play_of_an_unknown_track_is_an_error() -> None:
    """log_tracks of another run are found out."""
    known = known_tracks(
        pl.DataFrame({"track_key": ["b"], "track_id": ["b"], "plays": [1]}),
        pl.DataFrame({"track_id": ["b"], "duration_ms": [1]}),
    )
    with pytest.raises(ValueError, match="lacks 1 keys of the plays, the first being a"):
        cut_sessions(frame([("l", 0, "a")]), known, rules=ALL)


def reference(rows: list[Play], rules: SessionRules) -> list[tuple[str, int, str]]:
    """The rules one after another, play by play."""
    listeners, tracks = Counter(row[0] for row in rows), Counter(row[2] for row in rows)
    sessions: dict[str, list[str]] = {}
    last: dict[str, tuple[int, int]] = {}
    for listener, second, track in rows:
        if listeners[listener] < rules.min_listener_plays or tracks[track] < rules.min_track_plays:
            continue
        number, before = last.get(listener, (0, second))
        number += second - before > rules.gap_s
        last[listener] = (number, second)
        session = sessions.setdefault(f"{listener}/{number}", [])
        if track not in session:
            session.append(track)
    long = {name: session for name, session in sessions.items() if len(session) >= rules.min_session_tracks}
    kept = Counter(name.split("/")[0] for name in long)
    return sorted(
        (name, place, track)
        for name, session in long.items()
        if kept[name.split("/")[0]] >= rules.min_listener_sessions
        for place, track in enumerate(session[: rules.max_session_tracks])
    )


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("lm"), st.sampled_from([0, 100, 1200, 1201]), st.sampled_from("abcd")), max_size=40
    ),
    rules=st.builds(
        SessionRules,
        gap_s=st.just(1200),
        min_listener_plays=st.integers(1, 10),
        min_track_plays=st.integers(1, 4),
        min_session_tracks=st.integers(1, 3),
        max_session_tracks=st.sampled_from([None, 2, 3]),
        min_listener_sessions=st.integers(1, 3),
    ),
)
def test_sessions_are_those_of_the_rules(steps: list[Play], rules: SessionRules) -> None:
    """Whatever the order of rows, the frame has what the rules say, taken one play at a time."""
    second, rows = 0, []
    for listener, pause, track in steps:
        second += pause
        rows.append((listener, second, track))
    sessions = cut(rows, rules)
    assert places(sessions) == reference(rows, rules)
    assert cut(rows, rules, shuffled=True).equals(sessions)
