"""Which MPD track a track of the log is, and when it is none."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.catalog.linking import link_tracks

MIN_SCORE = 90.0


def logged(*names: tuple[str, str]) -> pl.DataFrame:
    """Tracks of the log with keys name:0, name:1, ..."""
    keys = [f"name:{place}" for place in range(len(names))]
    return pl.DataFrame([(key, *name) for key, name in zip(keys, names, strict=True)], schema=LOG, orient="row")


def known(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    """Tracks of the MPD: URI, artist, title, appearances."""
    return pl.DataFrame(list(rows), schema=MPD, orient="row")


LOG = {"track_key": pl.String, "artist": pl.String, "title": pl.String}
MPD = {"track_uri": pl.String, "artist": pl.String, "title": pl.String, "train_appearances": pl.Int32}


def link(log: tuple[str, str], *mpd: tuple[str, str]) -> tuple[str, float | None, str]:
    """The link of one track of the log among MPD tracks u0, u1, ..."""
    tracks = known(*((f"u{place}", *names, 1) for place, names in enumerate(mpd)))
    row = link_tracks(logged(log), tracks, min_score=MIN_SCORE).row(0, named=True)
    return row["track_id"], row["link_score"], row["link_status"]


@pytest.mark.parametrize(
    ("log", "mpd"),
    [
        (("Ola Ray", "Dawn"), ("Ola Ray", "Dawn")),
        (("OLA RAY", "dawn"), ("Öla Ray", "Dáwn")),
        (("The Ola Ray", "Dawn"), ("Ola Ray feat. Bo", "Dawn (feat. Bo)")),
        (("Ola & Ray", "Dawn"), ("Ola and Ray", "Dawn!")),
        (("Ola Ray", "Dawn"), ("Ola Ray", "Dawn - Remastered 2009")),
        (("Ola Ray", "Dawn (Live)"), ("Ola Ray", "Dawn - Live")),
    ],
)
def test_equal_recordings_link_at_100(log: tuple[str, str], mpd: tuple[str, str]) -> None:
    """Case, accents, guests, punctuation and remastering do not make another recording."""
    assert link(log, mpd) == ("u0", 100.0, "linked")


@pytest.mark.parametrize(
    ("log_title", "mpd_title"),
    [
        ("Dawn", "Dawn (Live)"),
        ("Dawn", "Dawn (Someone Remix)"),
        ("Dawn (One Remix)", "Dawn (Two Remix)"),
        ("Dawn Of The Longest Day Live", "Dawn Of The Longest Day"),
        ("Symphony Of Morning No. 5", "Symphony Of Morning No. 6"),
        ("Morning Suite For Strings II", "Morning Suite For Strings III"),
    ],
)
def test_other_versions_do_not_link(log_title: str, mpd_title: str) -> None:
    """Live and remixed versions and other numbers are other recordings, however alike the titles are."""
    track_id, _, status = link(("Ola Ray", log_title), ("Ola Ray", mpd_title))
    assert (track_id, status) == ("name:0", "version_differs")


def test_no_artist_and_no_title_near_are_no_candidate() -> None:
    """Without a candidate there is no score."""
    assert link(("Ola Ray", "Dawn"), ("Bo Lee", "Dawn")) == ("name:0", None, "no_candidate")
    assert link(("Ola Ray", "Dawn"), ("Ola Ray", "Xyz")) == ("name:0", None, "no_candidate")
    assert link(("Ola Ray", "Dawn")) == ("name:0", None, "no_candidate")


def test_unlike_titles_are_refused_with_their_score() -> None:
    """Seven of eight letters are equal: 2 * 7 / 16 is less than the least score."""
    assert link(("Ola Ray", "dawn sun"), ("Ola Ray", "dawn sum")) == ("name:0", 100 * 2 * 7 / 16, "low_score")


def test_misspelt_title_links_with_its_score() -> None:
    """One letter too many in 24: 2 * 24 / 49 are equal."""
    title = "symphony of the mornings"
    assert link(("Ola Ray", title), ("Ola Ray", title + "x")) == ("u0", round(100 * 2 * 24 / 49, 2), "linked")


def test_misspelt_artist_links_by_the_worse_score() -> None:
    """The score is that of the artist where the artist is the worse: 2 * 12 / 25."""
    assert link(("Quartettonia", "Dawn"), ("Quartettoniaa", "Dawn")) == ("u0", round(100 * 2 * 12 / 25, 2), "linked")


def test_artists_with_other_numbers_are_others() -> None:
    """`Orchestra 41` is not `Orchestra 42`."""
    assert link(("Orchestra Grande 41", "Dawn"), ("Orchestra Grande 42", "Dawn"))[2] == "no_candidate"


def test_two_recordings_within_a_point_are_ambiguous() -> None:
    """A title as near to one recording as to another links to neither."""
    title = "symphony of the morning"
    track_id, _, status = link(("Ola Ray", title), ("Ola Ray", title + "x"), ("Ola Ray", title + "y"))
    assert (track_id, status) == ("name:0", "ambiguous")


def test_the_exact_recording_has_no_rivals() -> None:
    """An equal title links although a nearly equal one stands beside it."""
    title = "symphony of the morning that never came to be heard again"
    assert link(("Ola Ray", title), ("Ola Ray", title + "s"), ("Ola Ray", title)) == ("u1", 100.0, "linked")


def test_of_equal_mpd_tracks_the_most_heard_stands_for_all() -> None:
    """Most appearances win, then the smallest URI."""
    tracks = known(("u1", "Ola Ray", "Dawn", 2), ("u3", "Ola Ray", "DAWN", 5), ("u2", "Ola Ray", "Dawn!", 5))
    assert link_tracks(logged(("Ola Ray", "Dawn")), tracks, min_score=MIN_SCORE)["track_id"].to_list() == ["u2"]


def test_several_keys_link_to_one_track() -> None:
    """Spellings of one recording all find it."""
    links = link_tracks(
        logged(("Ola Ray", "Dawn"), ("ola ray", "DAWN")), known(("u1", "Ola Ray", "Dawn", 1)), min_score=MIN_SCORE
    )
    assert links["track_id"].to_list() == ["u1", "u1"]


def test_symbols_are_names_too() -> None:
    """Names without a letter are told apart."""
    assert link(("!!!", "?"), ("!!!", "?"), ("***", "?"))[0] == "u0"
    assert link(("!!!", "?"), ("***", "?"))[2] == "no_candidate"


NAMES = st.tuples(
    st.sampled_from(["Ola Ray", "Ola Rays", "The Ola Ray", "Bo", "Quartettonia", "Quartettoniaa"]),
    st.sampled_from(["Dawn", "Dawn (Live)", "Symphony of the morning", "Symphony of the mornings", "Dawn 2", "dawn!"]),
)


@settings(max_examples=100, deadline=None)
@given(one=NAMES, other=NAMES)
def test_links_are_symmetric(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Which side is the log's changes neither score nor status."""
    assert link(one, other)[1:] == link(other, one)[1:]


@settings(max_examples=50, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=8), tracks=st.lists(NAMES, max_size=8), data=st.data())
def test_order_of_rows_does_not_matter(
    names: list[tuple[str, str]], tracks: list[tuple[str, str]], data: st.DataObject
) -> None:
    """Permuted rows on both sides give the same links, in the order of the log's rows."""
    log = logged(*names)
    mpd = known(*((f"u{place}", *name, place % 3) for place, name in enumerate(tracks)))
    links = link_tracks(log, mpd, min_score=MIN_SCORE)
    log_again = log[data.draw(st.permutations(range(log.height)))]
    mpd_again = mpd[data.draw(st.permutations(range(mpd.height)))]
    again = link_tracks(log_again, mpd_again, min_score=MIN_SCORE)
    assert again["track_key"].to_list() == log_again["track_key"].to_list()
    assert again.sort("track_key").equals(links.sort("track_key"))
