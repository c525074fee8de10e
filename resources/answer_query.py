"""Rules for the task `query` (3MTokenRec): what listeners might ask for when one track is what they should get.

Each query speaks of one of nine modalities, of those alone that the payload tells something of. Themes of the lyrics
count as song facts (SF), origin and voice by the tags as biography (AB). A query holds the title only where it is what
the query speaks of (BM).
"""

import random
import re
from collections.abc import Set
from typing import NamedTuple

from pydantic import BaseModel, Field, JsonValue

from resources.answer_facts import Facts, Track, known_facts
from resources.answer_grammar import Writer, fitting
from resources.answer_phrases import OCCASIONS, ORIGINS, SINGERS, TIMBRES
from resources.title_leaks import title_leaks, words

BASIC = "BM"
MOST_CHARACTERS = 200
REDRAWS = 12  # phrasings tried of each modality before a query is repeated
TYPED_SHARE = 0.35
QUESTION_SHARE = 0.5
ASIDE_SHARE = 0.08
NOBODY = "unknown"
GUEST = re.compile(r"\b(?:feat|ft|featuring)\b\.?\s+([^()\[\]]{2,40})", re.IGNORECASE)
DECADE_TAG = re.compile(r"(?:\d\d)?\d0'?s")


class Payload(BaseModel):
    """What the task needs."""

    track: Track
    queries: int = Field(ge=1)


class Speech(NamedTuple):
    """How a modality is spoken of: the grammar's symbol, and the facts that belong to the modality."""

    symbol: str
    slots: frozenset[str]


SPEECHES = {
    "AC": Speech("query_AC", frozenset({"artist", "guest"})),
    BASIC: Speech("query_BM", frozenset({"title", "artist", "album"})),
    "ST": Speech("ask_semantic", frozenset({"style", "second_style", "mood"})),
    "SC": Speech("query_SC", frozenset({"instrument", "timbre"})),
    "MC": Speech("ask_audio", frozenset({"pace", "pulse", "bpm", "key", "mode", "shade"})),
    "RI": Speech("query_RI", frozenset({"year", "decade"})),
    "SF": Speech("ask_lyrics", frozenset({"theme", "second_theme", "third_theme"})),
    "AB": Speech("query_AB", frozenset({"origin", "singer"})),
    "TC": Speech("query_TC", frozenset({"artist", "style", "occasion"})),
}


def queries(payload: Payload, draw: random.Random) -> dict[str, JsonValue]:
    """So many queries, of as many modalities as the facts allow, then of the same ones again in other words."""
    track, writer = payload.track, Writer(draw)
    known = list(_spoken_facts(track, draw))
    order = draw.sample(known, len(known))
    said: set[str] = set()
    asked: list[JsonValue] = []
    for place in range(payload.queries):
        first = place % len(order)
        query, modality = _fresh(track, order[first:] + order[:first], writer, said)
        said.add(_folded(query))
        asked.append({"query": query, "modality": modality})
    return {"queries": asked}


def _fresh(track: Track, modalities: list[str], writer: Writer, said: Set[str]) -> tuple[str, str]:
    """A query that is not said yet and keeps the title to itself, in the first of the modalities that has one."""
    for modality in modalities:
        for _ in range(REDRAWS):
            facts = _spoken_facts(track, writer.draw)
            if modality not in facts:
                break
            query = _query(modality, facts[modality], writer)
            is_fit = len(query) <= MOST_CHARACTERS and _folded(query) not in said
            if is_fit and (modality == BASIC or not title_leaks(track.title, query)):
                return query, modality
    return _query(BASIC, {"title": track.title}, writer), BASIC


def _folded(query: str) -> str:
    return " ".join(words(query))


def _query(modality: str, facts: Facts, writer: Writer) -> str:
    asked = writer.phrase(SPEECHES[modality].symbol, facts).text
    chance = writer.draw.random
    if chance() < TYPED_SHARE:
        return f"{writer.phrase('play', {}).text} {asked}"
    is_question = chance() < QUESTION_SHARE
    wish = f"{writer.phrase('could' if is_question else 'want', {}).text} {asked}{'?' if is_question else '.'}"
    aside = f" {writer.phrase('aside', {}).text}" if chance() < ASIDE_SHARE else ""
    return wish[0].upper() + wish[1:] + aside


def _spoken_facts(track: Track, draw: random.Random) -> dict[str, Facts]:
    """The facts of each modality that has enough of them for a query, each fact in one of its wordings."""
    tags = tuple(tag for tag in track.tags if not _is_further(tag.casefold()))
    facts = known_facts(track.model_copy(update={"tags": tags}), draw) | _further_facts(track)
    if track.artist.casefold() == NOBODY:
        del facts["artist"]
    spoken = {
        modality: {name: fact for name, fact in facts.items() if name in speech.slots}
        for modality, speech in SPEECHES.items()
    }
    return {modality: own for modality, own in spoken.items() if fitting(SPEECHES[modality].symbol, own)}


def _is_further(tag: str) -> bool:
    return tag in OCCASIONS or tag in ORIGINS or tag in SINGERS or DECADE_TAG.fullmatch(tag) is not None


def _further_facts(track: Track) -> Facts:
    """What tags and title tell beyond the conversation's facts: a guest, origin, voice, timbre, occasion and decade."""
    folded = [tag.casefold() for tag in track.tags]
    found = {
        "guest": [guest[1].strip() for guest in GUEST.finditer(track.title)],
        "origin": [tag.capitalize() for tag in folded if tag in ORIGINS],
        "singer": [SINGERS[tag] for tag in folded if tag in SINGERS],
        "timbre": [tag for tag in folded if tag in TIMBRES],
        "occasion": [OCCASIONS[tag] for tag in folded if tag in OCCASIONS],
        "decade": [tag for tag in folded if DECADE_TAG.fullmatch(tag) and track.year is None],
    }
    return {name: choices[0] for name, choices in found.items() if choices}
