"""The chronological split of each listener's sessions."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sql
from assets.catalog.tables import SESSION_SPLITS

START = dt.datetime(2006, 1, 1, tzinfo=dt.UTC)
SCHEMA = {"session_id": pl.String, "listener_id": pl.String, "played_at": pl.Datetime("us", "UTC")}


def sessions(**counts: int) -> pl.DataFrame:
    """Rows of catalog/sessions: so many sessions of each listener, a day apart, of two plays."""
    rows = [
        (f"{listener}/{number}", listener, START + dt.timedelta(days=number, minutes=minute))
        for listener, count in counts.items()
        for number in range(count)
        for minute in (0, 5)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def split(rows: pl.DataFrame, share: float) -> dict[str, str]:
    """The side of each session, checked."""
    frame = sql.select("catalog/session_splits", {"catalog.sessions": rows}, test_session_share=share)
    return dict(SESSION_SPLITS.checked(frame).iter_rows())


def held_out(rows: pl.DataFrame, share: float) -> set[str]:
    """The test sessions."""
    return {session_id for session_id, side in split(rows, share).items() if side == "test"}


def test_the_last_sessions_are_test() -> None:
    """Of 12 sessions a quarter, numbers 9 to 11: in order of time, not of the text of their ids."""
    assert held_out(sessions(ann=12), 0.25) == {"ann/9", "ann/10", "ann/11"}


def test_each_listener_is_split_alone() -> None:
    """Of 10 sessions 1, of 20 sessions 2, whenever others listened."""
    assert held_out(sessions(ann=10, bo=20), 0.1) == {"ann/9", "bo/18", "bo/19"}


@pytest.mark.parametrize(
    ("count", "share", "tests"),
    [(24, 0.1, 2), (25, 0.1, 3), (26, 0.1, 3), (2, 0.1, 1), (1, 0.1, 0), (9, 0.0, 0), (4, 1.0, 4)],
)
def test_the_share_is_rounded(count: int, share: float, tests: int) -> None:
    """2.4 is 2, 2.5 and 2.6 are 3; one at least of two or more; a single session trains; no share is no test."""
    assert len(held_out(sessions(ann=count), share)) == tests


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_no_training_session_is_later_than_a_test_session(counts: list[int], share: float) -> None:
    """Every session is on one side, and each listener's training sessions began before the test sessions."""
    sides = split(sessions(**{f"l{place}": count for place, count in enumerate(counts)}), share)
    assert len(sides) == sum(counts)
    for place in range(len(counts)):
        numbers = {name: int(name.split("/")[1]) for name in sides if name.startswith(f"l{place}/")}
        in_time = [sides[name] for name in sorted(numbers, key=numbers.__getitem__)]
        assert in_time == sorted(in_time, reverse=True)


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled plays give the same split."""
    rows = sessions(ann=7, bo=3)
    assert split(rows, 0.3) == split(rows.sample(fraction=1, shuffle=True, seed=3), 0.3)


def test_no_sessions_are_no_rows() -> None:
    """A bucket without sessions has an empty split."""
    assert split(sessions(), 0.1) == {}
