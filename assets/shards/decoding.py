"""From packed rows back to conversations and playlists: what a person reads, and what the tests hold the shards to."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from assets.shards.packing import IGNORED_LABEL, RowBlock
from assets.shards.tokenizer import ROLES, ExpandedTokenizer, Role

# M modalities
IntArray = npt.NDArray[np.int32]


class Message(NamedTuple):
    """One message as the chat template takes it; a track is its music tokens with their boundaries."""

    role: Role
    content: str


class Continuation(NamedTuple):
    """The codes int32 [tracks, M] before and after the cut."""

    prefix: IntArray
    following: IntArray


def split_rows(block: RowBlock, *, pad_id: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Input ids and labels of each sequence of each row, in order, without the padding."""
    for ids_C, labels_C, positions_C in zip(*block, strict=True):
        for part in np.split(np.arange(len(ids_C)), np.flatnonzero(positions_C == 0)[1:]):
            if ids_C[part[0]] != pad_id:
                yield ids_C[part], labels_C[part]


def decode_conversations(block: RowBlock, tokenizer: ExpandedTokenizer) -> list[list[Message]]:
    """The conversations, or pieces of them, of packed rows."""
    return [list(_messages(ids.tolist(), tokenizer)) for ids, _ in split_rows(block, pad_id=tokenizer.pad_id)]


def decode_continuations(block: RowBlock, tokenizer: ExpandedTokenizer) -> list[Continuation]:
    """The playlist continuations of packed rows."""
    return [_continuation(ids, labels, tokenizer) for ids, labels in split_rows(block, pad_id=tokenizer.pad_id)]


def _messages(ids: list[int], tokenizer: ExpandedTokenizer) -> Iterator[Message]:
    chat = tokenizer.chat
    openings = {role: tokenizer.marker_ids(chat.open(role)).tolist() for role in ROLES}
    closing, at = tokenizer.marker_ids(chat.closing).tolist(), len(tokenizer.marker_ids(chat.begin))
    while at < len(ids):
        role = next((role for role, opening in openings.items() if ids[at : at + len(opening)] == opening), None)
        if role is None:
            raise ValueError(f"no message begins at token {at}: {ids[at : at + 5]}; wanted a row of conversations")
        start = at + len(openings[role])
        stop = ids.index(closing[0], start)
        yield Message(role, tokenizer.tokenizer.decode(ids[start:stop]))
        at = stop + len(closing)


def _continuation(ids: IntArray, labels: IntArray, tokenizer: ExpandedTokenizer) -> Continuation:
    vocabulary, first_id = tokenizer.vocabulary, tokenizer.first_id
    is_code = (ids >= first_id) & (ids < vocabulary.start_id(first_id))
    codes_NM = vocabulary.codes_of(ids[is_code].reshape(-1, len(vocabulary.modalities)), first_id)
    prefix = int((labels[is_code] == IGNORED_LABEL).sum()) // len(vocabulary.modalities)
    return Continuation(codes_NM[:prefix], codes_NM[prefix:])
