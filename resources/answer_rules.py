"""The embedded language model: rules that answer a request from its structured payload, in a small grammar.

It knows one task, `conversation` (TalkPlay, arXiv 2502.13713, section 3.2): a listener asks for a playlist's tracks one
after the other by what is truly known of them, likes them or turns them down. Request and seed decide every word. A
query never holds its target's title, though it may name artist, album or year; a response always holds title and
artist. It leaves out languages: it speaks English.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from resources.answer_facts import Facts, Track, known_facts, modalities_of, relations
from resources.answer_grammar import Writer, Written, fitting
from resources.language_model import Answer, Refused, Request, request_id, validated
from resources.title_leaks import title_leaks

GRAMMAR_VERSION = 1
CONVERSATION = "conversation"

REDRAWS = 12  # phrasings tried of each modality before a title that no query can avoid is left to the validator
REJECTIONS = (0, 1, 1, 1, 2, 2)  # how many turns of a conversation are rejections: one of these (our choice)
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


class Payload(BaseModel):
    """What the task `conversation` needs."""

    playlist: Playlist
    tracks: list[Track] = Field(min_length=1)
    turns: int = Field(ge=1)


@dataclass(frozen=True, slots=True)
class RuleAnswerer:
    """Answers each task that it has rules for; others come back as `unknown_task`."""

    seed: int

    @property
    def name(self) -> str:
        """Grammar version and seed."""
        return f"rules-{GRAMMAR_VERSION}-{self.seed}"

    def answer(self, requests: Sequence[Request]) -> Iterator[Answer | Refused]:
        """One result for each request, in order."""
        for request in requests:
            identity = request_id(request)
            if request.task != CONVERSATION:
                yield Refused(identity, "unknown_task", request.task)
                continue
            try:
                payload = Payload.model_validate(request.payload)
            except ValidationError as error:
                yield Refused(identity, "bad_payload", str(error.errors(include_url=False)[0]["loc"]))
                continue
            draw = random.Random(f"{self.seed}/{identity}")  # noqa: S311 - phrasings, no secrets
            yield validated(request, identity, json.dumps({"turns": _turns(payload, draw)}, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn is about: its track, all facts that may be spoken of, and what happened to the track before."""

    track: Track
    facts: Facts
    is_first: bool
    is_rejection: bool


def _turns(payload: Payload, draw: random.Random) -> list[dict[str, object]]:
    places = sorted(draw.sample(range(len(payload.tracks)), min(payload.turns, len(payload.tracks))))
    tracks = [payload.tracks[place] for place in places]
    facts_of = [known_facts(track, draw) for track in tracks]
    wanted = _modalities([modalities_of(facts) for facts in facts_of], draw)
    later = range(1, len(tracks))
    rejections = set(draw.sample(later, min(draw.choice(REJECTIONS), len(later))))
    shared = {"playlist": payload.playlist.name} if len(payload.playlist.name) <= QUOTABLE_CHARACTERS else {}

    writer = Writer(draw)
    said: list[tuple[Track, Facts]] = []
    turns: list[dict[str, object]] = []
    for place, (track, facts) in enumerate(zip(tracks, facts_of, strict=True)):
        all_facts = facts | shared | relations(track, facts, said, draw)
        turn = Turn(track, all_facts, is_first=place == 0, is_rejection=place in rejections)
        modality, asked = _query(turn, wanted[place], writer)
        turns.append(
            {
                "query": asked.text,
                "track_id": track.track_id,
                "response": _response(turn, modality, asked.slots, writer),
                "modality": modality,
                "is_rejection": turn.is_rejection,
            }
        )
        said.append((track, facts))
    return turns


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


def _query(turn: Turn, wanted: str, writer: Writer) -> tuple[str, Written]:
    """A query that leads to the track without its title; in another modality where every phrasing would name it."""
    others = [modality for modality in modalities_of(turn.facts) if modality != wanted]
    for modality in [wanted, *others]:
        for _ in range(REDRAWS):
            asked = _drawn_query(turn, modality, writer)
            if not title_leaks(turn.track.title, asked.text):
                return modality, asked
    return modality, asked


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


def _response(turn: Turn, modality: str, asked: frozenset[str], writer: Writer) -> str:
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
