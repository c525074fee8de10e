"""The numbers of 3MToken's MC and RI."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.content import tempo
from assets.embeddings.m3_features import KEYS, musical_vectors, release_vectors
from assets.embeddings.tables import M3_VECTORS
from assets.sources.tables import RELEASE_FACTS

TRACK = pl.DataFrame({"track_id": ["a"], "track_uri": ["u:a"], "artist": ["Ann"], "title": ["Rain"]})
BPM = st.none() | st.floats(0, 1000)


def musical(tempo_bpm: float | None, key: str | None) -> np.ndarray | None:
    """MC of one track with 220 bins of 1 bpm from 30, checked."""
    schema = {"track_id": pl.String, "tempo_bpm": pl.Float64, "key": pl.String}
    rhythm = pl.DataFrame([("a", tempo_bpm, key)], schema=schema, orient="row")
    made = musical_vectors(rhythm, tempo_bins=220, slowest_bpm=30, tempo_bin_bpm=1)
    frame = M3_VECTORS["mc"].checked(made.vectors)
    assert made.refused.is_empty()
    assert frame["vector"].dtype == pl.Array(pl.Float32, 245)
    return None if frame["vector"][0] is None else frame["vector"][0].to_numpy()


def release(year: int | None, day: dt.date | None = None) -> np.ndarray | None:
    """RI of one track, checked."""
    facts = pl.DataFrame([("Ann", "Rain", None, None, day, year)], schema=RELEASE_FACTS.empty().schema, orient="row")
    frame = M3_VECTORS["ri"].checked(release_vectors(TRACK, facts).vectors)
    assert frame["vector"].dtype == pl.Array(pl.Float32, 18)
    return None if frame["vector"][0] is None else frame["vector"][0].to_numpy()


def ones(vector: np.ndarray | None) -> list[int]:
    """Where a vector of zeros and ones is 1."""
    assert vector is not None
    assert set(vector) <= {0.0, 1.0}
    return np.flatnonzero(vector).tolist()


def test_keys_are_those_that_rhythm_writes() -> None:
    """In the order of content's key profiles."""
    assert KEYS == tempo.KEYS


@pytest.mark.parametrize(
    ("tempo_bpm", "key", "places"),
    [
        (30.0, "C major", [0, 220]),
        (120.4, "F# minor", [90, 220 + 12 + 6]),
        (249.9, "B minor", [219, 220 + 23]),
        (12.0, "C major", [0, 220]),
        (400.0, "C major", [219, 220]),
        (120.0, None, [90, 220 + 24]),
        (None, "D major", [222]),
    ],
)
def test_mc_has_a_bin_of_tempo_and_a_bin_of_key(tempo_bpm: float | None, key: str | None, places: list[int]) -> None:
    """120.4 bpm is bin 90 of 1 bpm from 30; beyond the bins is at the ends; no tempo is in none, no key in the last."""
    assert ones(musical(tempo_bpm, key)) == places


def test_mc_is_missing_where_neither_is_known() -> None:
    """A silent recording has no vector."""
    assert musical(None, None) is None


def test_bins_are_as_wide_and_as_many_as_asked_for() -> None:
    """Ten bins of 20 bpm from 40: 85 bpm is bin 2 and the keys begin at 10; rows come in order of track_id."""
    rhythm = pl.DataFrame({"track_id": ["b", "a"], "tempo_bpm": [85.0, 40.0], "key": ["C major", "C# major"]})
    vectors = musical_vectors(rhythm, tempo_bins=10, slowest_bpm=40, tempo_bin_bpm=20).vectors
    assert vectors["track_id"].to_list() == ["a", "b"]
    assert [np.flatnonzero(vector).tolist() for vector in vectors["vector"]] == [[0, 11], [2, 10]]


def test_a_key_of_another_name_is_an_error() -> None:
    """It would otherwise count as unknown."""
    with pytest.raises(ValueError, match="key 'H-Dur'; expected a tonic and mode, as in 'F# major'"):
        musical(120.0, "H-Dur")


@given(BPM, BPM, st.none() | st.sampled_from(KEYS))
@settings(max_examples=100, deadline=None)
def test_mc_is_two_choices(slower: float | None, faster: float | None, key: str | None) -> None:
    """One tempo bin at most, exactly one key bin, and a faster tempo is never in an earlier bin."""
    if slower is not None and faster is not None:
        slower, faster = sorted((slower, faster))
    vectors = [musical(slower, key), musical(faster, key)]
    known = [vector for vector in vectors if vector is not None]
    assert all(vector[:220].sum() in (0, 1) and vector[220:].sum() == 1 for vector in known)
    if slower is not None and faster is not None:
        assert known[0][:220].argmax() <= known[1][:220].argmax()


def test_ri_of_a_day() -> None:
    """1 April 1964: 64 of 129 years, a quarter round the year, the first day, the 1960s."""
    expected = [64 / 129, 1, 0, 0, 1, *[0] * 6, 1, *[0] * 6]
    assert release(1964, dt.date(1964, 4, 1)) == pytest.approx(np.array(expected), abs=1e-6)


def test_ri_of_a_year_has_no_month_and_no_day() -> None:
    """Zeros are no date: every date lies on a circle of radius 1."""
    vector = release(2029)
    assert vector is not None
    assert vector.tolist() == [1, 0, 0, 0, 0, *[0] * 12, 1]


def test_ri_without_a_year_is_missing() -> None:
    """Whether no fact is about the track or one that states no date."""
    assert release(None) is None


@pytest.mark.parametrize(("year", "as_year"), [(1, 1900), (1899, 1900), (2030, 2029), (9999, 2029)])
def test_years_beyond_the_decades_count_as_the_nearest(year: int, as_year: int) -> None:
    """Before 1900 is 1900, after 2029 is 2029."""
    assert np.array_equal(release(year), release(as_year))


@given(st.dates(), st.dates())
@settings(max_examples=100, deadline=None)
def test_ri_is_in_range_and_never_goes_back(one: dt.date, other: dt.date) -> None:
    """The year is in 0 to 1 and does not fall, month and day lie on circles, one decade is chosen."""
    first, later = sorted((one, other))
    vectors = [release(day.year, day) for day in (first, later)]
    for vector in vectors:
        assert vector is not None
        assert 0 <= vector[0] <= 1
        assert [vector[1:3] @ vector[1:3], vector[3:5] @ vector[3:5]] == pytest.approx([1, 1], abs=1e-6)
        assert sorted(vector[5:]) == [0] * 12 + [1]
    assert vectors[0][0] <= vectors[1][0]
    assert vectors[0][5:].argmax() <= vectors[1][5:].argmax()


def test_years_within_the_decades_all_differ() -> None:
    """A later year is a greater number."""
    years = [vector[0] for vector in map(release, range(1900, 2030)) if vector is not None]
    assert years == sorted(set(years))
    assert len(years) == 130


def test_no_rows_make_no_vectors() -> None:
    """An empty shard is a table without rows, of the same dimensions."""
    rhythm = pl.DataFrame(schema={"track_id": pl.String, "tempo_bpm": pl.Float64, "key": pl.String})
    made = [
        musical_vectors(rhythm, tempo_bins=220, slowest_bpm=30, tempo_bin_bpm=1),
        release_vectors(TRACK.clear(), RELEASE_FACTS.empty()),
    ]
    assert [M3_VECTORS[name].checked(each.vectors).height for name, each in zip(("mc", "ri"), made, strict=True)] == [
        0,
        0,
    ]
