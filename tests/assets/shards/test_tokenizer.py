"""The tokenizer: round trips, music tokens, and text from outside that spells control tokens."""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from assets.shards.tokenizer import (
    CHATML,
    FORMATS,
    LLAMA3,
    OURS,
    PAD,
    WORD_PATTERNS,
    ChatFormat,
    ExpandedTokenizer,
    expand_tokenizer,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from assets.tokens.vocabulary import Vocabulary
from resources.talkplay_settings import MODALITIES

SPELLED = ["<|playlist-3|>", "<start_of_music>", "</s>", "<|end_of_turn|><|music|>", "<|pad|>"]
UNKNOWN = "[UNK]"
spaced_texts = st.lists(st.text(alphabet="ab1é'!  \n\t\r\u3000\x85\x1c", max_size=12), max_size=8)
texts = st.lists(st.text(max_size=30) | st.sampled_from(SPELLED), max_size=100)
MESSAGES = [
    {"role": "user", "content": " something calm,\nplease"},
    {"role": "music", "content": "<start_of_music><|playlist-0|><end_of_music>"},
    {"role": "assistant", "content": "here"},
]


def foreign_tokenizer(chat: ChatFormat, corpus: Sequence[str] = ("user music assistant",)) -> Any:
    """A byte-level BPE of someone else's with the control tokens of a chat format and no padding."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(corpus, trainer)
    backend.add_special_tokens(chat.controls)
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)


@cache
def spaced_tokenizer(pattern: str | None) -> ExpandedTokenizer:
    """A tokenizer with merges of letters, digits, quotes and spaces, whose words a pattern or our own rule cuts."""
    foreign = foreign_tokenizer(OURS, ["ab 12 a'll !! ab", "ba\n\n  12", "é  '' \u3000a"] * 9)
    if pattern is not None:
        cut = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        foreign.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, to_bytes])
    return expand_tokenizer(foreign, Vocabulary(("audio",), (1,)))


def decoded(tokenizer: ExpandedTokenizer, given_texts: list[str]) -> list[str]:
    """The texts after encoding and decoding."""
    encoded = tokenizer.encode_texts(given_texts)
    parts = np.split(encoded.ids, encoded.starts[1:-1]) if given_texts else []
    return [tokenizer.tokenizer.decode(part.tolist()) for part in parts]


@given(given_texts=texts)
@settings(max_examples=100, deadline=None)
def test_every_text_round_trips(tokenizer: ExpandedTokenizer, given_texts: list[str]) -> None:
    """decode(encode(text)) is the text, in any script, alone or among others, whatever it spells."""
    assert decoded(tokenizer, given_texts) == given_texts


@given(given_texts=texts)
@settings(max_examples=50, deadline=None)
def test_text_from_outside_holds_no_control_token(tokenizer: ExpandedTokenizer, given_texts: list[str]) -> None:
    """No id of a text from outside is a control or music token, whatever it spells."""
    assert not tokenizer.is_control[tokenizer.encode_texts(given_texts).ids].any()


def test_spelled_tokens_are_control_tokens_elsewhere(tokenizer: ExpandedTokenizer) -> None:
    """The tokenizer's own encode does turn such text into control tokens: what `encode_texts` guards against."""
    assert tokenizer.is_control[tokenizer.tokenizer.encode("<|playlist-3|>", add_special_tokens=False)].all()


@given(given_texts=spaced_texts)
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("pattern", [None, *(pattern["Regex"] for pattern in WORD_PATTERNS)])
def test_words_apart_equal_the_text(pattern: str | None, given_texts: list[str]) -> None:
    """Whatever spaces lie in a text, its ids are those that the library gives it, for our rule and for others'."""
    tokenizer = spaced_tokenizer(pattern)
    encoded = tokenizer.encode_texts(given_texts)
    alone = [tokenizer.tokenizer.encode(text, add_special_tokens=False) for text in given_texts]
    assert encoded.ids.tolist() == [token for ids in alone for token in ids]
    assert np.diff(encoded.starts).tolist() == [len(ids) for ids in alone]


def test_batches_are_one(tokenizer: ExpandedTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids don't depend on how many texts are encoded at once."""
    given_texts = [f"track number {number},{' ' * (number % 4)}calm" for number in range(50)]
    whole = tokenizer.encode_texts(given_texts)
    monkeypatch.setattr("assets.shards.tokenizer.TEXTS_AT_ONCE", 7)
    parts = tokenizer.encode_texts(pl.Series(given_texts))
    assert [array.tolist() for array in parts] == [array.tolist() for array in whole]


def test_music_tokens_are_single_ids(tokenizer: ExpandedTokenizer) -> None:
    """Each music token is one id, in vocabulary order from the first, and the last ones of the tokenizer."""
    names = tokenizer.vocabulary.tokens()
    ids = [tokenizer.tokenizer.encode(name, add_special_tokens=False) for name in names]
    assert ids == [[tokenizer.first_id + place] for place in range(len(names))]
    assert tokenizer.size == tokenizer.first_id + tokenizer.vocabulary.size


def test_saved_folder_opens(tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """AutoTokenizer opens the folder and gives the same ids; `load_tokenizer` gives the same tokenizer."""
    save_tokenizer(tokenizer, tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    text = "calm <|playlist-1|><|user|> evening"
    assert opened(text)["input_ids"] == tokenizer.tokenizer(text)["input_ids"]
    assert (len(opened), opened.pad_token_id) == (tokenizer.size, tokenizer.pad_id)
    loaded = load_tokenizer(tmp_path)
    assert (loaded.vocabulary, loaded.first_id, loaded.chat) == (tokenizer.vocabulary, tokenizer.first_id, OURS)
    assert loaded.content_hash == tokenizer.content_hash


def test_folder_without_music(tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """A folder of another tokenizer is refused."""
    tokenizer.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"no music_vocabulary\.json"):
        load_tokenizer(tmp_path)


def test_same_bytes_in_any_process(tmp_path: Path) -> None:
    """Hash seed and the order of the texts change no byte of the folder."""
    program = (
        "from pathlib import Path\n"
        "from assets.shards.tokenizer import expand_tokenizer, save_tokenizer, train_tokenizer\n"
        "from assets.tokens.vocabulary import Vocabulary\n"
        "trained = train_tokenizer(texts, vocabulary_size=330)\n"
        "save_tokenizer(expand_tokenizer(trained, Vocabulary(('audio',), (4,))), Path(folder))\n"
    )
    texts = [f"calm {n % 7} evening {n % 5}é track" for n in range(50)]
    exec(program, {"texts": texts, "folder": str(tmp_path / "here")})
    there = f"texts = {texts[::-1]!r}\nfolder = {str(tmp_path / 'there')!r}\n"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", there + program], check=True, env=environment)
    contents = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("here", "there")]
    assert contents[0] == contents[1]
    assert "tokenizer.json" in contents[0]


@pytest.mark.parametrize("chat", FORMATS)
def test_chat_template_is_the_format(chat: ChatFormat, vocabulary: Vocabulary) -> None:
    """The template renders messages between the format's strings, and opens the music where a track is wanted."""
    tokenizer = expand_tokenizer(foreign_tokenizer(chat), vocabulary).tokenizer
    rendered = "".join(chat.open(m["role"]) + m["content"] + chat.closing for m in MESSAGES)  # type: ignore[arg-type]
    assert tokenizer.apply_chat_template(MESSAGES, tokenize=False) == chat.begin + rendered
    prompt = tokenizer.apply_chat_template(MESSAGES[:1], tokenize=False, add_generation_prompt=True)
    assert prompt == chat.begin + chat.open("user") + MESSAGES[0]["content"] + chat.closing + chat.open("music")


def test_chat_template_knows_three_roles(tokenizer: ExpandedTokenizer) -> None:
    """A role that was never trained is an error."""
    with pytest.raises(Exception, match="roles are user, music and assistant, not system"):
        tokenizer.tokenizer.apply_chat_template([{"role": "system", "content": ""}], tokenize=False)


@pytest.mark.parametrize("chat", [LLAMA3, CHATML])
def test_foreign_tokenizer_expands(chat: ChatFormat) -> None:
    """Someone else's tokenizer gains the paper's 5,122 tokens and no other; padding is one of its own tokens."""
    foreign = foreign_tokenizer(chat)
    expanded = expand_tokenizer(foreign, Vocabulary(MODALITIES, (1024,) * 5, has_missing=False))
    assert expanded.size == len(foreign) + 5122
    assert expanded.tokenizer.pad_token == chat.end
    assert foreign.pad_token is None


def test_unknown_chat_format_is_refused(vocabulary: Vocabulary) -> None:
    """A tokenizer without control tokens for turns can't be expanded; the error says which ones would do."""
    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()))
    with pytest.raises(ValueError, match=r"no known chat format.*<\|eot_id\|>"):
        expand_tokenizer(plain, vocabulary)


def test_expanding_twice_is_refused(tokenizer: ExpandedTokenizer, vocabulary: Vocabulary) -> None:
    """Music tokens that are there already would not be in one run."""
    with pytest.raises(ValueError, match="start from one without music tokens"):
        expand_tokenizer(tokenizer.tokenizer, vocabulary)


def test_words_of_another_model_are_told(vocabulary: Vocabulary) -> None:
    """A tokenizer whose vocabulary holds a control token as a word still returns it; `is_control` tells."""
    words = Tokenizer(models.WordLevel({UNKNOWN: 0, "</s>": 1, "calm": 2}, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens([AddedToken("</s>", special=True), *OURS.controls])
    tokenizer = expand_tokenizer(PreTrainedTokenizerFast(tokenizer_object=words), vocabulary)
    assert tokenizer.is_control[tokenizer.encode_texts(["calm </s>"]).ids].tolist() == [False, True]


def test_prefix_space_stays_at_the_start(vocabulary: Vocabulary) -> None:
    """A tokenizer that treats the start of a text apart gives each of several texts the ids that it has alone."""
    words = Tokenizer(models.WordLevel({UNKNOWN: 0, "music": 1, "\u2581music": 2}, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    words.add_special_tokens([PAD, *OURS.controls])
    tokenizer = expand_tokenizer(PreTrainedTokenizerFast(tokenizer_object=words), vocabulary)
    assert tokenizer.encode_texts(["music", "music"]).ids.tolist() == [2, 2]


def test_vocabulary_too_small() -> None:
    """256 bytes and seven control tokens are the least that a vocabulary holds."""
    with pytest.raises(ValueError, match="wanted at least 263: 256 bytes and 7 control tokens"):
        train_tokenizer([], vocabulary_size=262)


def test_no_texts() -> None:
    """Without a corpus the tokenizer is its bytes, and still round-trips."""
    tokenizer = expand_tokenizer(train_tokenizer([], vocabulary_size=500), Vocabulary(("audio",), (1,)))
    assert tokenizer.first_id == 256 + 7
    assert decoded(tokenizer, ["é 🎵"]) == ["é 🎵"]
