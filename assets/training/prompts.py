"""Chats as the ids a model is asked with: what `assets/shards/sequences.py` trains on, up to where the answer begins.

A prompt is the tokenizer's opening, the past turns (query, track, response), the query now, the opening of the music
and the token before a track's; what follows in training is the track's tokens. A past turn in which no track was
recommended has no music message.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from assets.shards.sequences import Markers
from assets.shards.tokenizer import ExpandedTokenizer
from assets.tokens.vocabulary import BOUNDARIES, Vocabulary

# N tracks, M modalities
IntArray = npt.NDArray[np.int32]


class Turn(NamedTuple):
    """A past turn; its codes are None where no track was recommended."""

    query: str
    codes_M: npt.NDArray[np.integer[Any]] | None
    response: str


class Chat(NamedTuple):
    """Past turns, oldest first, and the query to answer."""

    turns: Sequence[Turn]
    query: str


def prompt_ids(turns: Sequence[Turn], query: str, tokenizer: ExpandedTokenizer, *, room: int) -> IntArray:
    """Ids of a chat up to and with the token before a track's, at most `room` of them.

    The oldest turns are left out until the rest fits; a query too long by itself loses its beginning. For a model that
    was trained without a modality the codes are to be `blanked_codes`. Raises ValueError for a room of markers alone.
    """
    return prompts_of([Chat(turns, query)], tokenizer, room=room)[0]


def prompts_of(chats: Sequence[Chat], tokenizer: ExpandedTokenizer, *, room: int) -> list[IntArray]:
    """`prompt_ids` of each chat; every distinct text is encoded once."""
    markers = _markers(tokenizer)
    given = len(markers.begin) + len(_question(np.empty(0, dtype=np.int32), markers, tokenizer))
    if room <= given:
        raise ValueError(f"room is {room} ids; wanted at least {given + 1}: {given} of markers, and one of the query")
    texts = _encoded(chats, tokenizer)
    return [_laid_out(chat, texts, markers, tokenizer, room) for chat in chats]


def response_prompt(
    prompt: npt.NDArray[np.integer[Any]], codes_M: npt.NDArray[np.integer[Any]], tokenizer: ExpandedTokenizer
) -> IntArray:
    """A prompt of `prompt_ids` with the track and what comes before the response."""
    markers = _markers(tokenizer)
    track = _track_ids(codes_M, tokenizer)[1:]  # its first token ends the prompt
    return _joined([prompt, track, markers.closing, markers.assistant])


def prompt_room(context_length: int, tokenizer: ExpandedTokenizer, *, response_tokens: int) -> int:
    """Most ids of a prompt whose track, response and closing still fit the context."""
    markers = _markers(tokenizer)
    after = len(tokenizer.vocabulary.modalities) + BOUNDARIES - 1
    return context_length - after - 2 * len(markers.closing) - len(markers.assistant) - response_tokens


def blanked_codes(codes_NM: npt.NDArray[np.integer[Any]], vocabulary: Vocabulary, *, without: str) -> IntArray:
    """Codes with one modality missing, as a model that is without it was trained; "" leaves all as they are."""
    blanked = np.array(codes_NM, dtype=np.int32)
    if without:
        blanked[:, vocabulary.modalities.index(without)] = missing_code(vocabulary, without)
    return blanked


def missing_code(vocabulary: Vocabulary, modality: str) -> int:
    """The code of a missing modality. Raises ValueError where a modality has none."""
    if modality not in vocabulary.modalities:
        raise ValueError(f"no modality {modality!r}; wanted one of {', '.join(vocabulary.modalities)}")
    place = vocabulary.modalities.index(modality)
    if vocabulary.sizes[place] == vocabulary.codes[place]:
        raise ValueError(f"{modality} has no missing code; wanted a vocabulary with one: make tokens with has_missing")
    return vocabulary.codes[place]


def _markers(tokenizer: ExpandedTokenizer) -> Markers:
    chat = tokenizer.chat
    texts = (chat.begin, chat.open("user"), chat.open("music"), chat.open("assistant"), chat.closing, chat.end)
    return Markers(*map(tokenizer.marker_ids, texts))


def _encoded(chats: Sequence[Chat], tokenizer: ExpandedTokenizer) -> Mapping[str, IntArray]:
    """Ids of each distinct text; a control token that a word of the vocabulary spells is left out."""
    texts = {text: None for chat in chats for text in (chat.query, *_texts(chat.turns))}
    ids, starts = tokenizer.encode_texts(list(texts))
    pieces = [ids[start:stop] for start, stop in pairwise(starts)]
    return {text: piece[~tokenizer.is_control[piece]] for text, piece in zip(texts, pieces, strict=True)}


def _texts(turns: Sequence[Turn]) -> Iterable[str]:
    for turn in turns:
        yield turn.query
        yield turn.response


def _laid_out(
    chat: Chat, texts: Mapping[str, IntArray], markers: Markers, tokenizer: ExpandedTokenizer, room: int
) -> IntArray:
    question = _question(texts[chat.query], markers, tokenizer)
    surplus = len(markers.begin) + len(question) - room
    if surplus > 0:
        question = _question(texts[chat.query][surplus:], markers, tokenizer)
    parts, left = [question], room - len(markers.begin) - len(question)
    for turn in reversed(chat.turns):
        part = _turn_ids(turn, texts, markers, tokenizer)
        if len(part) > left:
            break
        parts.append(part)
        left -= len(part)
    return _joined([markers.begin, *reversed(parts)])


def _question(query: IntArray, markers: Markers, tokenizer: ExpandedTokenizer) -> IntArray:
    start = np.array([tokenizer.vocabulary.start_id(tokenizer.first_id)], dtype=np.int32)
    return _joined([markers.user, query, markers.closing, markers.music, start])


def _turn_ids(turn: Turn, texts: Mapping[str, IntArray], markers: Markers, tokenizer: ExpandedTokenizer) -> IntArray:
    parts = [markers.user, texts[turn.query], markers.closing]
    if turn.codes_M is not None:
        parts += [markers.music, _track_ids(turn.codes_M, tokenizer), markers.closing]
    return _joined([*parts, markers.assistant, texts[turn.response], markers.closing])


def _track_ids(codes_M: npt.NDArray[np.integer[Any]], tokenizer: ExpandedTokenizer) -> IntArray:
    return tokenizer.vocabulary.wrapped_ids(np.asarray(codes_M)[None], tokenizer.first_id).reshape(-1)


def _joined(parts: Sequence[npt.NDArray[np.integer[Any]]]) -> IntArray:
    joined: IntArray = np.concatenate(parts).astype(np.int32, copy=False)
    return joined
