"""From answers to turns: an answer is checked against its dialogue, and refused with its reason if it breaks a rule.

A conversation is kept whole or refused whole: a turn that was cut out would leave the later ones talking about nothing.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

import polars as pl

from assets.conversations.prompt import SOURCE, AnsweredConversation, AnsweredTurn, Dialogue
from assets.conversations.tables import TURNS
from resources.language_model import Answer, LanguageModel, Refused, has_special_token
from resources.refusals import Refusal, refused_frame
from resources.title_leaks import title_leaks, words

# Beside these a refusal may have one of the provider's own (resources.language_model.RefusalReason).
REASONS = (
    "turn_count",
    "unknown_track",
    "repeated_track",
    "rejected_nothing",
    "special_token",
    "too_short",
    "too_long",
    "leaked_title",
    "echoed_lyrics",
)
MIN_WORDS = 3
MAX_CHARACTERS = 600
LYRICS_WORDS = 10  # more of them in a row are a quotation that we may not publish


class Conversations(NamedTuple):
    """Rows of conversations/turns, and the conversations that were refused."""

    turns: pl.DataFrame
    refused: pl.DataFrame


class Broken(NamedTuple):
    """The first rule that an answer breaks, and where."""

    reason: str
    detail: str


def conversations(dialogues: Sequence[Dialogue], language_model: LanguageModel) -> Conversations:
    """The turns that the language model wrote for the dialogues, with those it could not write or wrote badly refused.

    Raises ValueError when the model does not give one result for each request.
    """
    rows: list[dict[str, object]] = []
    refusals: list[Refusal] = []
    results = language_model.answer([dialogue.request for dialogue in dialogues])
    for dialogue, result in zip_longest(dialogues, results):
        if dialogue is None or result is None:
            raise ValueError(
                f"{language_model.name}: wanted one result for each of {len(dialogues)} requests, in order"
            )
        broken = _broken(dialogue, result)
        if broken:
            refusals.append(Refusal(SOURCE, dialogue.conversation_id, broken.reason, broken.detail))
        elif isinstance(result, Answer):
            rows += _rows(dialogue, result)
    frame = pl.DataFrame(rows, schema=TURNS.empty().schema)
    return Conversations(TURNS.checked(frame), refused_frame(refusals))


def _rows(dialogue: Dialogue, answer: Answer) -> Iterator[dict[str, object]]:
    for place, turn in enumerate(_turns(answer)):
        yield {
            "conversation_id": dialogue.conversation_id,
            "turn": place,
            "playlist_id": dialogue.playlist_id,
            "split": dialogue.split,
            **turn.model_dump(),
        }


def _turns(answer: Answer) -> list[AnsweredTurn]:
    assert isinstance(answer.value, AnsweredConversation)
    return answer.value.turns


def _broken(dialogue: Dialogue, result: Answer | Refused) -> Broken | None:
    if isinstance(result, Refused):
        return Broken(result.reason, result.detail)
    turns = _turns(result)
    if not dialogue.min_turns <= len(turns) <= dialogue.max_turns:
        return Broken("turn_count", f"{len(turns)} turns, wanted {dialogue.min_turns} to {dialogue.max_turns}")
    used: set[str] = set()
    for place, turn in enumerate(turns):
        if turn.track_id not in dialogue.titles:
            return Broken("unknown_track", f"turn {place}: {turn.track_id}")
        if turn.track_id in used:
            return Broken("repeated_track", f"turn {place}: {turn.track_id}")
        used.add(turn.track_id)
    if turns[0].is_rejection:
        return Broken("rejected_nothing", "turn 0 turns down a track that nobody recommended")
    return _broken_text(turns, dialogue)


def _broken_text(turns: Sequence[AnsweredTurn], dialogue: Dialogue) -> Broken | None:
    # The mark keeps a run of words from reaching from one track's lyrics into the next one's.
    lyrics = "|".join(_folded(text) for text in dialogue.lyrics)
    for place, turn in enumerate(turns):
        for part, text in (("query", turn.query), ("response", turn.response)):
            reason = _bad_text(text, lyrics)
            if reason:
                return Broken(reason, f"turn {place}, {part}: {text}")
        if title_leaks(dialogue.titles[turn.track_id], turn.query):
            return Broken("leaked_title", f"turn {place}, query: {turn.query}")
    return None


def _bad_text(text: str, lyrics: str) -> str | None:
    if has_special_token(text):
        return "special_token"
    if len(text) > MAX_CHARACTERS:
        return "too_long"
    spoken = words(text)
    if len(spoken) < MIN_WORDS:
        return "too_short"
    return "echoed_lyrics" if _echoes(spoken, lyrics) else None


def _echoes(spoken: list[str], lyrics: str) -> bool:
    """Whether more than LYRICS_WORDS words stand in the same order in the lyrics."""
    quoted = LYRICS_WORDS + 1
    half = (quoted + 1) // 2
    # Every run of that length holds one of the aligned halves: three look-ups rule out nearly every text.
    if not any(_held(spoken[start : start + half], lyrics) for start in range(0, len(spoken) - half + 1, half)):
        return False
    return any(_held(spoken[start : start + quoted], lyrics) for start in range(len(spoken) - quoted + 1))


def _held(run: list[str], lyrics: str) -> bool:
    return f" {' '.join(run)} " in lyrics


@lru_cache(maxsize=4096)
def _folded(lyrics: str) -> str:
    return f" {' '.join(words(lyrics))} "
