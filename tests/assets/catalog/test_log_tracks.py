"""The distinct tracks of the log."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.catalog.log_tracks import count_tracks

COLUMNS = ["listener_id", "track_key", "artist_name", "track_name"]


def plays(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    """Plays: listener, key, artist, title."""
    return pl.DataFrame(list(rows), schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def test_the_most_frequent_spelling_counts() -> None:
    """Two plays as `B` beat one as `A`; all three are plays of the key."""
    buckets = [plays(("l1", "k", "X", "A"), ("l1", "k", "X", "B")), plays(("l2", "k", "X", "B"))]
    assert count_tracks(buckets).rows() == [("k", "X", "B", 3, 2)]


def test_equal_spellings_go_by_the_alphabet() -> None:
    """Of two spellings with a play each the alphabetically first stands."""
    assert count_tracks([plays(("l1", "k", "X", "B"), ("l1", "k", "X", "A"))]).rows() == [("k", "X", "A", 2, 1)]


def test_no_plays_are_no_tracks() -> None:
    """No bucket and an empty bucket both give the empty table."""
    assert count_tracks([]).equals(count_tracks([plays()]))


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["l1", "l2", "l3"]),
        st.sampled_from(["k1", "k2"]),
        st.sampled_from(["X", "x"]),
        st.sampled_from(["A", "a"]),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, data=st.data())
def test_counts_are_those_of_all_plays(rows: list[tuple[str, str, str, str]], data: st.DataObject) -> None:
    """However the rows are ordered and the listeners put in buckets, plays and listeners are counted once."""
    shuffled = data.draw(st.permutations(rows))
    buckets = [plays(*(row for row in shuffled if row[0] in names)) for names in (("l1", "l3"), ("l2",))]
    tracks = count_tracks(buckets).sort("track_key")
    whole = count_tracks([plays(*rows)]).sort("track_key")
    assert tracks.equals(whole)
    for key, _, _, played, heard in tracks.iter_rows():
        assert played == sum(row[1] == key for row in rows)
        assert heard == len({row[0] for row in rows if row[1] == key})
