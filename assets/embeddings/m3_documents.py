"""What is embedded as text of 3MToken's AC, BM, ST, SF and AB (section 2.1): a document a track, null where nothing is
known.

Which facts belong to which modality is the paper's; their wording and order are our choice.
"""

import re
import unicodedata

import polars as pl

from assets.sources.identity import BRACKETS, DASH
from assets.sources.stated import with_artist_facts, with_track_facts

# A part of a title, in brackets or behind a dash, that only names guests. Spotify credits them by a small `with`; a
# large one, as in `(With My Heart)`, is a word of the title, and so is any elsewhere.
GUEST_PART = re.compile(r"(?:(?i:(?:feat|ft)(?:\.\s*|\s+)|featuring\s+)|with\s+)(\S.*)")
GUEST_TAIL = re.compile(r"(?<=\S)[\s(\[{]+(?:(?:feat|ft)\.\s*|(?:feat|featuring)\s+)(\S.*)", re.IGNORECASE)
EDGES = " ,;()[]{}"
GROUP = "group"  # what an artist's gender says of a band


def collaboration_documents(
    tracks: pl.DataFrame, artist_facts: pl.DataFrame, track_facts: pl.DataFrame
) -> pl.DataFrame:
    """AC: the people of the artist with their roles, who is featured, and who wrote the track."""
    known = with_artist_facts(tracks, artist_facts.filter(pl.col("roles").list.len() > 0), "roles")
    known = with_track_facts(known, track_facts.filter(pl.col("writers").list.len() > 0), "writers")
    guests = [
        ", ".join(dict.fromkeys([*featured(title), *featured(artist)])) or None
        for title, artist in known.select("title", "artist").iter_rows()
    ]
    person = pl.element().struct
    roles = pl.col("roles").list.eval(pl.format("{} ({})", person.field("name"), person.field("role")))
    return _documents(
        known.with_columns(guests=pl.Series(guests, dtype=pl.String)),
        roles.list.join(", "),
        pl.lit("featuring ") + pl.col("guests"),
        pl.lit("written by ") + pl.col("writers").list.join(", "),
    )


def basic_documents(tracks: pl.DataFrame) -> pl.DataFrame:
    """BM: '<title> by <artist>'."""
    return _documents(tracks, pl.format("{} by {}", "title", "artist"))


def tag_documents(tags: pl.DataFrame) -> pl.DataFrame:
    """ST: the tags of content/tags, strongest first."""
    return _documents(tags, pl.col("tags").list.join(", "))


def fact_documents(tracks: pl.DataFrame, track_facts: pl.DataFrame) -> pl.DataFrame:
    """SF: the prose about the track."""
    told = track_facts.filter(_text(pl.col("facts")).is_not_null())
    return _documents(with_track_facts(tracks, told, "facts"), pl.col("facts"))


def biography_documents(tracks: pl.DataFrame, artist_facts: pl.DataFrame) -> pl.DataFrame:
    """AB: the artist's gender, year of birth or formation, origin and biography."""
    texts, year = [pl.col(name) for name in ("gender", "origin", "biography")], pl.col("birth_year")
    told = artist_facts.filter(pl.any_horizontal(year.is_not_null(), *(_text(text).is_not_null() for text in texts)))
    gender, origin, biography = texts
    began = (
        pl.when(gender.is_null())
        .then(pl.lit("born or formed"))
        .when(gender.str.to_lowercase() == GROUP)
        .then(pl.lit("formed"))
        .otherwise(pl.lit("born"))
    )
    return _documents(
        with_artist_facts(tracks, told, "gender", "birth_year", "origin", "biography"),
        gender,
        pl.format("{} in {}", began, year),
        pl.lit("from ") + origin,
        biography,
    )


def featured(name: str) -> list[str]:
    """The guests that a title or an artist's name states, as it spells them; several in one part stay together.

    >>> featured("Dawn (feat. Bo & Cy) [with Di] - Live")
    ['Bo & Cy', 'Di']
    >>> featured("Dawn ft. Bo - Remix"), featured("Walking with Bo")
    (['Bo'], [])
    """
    guests: list[str] = []

    def kept(found: re.Match[str]) -> str:
        part = GUEST_PART.fullmatch(found[1].strip())
        guests.extend(DASH.split(part[1])[:1] if part else [])
        return " "

    outside, brackets = unicodedata.normalize("NFKC", name), 1
    while brackets:  # the inner ones first
        outside, brackets = BRACKETS.subn(kept, outside)
    head, *tails = DASH.split(outside)
    found = [GUEST_TAIL.search(head), *(GUEST_PART.fullmatch(tail) or GUEST_TAIL.search(tail) for tail in tails)]
    guests += [part[1] for part in found if part]
    return [guest for guest in (" ".join(guest.split()).strip(EDGES) for guest in guests) if guest]


def _documents(frame: pl.DataFrame, *parts: pl.Expr) -> pl.DataFrame:
    """(track_id, text): the parts that there are, one behind the other; null where there are none."""
    text = pl.concat_str([_text(part) for part in parts], separator=". ", ignore_nulls=True)
    return frame.select("track_id", text=_text(text)).sort("track_id")


def _text(text: pl.Expr) -> pl.Expr:
    """The text without spaces at its ends; null where it is blank."""
    text = text.str.strip_chars()
    return pl.when(text != "").then(text)
