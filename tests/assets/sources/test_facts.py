"""Facts from JSON lines: what is kept, what is refused with which line."""

import datetime as dt
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources.facts import REASONS, Facts, read_artists, read_releases, read_tracks
from assets.sources.tables import ARTIST_FACTS, REFUSED, RELEASE_FACTS, TRACK_FACTS


def lines(*rows: object) -> bytes:
    """The bytes of a file of JSON lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def refusals(facts: Facts) -> list[tuple[str, str]]:
    """Line and reason of each refusal, which fit the table and the fixed list."""
    REFUSED.checked(facts.refused)
    assert set(facts.refused["reason"]) <= set(REASONS)
    return facts.refused.select("location", "reason").rows()


def test_artists_are_read() -> None:
    """A line with every field and a line with the name alone become two rows of sources/artist_facts."""
    whole = {
        "artist": "The Lamps",
        "artist_uri": "spotify:artist:1",
        "roles": [{"name": "A. Bell", "role": "drums"}],
        "gender": None,
        "birth_year": 1990,
        "origin": "Norway",
        "biography": "A group.\nStill playing.",
    }
    facts = read_artists(lines(whole, {"artist": "Cori"}), "artists.jsonl")
    rows = ARTIST_FACTS.checked(facts.rows).sort("artist").rows(named=True)
    assert rows[1] == whole | {"biography": "A group. Still playing."}
    assert rows[0]["roles"] == []
    assert rows[0]["birth_year"] is None
    assert refusals(facts) == []


@pytest.mark.parametrize(
    ("stated", "day", "year"),
    [
        ("2004-02-29", dt.date(2004, 2, 29), 2004),
        ("2004-02", None, 2004),
        ("2004", None, 2004),
        (None, None, None),
    ],
)
def test_release_dates_have_three_forms(stated: str | None, day: dt.date | None, year: int | None) -> None:
    """A day gives day and year, a month or a year the year alone."""
    raw = lines({"artist": "A", "title": "T", "album": "B", "release_date": stated})
    rows = RELEASE_FACTS.checked(read_releases(raw, "releases.jsonl").rows)
    assert rows.select("released_at", "release_year").row(0) == (day, year)


@pytest.mark.parametrize("stated", ["2005-02-29", "04", "2004-13", "2004-1-1", "0000", "soon", 2004, "2004-02-29T00"])
def test_other_dates_are_refused(stated: object) -> None:
    """A date that does not exist or has another form refuses the line."""
    facts = read_releases(lines({"artist": "A", "title": "T", "release_date": stated}), "releases.jsonl")
    assert refusals(facts) == [("line 1", "bad_fact")]
    assert "release_date" in facts.refused["detail"][0]


def test_tags_are_lowered_and_kept_once() -> None:
    """Tags lose case and outer space, blank and repeated ones go, their order stays."""
    raw = lines({"artist": "A", "title": "T", "tags": ["Rock", " indie", "ROCK ", " "], "writers": ["B", "B"]})
    row = TRACK_FACTS.checked(read_tracks(raw, "tracks.jsonl").rows).row(0, named=True)
    assert row["tags"] == ["rock", "indie"]
    assert row["writers"] == ["B"]


def test_broken_lines_are_refused_by_number() -> None:
    """Half a line, a line of other bytes, a repeated field and another type are refused; blank lines count, no more."""
    good = lines({"artist": "A", "title": "T"})
    raw = good[:10] + b"\n\n" + b'{"artist": "\xff"}\n' + b'{"artist": "A", "artist": "B", "title": "T"}\r\n[]\n' + good
    facts = read_tracks(b"\xef\xbb\xbf" + raw, "tracks.jsonl")
    assert refusals(facts) == [
        ("line 1", "broken_json"),
        ("line 3", "not_utf8"),
        ("line 4", "duplicate_key"),
        ("line 5", "bad_fact"),
    ]
    assert facts.rows["artist"].to_list() == ["A"]
    assert facts.refused["source"].unique().to_list() == ["tracks.jsonl"]


def test_later_lines_about_the_same_are_refused() -> None:
    """Artist and title are compared without case, in NFC; the first line stands, another title is another track."""
    raw = lines(
        {"artist": "Caf\u00e9", "title": "One", "facts": "first"},
        {"artist": "CAFE\u0301", "title": "ONE", "facts": "second"},
        {"artist": "Caf\u00e9", "title": "Two"},
    )
    facts = read_tracks(raw, "tracks.jsonl")
    assert refusals(facts) == [("line 2", "duplicate")]
    assert "line 1" in facts.refused["detail"][0]
    assert facts.rows["facts"].to_list() == ["first", None]


@pytest.mark.parametrize(
    "fields",
    [
        {"artist": " "},
        {"artist": None},
        {"artist_uri": "../x"},
        {"birth_year": "1990"},
        {"birth_year": 1990.5},
        {"birth_year": True},
        {"roles": "drums"},
        {"roles": [{"name": "B"}]},
    ],
)
def test_fields_are_strict(fields: dict[str, object]) -> None:
    """Blank names, numbers in words, fractions, bad ids and half roles refuse the line, naming the field."""
    facts = read_artists(lines({"artist": "A"} | fields), "artists.jsonl")
    assert refusals(facts) == [("line 1", "bad_fact")]
    assert facts.refused["detail"][0].startswith(next(iter(fields)))


def test_unknown_fields_are_counted() -> None:
    """A field that nobody knows is ignored, and the number of its lines is told."""
    facts = read_artists(lines({"artist": "A", "label": "X"}, {"artist": "B", "label": 1, "agent": 2}), "artists.jsonl")
    assert facts.rows.height == 2
    assert facts.unknown_fields == {"agent": 1, "label": 2}


def test_text_is_cleaned() -> None:
    """Lone surrogates become U+FFFD and control characters go."""
    raw = b'{"artist": "A\\ud800", "title": "T\\u0007", "facts": "x"}\n'
    row = read_tracks(raw, "tracks.jsonl").rows.row(0, named=True)
    assert (row["artist"], row["title"]) == ("A\ufffd", "T")


@pytest.mark.parametrize("read", [read_artists, read_releases, read_tracks])
def test_no_lines_are_an_empty_table(read: object) -> None:
    """An empty file gives empty frames of the declared types."""
    facts = read(b"", "facts.jsonl")  # type: ignore[operator]
    table = {read_artists: ARTIST_FACTS, read_releases: RELEASE_FACTS, read_tracks: TRACK_FACTS}[read]  # type: ignore[index]
    table.checked(facts.rows)
    assert refusals(facts) == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["artist", "title", "tags", "facts"]), st.text() | st.just(["x"]))))
def test_each_line_is_kept_or_refused(rows: list[dict[str, object]]) -> None:
    """Whatever the fields hold, every line ends as one row or one refusal."""
    facts = read_tracks(lines(*rows), "tracks.jsonl")
    TRACK_FACTS.checked(facts.rows)
    assert facts.rows.height + len(refusals(facts)) == len(rows)
