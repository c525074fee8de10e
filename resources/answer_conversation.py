"""Rules for the task `conversation` (TalkPlay, arXiv 2502.13713, section 3.2), in a small grammar.

A listener asks for a playlist's tracks one after the other by what is truly known of them, likes them or turns them
down. A query never holds its target's title, though it may name artist, album or year; a response always holds title
and artist; neither holds the title of a later track, and no text comes twice. It leaves out languages: it speaks
English.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, Field, JsonValue

from resources.answer_facts import Facts, Track, known_facts, modalities_of, relations
from resources.answer_grammar import Writer, Written, fitting
from resources.title_leaks import title_leaks, words

REDRAWS = 12  # phrasings tried of each modality before a title that no text can avoid is left to the validator
REJECTIONS = (0, 1, 1, 1, 2, 2)  # how many turns are rejections: one of these, half of the later ones at most (ours)
QUOTABLE_CHARACTERS = 40
QUESTION_SHARE = 0.5
INSTEAD_SHARE = 0.6
REACTION_SHARE = 0.65
EXTRA_SHARE = 0.12
ASIDE_SHARE = 0.08
AGREED_SHARE = 0.25
CAPTION_SHARE = 0.06
CLOSING_SHARE = 0.12


class Playlist(BaseModel):
    """The playlist as its listener calls it."""

    name: str


class Candidate(Track):
    """A track of the playlist, by the id that an answer names it with."""

    track_id: str


class Payload(BaseModel):
    """What the task needs."""

    playlist: Playlist
    tracks: list[Candidate] = Field(min_length=1)
    turns: int = Field(ge=1)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn is about: its track, all facts that may be spoken of, and what happened to the track before.

    `told` are the names of earlier tracks, `later` the titles of those to come.
    """

    track: Candidate
    facts: Facts
    told: Sequence[str]
    later: Sequence[str]
    is_rejection: bool

    @property
    def is_first(self) -> bool:
        """Whether no track was recommended before."""
        return not self.told


@dataclass(slots=True)
class Texts:
    """What was said, for no text to come twice."""

    said: set[str] = field(default_factory=set)

    def is_new(self, text: str) -> bool:
        """Whether nothing was said in these words."""
        return " ".join(words(text)) not in self.said

    def keep(self, text: str) -> str:
        """The text, said."""
        self.said.add(" ".join(words(text)))
        return text


def conversation(payload: Payload, draw: random.Random) -> dict[str, JsonValue]:
    """Turns about so many of the playlist's tracks, in the playlist's order."""
    places = sorted(draw.sample(range(len(payload.tracks)), min(payload.turns, len(payload.tracks))))
    tracks = [payload.tracks[place] for place in places]
    facts_of = [known_facts(track, draw) for track in tracks]
    wanted = _modalities([modalities_of(facts) for facts in facts_of], draw)
    later = range(1, len(tracks))
    rejections = set(draw.sample(later, min(draw.choice(REJECTIONS), len(later) // 2)))
    shared = {"playlist": payload.playlist.name} if len(payload.playlist.name) <= QUOTABLE_CHARACTERS else {}

    writer, texts = Writer(draw), Texts()
    names = [name for track in tracks for name in (track.title, track.artist)]
    said: list[tuple[Track, Facts]] = []
    turns: list[JsonValue] = []
    for place, (track, facts) in enumerate(zip(tracks, facts_of, strict=True)):
        all_facts = facts | shared | relations(track, facts, said, draw)
        turn = Turn(track, all_facts, names[: 2 * place], names[2 * place + 2 :: 2], is_rejection=place in rejections)
        modality, asked = _query(turn, wanted[place], writer, texts)
        turns.append(
            {
                "query": texts.keep(asked.text),
                "track_id": track.track_id,
                "response": texts.keep(_response(turn, modality, asked.slots, writer, texts)),
                "modality": modality,
                "is_rejection": turn.is_rejection,
            }
        )
        said.append((track, facts))
    return {"turns": turns}


def _modalities(known: list[list[str]], draw: random.Random) -> list[str]:
    """A modality for each turn: as many different ones as the data allow (bipartite matching), the rest drawn."""
    turn_of: dict[str, int] = {}
    order = draw.sample(range(len(known)), len(known))

    def place(modality: str, tried: set[int]) -> bool:
        for turn in order:
            if modality not in known[turn] or turn in tried:
                continue
            tried.add(turn)
            holder = next((other for other, held in turn_of.items() if held == turn), None)
            if holder is None or place(holder, tried):
                turn_of[modality] = turn
                return True
        return False

    for modality in sorted({modality for choices in known for modality in choices}):
        place(modality, set())
    placed = {turn: modality for modality, turn in turn_of.items()}
    return [placed.get(turn) or draw.choice(choices) for turn, choices in enumerate(known)]


def _query(turn: Turn, wanted: str, writer: Writer, texts: Texts) -> tuple[str, Written]:
    """A query that leads to the track without its title; in another modality where every phrasing would name it."""
    others = [modality for modality in modalities_of(turn.facts) if modality != wanted]
    for modality in [wanted, *others]:
        for _ in range(REDRAWS):
            asked = _drawn_query(turn, modality, writer)
            if _may_be_said(asked.text, turn, texts) and not title_leaks(turn.track.title, asked.text, told=turn.told):
                return modality, asked
    return modality, asked


def _may_be_said(text: str, turn: Turn, texts: Texts) -> bool:
    """Whether a text is new and tells of no track to come."""
    told = (*turn.told, turn.track.title, turn.track.artist)
    return texts.is_new(text) and not any(title_leaks(title, text, told=told) for title in turn.later)


def _drawn_query(turn: Turn, modality: str, writer: Writer) -> Written:
    """What the listener says: a word on what came before, what is wanted now, perhaps one more wish or remark."""
    chance = writer.draw.random
    before = "opening" if turn.is_first else "turned_down" if turn.is_rejection else "liked"
    is_question = chance() < QUESTION_SHARE
    lead = "could" if is_question else "want"
    if turn.is_rejection and chance() < INSTEAD_SHARE:
        lead = f"instead_{lead}"

    asked = writer.phrase(f"ask_{modality}", turn.facts)
    wish = f"{writer.phrase(lead, {}).text} {asked.text}{'?' if is_question else '.'}"
    sentences = [wish[0].upper() + wish[1:]]
    if before != "liked" or chance() < REACTION_SHARE:
        sentences.insert(0, writer.phrase(before, turn.facts).text)
    if chance() < EXTRA_SHARE:
        sentences.append(writer.phrase("extra", _without(turn.facts, asked.slots)).text)
    elif chance() < ASIDE_SHARE:
        sentences.append(writer.phrase("aside", {}).text)
    return Written(" ".join(sentences), asked.slots)


def _response(turn: Turn, modality: str, asked: frozenset[str], writer: Writer, texts: Texts) -> str:
    """A response that may be said, or the last one drawn."""
    for _ in range(REDRAWS):
        text = _drawn_response(turn, modality, asked, writer)
        if _may_be_said(text, turn, texts):
            break
    return text


def _drawn_response(turn: Turn, modality: str, asked: frozenset[str], writer: Writer) -> str:
    """What the assistant says: title and artist, why they fit in the words of the query, perhaps a close."""
    chance = writer.draw.random
    facts = turn.facts
    reasons = f"answer_{modality}"
    heard = {name: fact for name, fact in facts.items() if name in asked}
    why = writer.phrase(reasons, heard if fitting(reasons, heard) else facts)
    offer, link = writer.phrase("offer", {}).text, writer.phrase("link", {}).text
    sentences = [f"{offer} “{facts['title']}” by {facts['artist']}{link} {why.text}."]
    if turn.is_rejection or chance() < AGREED_SHARE:
        sentences.insert(0, writer.phrase("conceded" if turn.is_rejection else "agreed", {}).text)
    if "caption" in facts and chance() < CAPTION_SHARE:
        sentences.append(writer.phrase("caption", facts).text)
    elif chance() < CLOSING_SHARE:
        hidden = why.slots | ({"last_artist", "last_title"} if turn.is_rejection else set())
        sentences.append(writer.phrase("closing", _without(facts, hidden)).text)
    return " ".join(sentences)


def _without(facts: Mapping[str, str], hidden: frozenset[str] | set[str]) -> Facts:
    return {name: fact for name, fact in facts.items() if name not in hidden}
