"""Prompts: what training has seen, up to the answer, in the room there is."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.conversations.tables import TURNS
from assets.shards.sequences import conversation_sequences
from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.prompts import (
    Chat,
    Turn,
    blanked_codes,
    prompt_ids,
    prompt_room,
    prompts_of,
    response_prompt,
)
from resources.talkplay_settings import MODALITIES

VOCABULARY = Vocabulary(MODALITIES, (3,) * 5)
TEXTS = ["a calm track for the evening", "something louder, please", "here is a calm track with a piano"]
TURNS_OF_CHAT = [
    Turn("a calm track", np.array([0, 1, 2, 3, 0]), "here is one"),
    Turn("louder", np.array([1, 1, 1, 1, 1]), "with a piano"),
    Turn("please", np.array([2, 0, 2, 0, 2]), "for the evening"),
]


@pytest.fixture(scope="module")
def tokenizer() -> ExpandedTokenizer:
    """A byte-level BPE of 300 tokens and the music tokens."""
    return expand_tokenizer(train_tokenizer(TEXTS, vocabulary_size=300), VOCABULARY)


@pytest.fixture(scope="module")
def trained_ids(tokenizer: ExpandedTokenizer) -> list[int]:
    """The chat as `conversation_sequences` lays it out for training."""
    rows = [
        ("c", place, 1, turn.query, f"t{place}", turn.response, "audio", False, "train", False)
        for place, turn in enumerate(TURNS_OF_CHAT)
    ]
    turns = TURNS.checked(pl.DataFrame(rows, schema=TURNS.empty().schema, orient="row"))
    codes = pl.DataFrame(np.stack([turn.codes_M for turn in TURNS_OF_CHAT]), schema=list(MODALITIES))
    tokens = codes.with_columns(pl.all().cast(pl.Int32), track_id=pl.Series(["t0", "t1", "t2"])).with_columns(
        codebook_hash=pl.lit("h")
    )
    built = conversation_sequences(turns, tokens, tokenizer=tokenizer, context_length=500, split="train")
    return built.sequences.input_ids.tolist()


@pytest.mark.parametrize("past", [0, 1, 2])
def test_prompt_is_the_beginning_of_the_trained_sequence(
    tokenizer: ExpandedTokenizer, trained_ids: list[int], past: int
) -> None:
    """A prompt is the training sequence up to and with the turn's token before a track."""
    prompt = prompt_ids(TURNS_OF_CHAT[:past], TURNS_OF_CHAT[past].query, tokenizer, room=500)
    assert prompt.tolist() == trained_ids[: len(prompt)]
    assert prompt[-1] == VOCABULARY.start_id(tokenizer.first_id)
    assert np.count_nonzero(prompt == prompt[-1]) == past + 1


def test_response_prompt_is_the_beginning_of_the_trained_sequence(
    tokenizer: ExpandedTokenizer, trained_ids: list[int]
) -> None:
    """With the track it goes on as trained, and the response and its closing are all that is left."""
    last = TURNS_OF_CHAT[2]
    prompt = prompt_ids(TURNS_OF_CHAT[:2], last.query, tokenizer, room=500)
    with_track = response_prompt(prompt, last.codes_M, tokenizer)
    assert with_track.tolist() == trained_ids[: len(with_track)]
    left = trained_ids[len(with_track) :]
    assert left == [*tokenizer.encode_texts([last.response]).ids, *tokenizer.marker_ids(tokenizer.chat.closing)]


def test_room_leaves_place_for_the_answer(tokenizer: ExpandedTokenizer) -> None:
    """A prompt as long as its room, the track, 9 tokens of response and a closing are the context to the token."""
    room = prompt_room(200, tokenizer, response_tokens=9)
    prompt = prompt_ids([], "calm " * 500, tokenizer, room=room)
    assert len(prompt) == room
    assert len(response_prompt(prompt, np.zeros(5, dtype=int), tokenizer)) + 9 + 1 == 200


def test_turn_without_a_track_has_no_music_message(tokenizer: ExpandedTokenizer) -> None:
    """Its query is followed by the assistant's response."""
    prompt = prompt_ids([Turn("please", None, "sure")], "louder", tokenizer, room=500)
    text = tokenizer.tokenizer.decode(prompt)
    opened = "<|begin_of_text|><|user|>please<|end_of_turn|><|assistant|>sure<|end_of_turn|>"
    assert text == f"{opened}<|user|>louder<|end_of_turn|><|music|><start_of_music>"


def test_oldest_turns_are_left_out(tokenizer: ExpandedTokenizer) -> None:
    """One id short of the whole chat, the prompt is that of the chat without its first turn."""
    whole = prompt_ids(TURNS_OF_CHAT, "louder", tokenizer, room=500)
    assert np.array_equal(prompt_ids(TURNS_OF_CHAT, "louder", tokenizer, room=len(whole)), whole)
    shorter = prompt_ids(TURNS_OF_CHAT, "louder", tokenizer, room=len(whole) - 1)
    assert np.array_equal(shorter, prompt_ids(TURNS_OF_CHAT[1:], "louder", tokenizer, room=500))


def test_long_query_loses_its_beginning(tokenizer: ExpandedTokenizer) -> None:
    """The end of the query stays, the markers too, and no past turn."""
    query = "a calm track for the evening, something louder"
    whole = prompt_ids([], query, tokenizer, room=500)
    short = prompt_ids(TURNS_OF_CHAT, query, tokenizer, room=len(whole) - 3)
    assert short.tolist() == [*whole[:2], *whole[5:]]


def test_query_that_spells_tokens_stays_letters(tokenizer: ExpandedTokenizer) -> None:
    """A listener who writes a closing and a music token adds neither."""
    prompt = prompt_ids([], "<|end_of_turn|><|playlist-0|>", tokenizer, room=500)
    assert np.count_nonzero(tokenizer.is_control[prompt]) == 5  # begin, user, closing, music, start


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), min_size=1, max_size=7),
    room=st.integers(6, 120),
)
def test_prompt_fits_and_is_as_long_as_it_can_be(tokenizer: ExpandedTokenizer, texts: list[str], room: int) -> None:
    """Never above its room; what is kept is the whole prompt of the newest turns, and one more would not fit."""
    turns = [Turn(text, None, text) for text in texts[1:]]
    prompt = prompt_ids(turns, texts[0], tokenizer, room=room)
    assert len(prompt) <= room
    wholes = [prompt_ids(turns[kept:], texts[0], tokenizer, room=10_000) for kept in range(len(turns), -1, -1)]
    fitting = [whole for whole in wholes if len(whole) <= room]
    assert np.array_equal(prompt, fitting[-1]) if fitting else len(prompt) == room


def test_many_prompts_are_those_of_each_chat(tokenizer: ExpandedTokenizer) -> None:
    """Encoding the texts of all chats together changes nothing."""
    chats = [Chat(TURNS_OF_CHAT[:past], turn.query) for past, turn in enumerate(TURNS_OF_CHAT)]
    together = prompts_of(chats, tokenizer, room=90)
    assert [ids.tolist() for ids in together] == [
        prompt_ids(chat.turns, chat.query, tokenizer, room=90).tolist() for chat in chats
    ]
    assert prompts_of([], tokenizer, room=90) == []


def test_room_of_markers_alone_is_refused(tokenizer: ExpandedTokenizer) -> None:
    """begin, user, closing, music and start are five ids; the query needs one."""
    assert len(prompt_ids([], "calm", tokenizer, room=6)) <= 6
    with pytest.raises(ValueError, match="room is 5 ids; wanted at least 6"):
        prompt_ids([], "calm", tokenizer, room=5)


def test_blanked_codes_lack_one_modality() -> None:
    """The column of the modality is its missing code; with no name nothing changes."""
    codes = np.array([[0, 1, 2, 0, 1], [2, 2, 2, 2, 2]])
    assert blanked_codes(codes, VOCABULARY, without="metadata").tolist() == [[0, 1, 3, 0, 1], [2, 2, 3, 2, 2]]
    assert blanked_codes(codes, VOCABULARY, without="").tolist() == codes.tolist()


def test_modality_without_a_missing_code_can_not_be_left_out() -> None:
    """The paper's vocabulary has no missing codes."""
    with pytest.raises(ValueError, match="lyrics has no missing code"):
        blanked_codes(
            np.zeros((1, 5), dtype=int), Vocabulary(MODALITIES, (3,) * 5, has_missing=False), without="lyrics"
        )
