"""The documents of 3MToken's text modalities, and the guests that titles name."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.embeddings.m3_documents import (
    basic_documents,
    biography_documents,
    collaboration_documents,
    fact_documents,
    featured,
    tag_documents,
)
from assets.sources.identity import title_form
from assets.sources.tables import ARTIST_FACTS, TRACK_FACTS

TRACKS = pl.DataFrame(
    [
        ("a", "u:a", "Ann", "artist:a", "Rain (feat. Cy)"),
        ("b", "u:b", "Bo", "artist:b", "Sun"),
        ("c", None, "Di ft. Cy", None, "Fog"),
    ],
    schema=dict.fromkeys(["track_id", "track_uri", "artist", "artist_uri", "title"], pl.String),
    orient="row",
)
NAMES = st.text("abcdefgh éøß'&.", min_size=1, max_size=20).map(str.strip).filter(lambda name: name[:1].isalpha())


def artists(*rows: dict[str, object]) -> pl.DataFrame:
    """Rows of sources/artist_facts, of which some columns are given."""
    empty = dict.fromkeys(ARTIST_FACTS.empty().columns) | {"roles": []}
    return ARTIST_FACTS.checked(pl.DataFrame([empty | row for row in rows], schema=ARTIST_FACTS.empty().schema))


def tracks(*rows: dict[str, object]) -> pl.DataFrame:
    """Rows of sources/track_facts, of which some columns are given."""
    empty = dict.fromkeys(TRACK_FACTS.empty().columns) | {"tags": [], "writers": []}
    return TRACK_FACTS.checked(pl.DataFrame([empty | row for row in rows], schema=TRACK_FACTS.empty().schema))


def texts(documents: pl.DataFrame) -> list[str | None]:
    """The texts of the tracks a, b and c."""
    assert documents["track_id"].to_list() == ["a", "b", "c"]
    return documents["text"].to_list()


def test_ac_has_people_guests_and_writers() -> None:
    """The artist's people with their roles, who the title or the artist's name features, and the track's writers."""
    roles = [{"name": "Ann", "role": "vocals"}, {"name": "Al", "role": "drums"}]
    known = artists({"artist": "Else", "artist_uri": "artist:a", "roles": roles})
    written = tracks({"artist": "Ann", "title": "Rain", "writers": ["Ann", "Ed"]})
    assert texts(collaboration_documents(TRACKS, known, written)) == [
        "Ann (vocals), Al (drums). featuring Cy. written by Ann, Ed",
        None,
        "featuring Cy",
    ]


def test_ac_takes_facts_that_have_roles_or_writers() -> None:
    """A fact of the URI that lacks them does not hide one of the name."""
    known = artists(
        {"artist": "X", "artist_uri": "artist:b"}, {"artist": "bo", "roles": [{"name": "B", "role": "bass"}]}
    )
    written = tracks(
        {"artist": "X", "title": "X", "track_uri": "u:b"}, {"artist": "Bo", "title": "Sun", "writers": ["Ed"]}
    )
    assert texts(collaboration_documents(TRACKS, known, written))[1] == "B (bass). written by Ed"


def test_bm_is_title_and_artist() -> None:
    """As the catalog spells them."""
    assert texts(basic_documents(TRACKS)) == ["Rain (feat. Cy) by Ann", "Sun by Bo", "Fog by Di ft. Cy"]


def test_st_is_the_tags_alone() -> None:
    """In their order; without tags there is no document."""
    tags = pl.DataFrame({"track_id": ["c", "b", "a"], "tags": [None, ["jazz"], ["sad", "folk"]]})
    assert texts(tag_documents(tags)) == ["sad, folk", "jazz", None]


def test_sf_is_the_prose_about_the_track() -> None:
    """A blank one is none, and hides no other."""
    told = tracks(
        {"artist": "Ann", "title": "Rain", "facts": " Made at night.\n"},
        {"artist": "X", "title": "X", "track_uri": "u:b", "facts": "  "},
        {"artist": "Bo", "title": "Sun", "facts": "Made at noon."},
    )
    assert texts(fact_documents(TRACKS, told)) == ["Made at night.", "Made at noon.", None]


def test_ab_is_gender_year_origin_and_biography() -> None:
    """A group was formed, a person born; what is unknown is left out."""
    known = artists(
        {"artist": "ann", "gender": "female", "birth_year": 1970, "origin": "Uppland", "biography": "Sang early."},
        {"artist": "X", "artist_uri": "artist:b", "gender": "group", "birth_year": 1980},
        {"artist": "Di", "birth_year": 1990},
    )
    assert texts(biography_documents(TRACKS, known)) == [
        "female. born in 1970. from Uppland. Sang early.",
        "group. formed in 1980",
        "born or formed in 1990",
    ]


def test_ab_needs_something_known() -> None:
    """An artist of whom only roles are known has no biography."""
    known = artists({"artist": "Ann", "roles": [{"name": "Ann", "role": "vocals"}]}, {"artist": "Bo", "biography": " "})
    assert texts(biography_documents(TRACKS, known)) == [None] * 3


@pytest.mark.parametrize(
    ("name", "guests"),
    [
        ("Dawn (feat. Bo)", ["Bo"]),
        ("Dawn [Ft. Bo & Cy] (Remix)", ["Bo & Cy"]),
        ("Dawn (FEATURING Bo) (with Cy)", ["Bo", "Cy"]),
        ("Dawn (feat.Bo)", ["Bo"]),
        ("Dawn （feat. Bo）", ["Bo"]),
        ("Dawn (feat. Bo [of Cy])", ["Bo"]),
        ("Dawn (feat. Bo", ["Bo"]),
        ("Dawn (feat. Bo - Remix)", ["Bo"]),
        ("Dawn feat. Bo - Live", ["Bo"]),
        ("Dawn - with Bo Jr.", ["Bo Jr."]),
        ("Dawn ft. Bo (Live)", ["Bo"]),
        ("Walking with Bo", []),
        ("Walking (With My Heart)", []),
        ("Six ft Under", []),
        ("Featuring", []),
        ("Features (Feathers of Bo)", []),
        ("Dawn (with)", []),
        ("Dawn feat. ", []),
        ("", []),
    ],
)
def test_featured(name: str, guests: list[str]) -> None:
    """Guests stand in brackets, behind a dash, or at the end; a small `with` counts where it begins such a part."""
    assert featured(name) == guests


@given(
    st.sampled_from(["{} (feat. {})", "{} [ft. {}] - Live", "{} (with {})", "{} featuring {}", "{} - ft. {}"]), NAMES
)
@settings(max_examples=100, deadline=None)
def test_a_guest_is_found_as_it_is_spelt(form: str, guest: str) -> None:
    """What is written behind the word comes back whole, and the catalog takes the same part of the title for guests."""
    title = form.format("Dawn", guest)
    assert featured(title) == [" ".join(guest.split())]
    assert title_form(title).title == "dawn"


@given(st.text("Dawn featuring.()[]{}-– with", max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_name_has_guests_or_none(name: str) -> None:
    """No name raises, and no guest is blank or has spaces at its ends."""
    assert all(guest and guest == guest.strip() for guest in featured(name))
