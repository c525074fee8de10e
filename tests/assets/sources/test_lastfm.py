"""The listening log: what is a play, what is refused, who listens."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources.lastfm import BucketPlays, read_listeners, read_plays
from assets.sources.tables import LISTENERS, PLAYS, REFUSED

MBID = "0a1b2c3d-0000-4000-8000-000000000001"
OTHER_MBID = "0a1b2c3d-0000-4000-8000-000000000002"


def line(
    listener: str = "user_000001",
    at: str = "2008-05-04T10:00:00Z",
    *,
    artist: str = "Ola Ray",
    track: str = "Dawn",
    mbid: str = MBID,
) -> str:
    """One line of the log."""
    return "\t".join((listener, at, "", artist, mbid, track))


def log(folder: Path, content: str | bytes, name: str = "userid-timestamp-a.tsv") -> Path:
    """A file of the log."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parity(listener_id: str) -> str:
    """A bucket for odd and one for even listeners."""
    return "odd" if listener_id[-1:] in ("1", "3", "5", "7", "9") else "even"


def one_bucket(*paths: Path, **span: date) -> BucketPlays:
    """All listeners in one bucket."""
    (bucket,) = read_plays(paths, buckets=["all"], bucket_of=lambda _: "all", **span)
    return bucket


def refused(bucket: BucketPlays) -> list[tuple[str, ...]]:
    """Where and why."""
    return bucket.refused.select("location", "reason").rows()


def test_plays_are_numbered_in_time_order(tmp_path: Path) -> None:
    """The log is newest first; play_number counts from the oldest."""
    newest_first = [line(at=f"2008-05-04T10:0{minute}:00Z", track=f"T{minute}") for minute in (5, 3, 1)]
    plays = one_bucket(log(tmp_path, "\n".join(newest_first))).plays
    assert plays["play_number"].to_list() == [0, 1, 2]
    assert plays["track_name"].to_list() == ["T1", "T3", "T5"]
    assert plays["played_at"][0] == datetime(2008, 5, 4, 10, 1, tzinfo=UTC)


def test_plays_at_one_time_are_numbered_against_file_order(tmp_path: Path) -> None:
    """Of two plays in one second the later line is the older play."""
    plays = one_bucket(log(tmp_path, line(track="New", mbid="") + "\n" + line(track="Old", mbid=""))).plays
    assert plays["track_name"].to_list() == ["Old", "New"]


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    """Listeners in turns and times in any order still give each listener's plays in time order."""
    lines = [
        line("user_000002", "2008-05-04T10:00:00Z"),
        line("user_000001", "2008-05-04T11:00:00Z"),
        line("user_000002", "2008-05-04T12:00:00Z"),
        line("user_000001", "2008-05-04T09:00:00Z"),
    ]
    plays = one_bucket(log(tmp_path, "\n".join(lines))).plays
    assert plays["listener_id"].to_list() == ["user_000001"] * 2 + ["user_000002"] * 2
    assert plays["played_at"].dt.hour().to_list() == [9, 11, 10, 12]


def test_plays_fit_their_table(tmp_path: Path) -> None:
    """The frames are those that the lake takes."""
    bucket = one_bucket(log(tmp_path, line() + "\n" + line(at="never") + "\n"))
    assert PLAYS.checked(bucket.plays).height == 1
    assert REFUSED.checked(bucket.refused).height == 1


def test_quotes_are_part_of_names(tmp_path: Path) -> None:
    """An unclosed quote neither swallows the next line nor disappears."""
    plays = one_bucket(log(tmp_path, line(track='"Dawn', mbid="") + "\n" + line(track='12" mix', mbid=""))).plays
    assert set(plays["track_name"]) == {'"Dawn', '12" mix'}


def test_track_key_is_the_mbid_where_there_is_one(tmp_path: Path) -> None:
    """Spellings of a track with one MBID share its key; without one, spellings of normal form do."""
    lines = [
        line(at="2008-05-04T10:03:00Z", track="Dawn"),
        line(at="2008-05-04T10:02:00Z", track="Down"),
        line(at="2008-05-04T10:01:00Z", mbid="", artist="The Öla Ray", track="DAWN!"),
        line(at="2008-05-04T10:00:00Z", mbid="", artist="ola ray", track="Dawn"),
    ]
    keys = one_bucket(log(tmp_path, "\n".join(lines))).plays["track_key"].to_list()
    assert keys[2:] == [f"mbid:{MBID}"] * 2
    assert keys[0] == keys[1]
    assert keys[0].startswith("name:")
    assert len(keys[0]) == len("name:") + 32


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "wrong_columns"),
        ("user_000001", "wrong_columns"),
        ("user_000001\t2008-05-04T10:00:00Z\ta\tb\tc", "wrong_columns"),
        (line() + "\tmore", "wrong_columns"),
        (line(listener="../x"), "bad_listener"),
        (line(listener=""), "bad_listener"),
        (line(at="2008-05-04 10:00:00"), "bad_timestamp"),
        (line(at="2008-02-30T10:00:00Z"), "bad_timestamp"),
        (line(at="2008-05-04T24:00:00Z"), "bad_timestamp"),
        (line(at="2004-12-31T23:59:59Z"), "outside_span"),
        (line(at="2010-01-01T00:00:00Z"), "outside_span"),
        (line(track=""), "no_title"),
        (line(track=" \x07"), "no_title"),
        (line(artist=""), "no_artist"),
    ],
)
def test_bad_lines_are_refused_with_line_number(tmp_path: Path, text: str, reason: str) -> None:
    """A line that is no play keeps its reason and its place in the file; its neighbours are read."""
    bucket = one_bucket(log(tmp_path, f"{line(track='A', mbid='')}\n{text}\n{line(track='B', mbid='')}\n"))
    assert refused(bucket) == [("line 2", reason)]
    assert bucket.plays.height == 2


def test_first_and_last_moment_of_the_span_count(tmp_path: Path) -> None:
    """The days that bound the span belong to it, and leap days exist."""
    times = ["2008-02-29T23:59:59Z", "2008-02-28T00:00:00Z", "2008-02-27T23:59:59Z", "2008-03-01T00:00:00Z"]
    path = log(tmp_path, "\n".join(line(at=at) for at in times))
    bucket = one_bucket(path, first_day=date(2008, 2, 28), last_day=date(2008, 2, 29))
    assert refused(bucket) == [("line 3", "outside_span"), ("line 4", "outside_span")]


def test_invalid_utf8_refuses_only_its_line(tmp_path: Path) -> None:
    """Bad bytes in a name, a listener or a broken line are not_utf8; the next line is read."""
    lines = [line(track="A").encode(), line().encode() + b"\xff", b"\xfe" + line().encode(), b"\xff\xfd", b""]
    bucket = one_bucket(log(tmp_path, b"\n".join(lines)))
    assert refused(bucket) == [("line 2", "not_utf8"), ("line 3", "not_utf8"), ("line 4", "not_utf8")]
    assert bucket.plays.height == 1


def test_repeated_play_counts_once(tmp_path: Path) -> None:
    """Of equal (listener, time, track) the first line stays, also with another track of that second between."""
    other = line(track="Noon", mbid=OTHER_MBID)
    bucket = one_bucket(log(tmp_path, "\n".join((line(), other, line(track="Dawn!"), line("user_000002")))))
    assert refused(bucket) == [("line 3", "duplicate_play")]
    assert bucket.plays.sort("listener_id", "play_number")["track_name"].to_list() == ["Noon", "Dawn", "Dawn"]


def test_line_endings_and_byte_order_mark_are_no_content(tmp_path: Path) -> None:
    """Windows line ends, a byte order mark and a missing last line feed change nothing."""
    text = line() + "\n" + line(track="Noon", mbid="")
    plain = one_bucket(log(tmp_path, text)).plays
    dressed = one_bucket(log(tmp_path, b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n")).plays
    assert plain.equals(dressed)


def test_control_characters_leave_names(tmp_path: Path) -> None:
    """A bare carriage return or NUL inside a name goes; names are composed (NFC)."""
    bucket = one_bucket(log(tmp_path, line(track="Da\rw\0n e\u0301")))
    assert bucket.plays["track_name"].to_list() == ["Dawn \u00e9"]


def test_empty_and_absent_logs_have_no_plays(tmp_path: Path) -> None:
    """No bytes, or no file at all, give empty tables."""
    for paths in ([], [log(tmp_path, "")]):
        bucket = one_bucket(*paths)
        assert (bucket.lines, bucket.plays.height, bucket.refused.height) == (0, 0, 0)
        PLAYS.checked(bucket.plays)


def test_another_format_is_an_error(tmp_path: Path) -> None:
    """A file without a single line of six columns is no log with bad luck."""
    with pytest.raises(ValueError, match="none of its 1000 lines has six columns"):
        one_bucket(log(tmp_path, "a,b,c\n" * 1000))


def test_utf16_is_an_error_that_says_so(tmp_path: Path) -> None:
    """Another encoding of the whole file is named, not refused line by line."""
    with pytest.raises(ValueError, match="UTF-16"):
        one_bucket(log(tmp_path, line().encode("utf-16")))


def test_several_files_are_one_log(tmp_path: Path) -> None:
    """A listener's plays of two files are one sequence; refused lines name their file."""
    first = log(tmp_path, line(at="2008-05-04T11:00:00Z") + "\nbad\n", "userid-timestamp-a.tsv")
    second = log(tmp_path, "bad\n" + line(at="2008-05-04T10:00:00Z"), "userid-timestamp-b.tsv")
    bucket = one_bucket(first, second)
    assert bucket.plays["played_at"].dt.hour().to_list() == [10, 11]
    assert bucket.refused.select("source", "location").rows() == [
        ("userid-timestamp-a.tsv", "line 2"),
        ("userid-timestamp-b.tsv", "line 1"),
    ]


LINES = st.one_of(
    st.builds(
        line,
        st.sampled_from(["user_1", "user_2", "user_3", "", "u ser", "é"]),
        st.sampled_from(["2008-05-04T10:00:00Z", "2008-05-04T10:00:01Z", "2012-05-04T10:00:00Z", "x", ""]),
        artist=st.sampled_from(["A", "a", ""]),
        track=st.sampled_from(["T", '"T', "", "Ü", "T\t"]),
        mbid=st.sampled_from(["", MBID]),
    ).map(str.encode),
    st.binary(max_size=12).filter(lambda text: b"\n" not in text),
)


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(LINES, max_size=30))
def test_every_line_is_a_play_or_refused(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Plays and refused rows add up to the lines, and a bucket is the same alone as among others."""
    content = b"".join(text + b"\n" for text in lines)
    content = content[2:] if content.startswith((b"\xff\xfe", b"\xfe\xff")) else content
    path = log(tmp_path_factory.mktemp("log"), content)
    both = list(read_plays([path], buckets=["odd", "even"], bucket_of=parity))
    assert sum(bucket.lines for bucket in both) == content.removeprefix(b"\xef\xbb\xbf").count(b"\n")
    for bucket in both:
        assert bucket.lines == bucket.plays.height + bucket.refused.height
        PLAYS.checked(bucket.plays)
        REFUSED.checked(bucket.refused)
        (alone,) = read_plays([path], buckets=[bucket.bucket], bucket_of=parity)
        assert alone.plays.equals(bucket.plays)
        assert alone.refused.equals(bucket.refused)


PROFILE = "#id\tgender\tage\tcountry\tregistered\n"


def listeners(path: Path | None, played: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All listeners in one bucket, with a play for each name."""
    plays = pl.DataFrame({"listener_id": played}, schema={"listener_id": pl.String})
    return read_listeners(path, plays, bucket="all", bucket_of=lambda _: "all")


def test_listeners_join_profile_and_plays(tmp_path: Path) -> None:
    """Empty fields are null; a listener without profile and one without plays each have a row."""
    path = log(tmp_path, PROFILE + "user_1\tm\t25\tNorway\tAug 13, 2006\nuser_2\t\t\t\t\n")
    frame, unread = listeners(path, ["user_1", "user_1", "user_3"])
    assert LISTENERS.checked(frame).rows() == [
        ("user_1", "m", 25, "Norway", date(2006, 8, 13), 2),
        ("user_2", None, None, None, None, 0),
        ("user_3", None, None, None, None, 1),
    ]
    assert unread.is_empty()


def test_profile_header_is_optional(tmp_path: Path) -> None:
    """The first line counts as a listener where it is one."""
    frame, _ = listeners(log(tmp_path, "user_1\tf\t\t\t\n"), [])
    assert frame["gender"].to_list() == ["f"]


def test_no_profile_file_leaves_the_listeners_of_the_plays() -> None:
    """Without the file every listener who played has a row of nulls."""
    frame, _ = listeners(None, ["user_1"])
    assert LISTENERS.checked(frame).rows() == [("user_1", None, None, None, None, 1)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("user_2\tm\t25\tNorway", "wrong_columns"),
        ("us er\tm\t25\tNorway\t", "bad_listener"),
        ("user_2\tx\t25\tNorway\t", "bad_gender"),
        ("user_2\tm\t250\tNorway\t", "bad_age"),
        ("user_2\tm\t²\tNorway\t", "bad_age"),
        ("user_2\tm\t25\tNorway\tFeb 30, 2006", "bad_date"),
        ("user_2\tm\t25\tNorway\t2006-08-13", "bad_date"),
        ("user_1\tm\t25\tNorway\t", "duplicate_listener"),
    ],
)
def test_bad_profiles_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    """A profile that cannot be read keeps its reason and line."""
    _, unread = listeners(log(tmp_path, PROFILE + f"user_1\t\t\t\t\n{text}\n"), [])
    assert unread.select("location", "reason").rows() == [("line 3", reason)]


def test_listeners_of_other_buckets_are_theirs(tmp_path: Path) -> None:
    """A bucket has its own listeners and its own refused lines."""
    path = log(tmp_path, "user_1\t\t\t\t\nuser_2\t\t\t\t\nuser_3\tx\t\t\t\nuser_4\tx\t\t\t\n")
    empty = pl.DataFrame(schema={"listener_id": pl.String})
    frame, unread = read_listeners(path, empty, bucket="odd", bucket_of=parity)
    assert frame["listener_id"].to_list() == ["user_1"]
    assert unread["location"].to_list() == ["line 3"]
