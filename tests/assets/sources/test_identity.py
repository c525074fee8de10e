"""Names in normal form, keys of tracks and buckets of ids."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.sources.identity import TitleForm, artist_form, bucket_of, buckets_of, normalised, title_form, track_key


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  Öla   RAY ", "ola ray"),
        ("Ola & Ray", "ola and ray"),
        ("Don't", "dont"),
        ("Don’t", "dont"),
        ("Straße", "strasse"),
        ("Smørrebrød", "smorrebrod"),
        ("İstanbul", "istanbul"),
        ("ＡＢＣ", "abc"),
        ("a.b-c/d_e", "a b c d e"),
        ("がく", "がく"),
        ("हिन्दी", "हिन्दी"),
        ("!!!", "!!!"),
        ("★ ★", "★ ★"),
        ("", ""),
    ],
)
def test_normalised(text: str, form: str) -> None:
    """Case, accents, width and punctuation go; marks that are letters in all but name stay; symbols alone stay."""
    assert normalised(text) == form


@pytest.mark.parametrize(
    ("artist", "form"),
    [
        ("The Ola Ray", "ola ray"),
        ("Ola feat. Bo", "ola"),
        ("Ola Featuring Bo", "ola"),
        ("The The", "the"),
        ("The", "the"),
    ],
)
def test_artist_form(artist: str, form: str) -> None:
    """Guests and a leading `the` are no part of an artist, unless nothing else is left."""
    assert artist_form(artist) == form


@pytest.mark.parametrize(
    ("title", "form"),
    [
        ("Dawn (Remastered 2009)", ("dawn", "")),
        ("Dawn - 2009 Digital Remaster", ("dawn", "")),
        ("Dawn [Explicit]", ("dawn", "")),
        ("Dawn (Album Version)", ("dawn", "")),
        ("Dawn (Original Mix)", ("dawn", "")),
        ("Dawn ft. Bo", ("dawn", "")),
        ("Dawn (with Bo)", ("dawn", "")),
        ("Dawn (Live)", ("dawn", "live")),
        ("Dawn - Live at the Hall, 1999", ("dawn", "live at the hall 1999")),
        ("Dawn - Live / Remastered", ("dawn", "live")),
        ("Dawn (feat. Bo) - Someone Remix", ("dawn", "someone remix")),
        ("Dawn (Acoustic) [Demo]", ("dawn", "acoustic demo")),
        ("Dawn (Spanish Version)", ("dawn", "spanish")),
        ("(Before The) Dawn", ("before the dawn", "")),
        ("Dawn (Part 2)", ("dawn part 2", "")),
        ("Dawn - Dusk", ("dawn dusk", "")),
        ("Live Forever", ("live forever", "")),
        ("(Live)", ("live", "")),
        ("1999", ("1999", "")),
        ("50 Ft Down", ("50 ft down", "")),
    ],
)
def test_title_form(title: str, form: tuple[str, str]) -> None:
    """Release notes and guests go, the words of another version stand apart, everything else is title."""
    assert title_form(title) == TitleForm(*form)


def test_track_key_stays() -> None:
    """The key of a name is part of stored tables: it may never change."""
    assert track_key("The Ola Ray", "Dawn (Live)") == track_key("ola ray", "DAWN [live]")
    assert track_key("Ola Ray", "Dawn") == "name:c8c239dfb9ad6b3379a406d6ad78ab8b"


def test_track_keys_differ_by_version() -> None:
    """A live version is another track."""
    assert track_key("Ola Ray", "Dawn") != track_key("Ola Ray", "Dawn (Live)")


def test_buckets_stay() -> None:
    """The bucket of an id is part of stored tables: it may never change."""
    assert [bucket_of(id_, 8) for id_ in ("user_000001", "user_000002", "user_000003")] == [2, 3, 0]


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=12))
def test_normalised_is_stable(text: str) -> None:
    """Normalising again changes nothing, and no form has outer or double spaces."""
    form = normalised(text)
    assert normalised(form) == form
    assert form == " ".join(form.split())


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.text(max_size=5), max_size=10), count=st.integers(1, 9))
def test_buckets_of_a_column_are_those_of_its_ids(ids: list[str], count: int) -> None:
    """The vectorised form agrees, repeated ids and no ids included."""
    assert buckets_of(pl.Series(ids, dtype=pl.String), count).to_list() == [bucket_of(id_, count) for id_ in ids]
