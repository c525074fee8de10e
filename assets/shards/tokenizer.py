"""The tokenizer of the shards: words and music tokens in one vocabulary, and a way in for text from outside.

A byte-level BPE is trained on the corpus, or a fast Hugging Face tokenizer is taken (the paper: Llama-3.2-1B-Instruct).
The music tokens are appended to it as special tokens with ids in one run. Text that came from outside is encoded by a
tokenizer without any added token, so that `<|playlist-3|>` or `</s>` in a query stays a string of letters.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from assets.tokens.vocabulary import Vocabulary

Role = Literal["user", "music", "assistant"]
ROLES: tuple[Role, ...] = ("user", "music", "assistant")
PAD = "<|pad|>"
LLAMA_PAD = "<|finetune_right_pad_id|>"
VOCABULARY_FILE = "music_vocabulary.json"
TEXTS_AT_ONCE = 100_000
# How Llama 3 and Qwen 2 cut a text into words. Like GPT-2's own rule, which is ours, they cut before any single space.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORD_PATTERNS = tuple({"Regex": WORDS % digits} for digits in ("{1,3}", ""))
ODD_SPACES = r"[^\S ]|  | $"  # whitespace other than single spaces between words


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """The strings around a text and around each message; `{role}` stands for the role."""

    begin: str
    opening: str
    closing: str
    end: str

    def open(self, role: Role) -> str:
        """What comes before a message of this role."""
        return self.opening.format(role=role)

    @property
    def controls(self) -> list[str]:
        """The control tokens among the strings, sorted."""
        text = self.begin + "".join(map(self.open, ROLES)) + self.closing + self.end
        return sorted(set(re.findall(r"<\|[^|]+\|>", text)))

    @property
    def template(self) -> str:
        """The same as a Jinja chat template; a generation prompt opens the music, which comes before the response."""
        before, after = self.opening.split("{role}")
        message = f"{json.dumps(before)} + message['role'] + {json.dumps(after)} + message['content']"
        return (
            f"{{{{ {json.dumps(self.begin)} }}}}{{% for message in messages %}}"
            f"{{% if message['role'] not in {list(ROLES)} %}}"
            "{{ raise_exception('roles are user, music and assistant, not ' + message['role']) }}{% endif %}"
            f"{{{{ {message} + {json.dumps(self.closing)} }}}}{{% endfor %}}"
            f"{{% if add_generation_prompt %}}{{{{ {json.dumps(self.open('music'))} }}}}{{% endif %}}"
        )


OURS = ChatFormat("<|begin_of_text|>", "<|{role}|>", "<|end_of_turn|>", "<|end_of_text|>")
LLAMA3 = ChatFormat(
    "<|begin_of_text|>", "<|start_header_id|>{role}<|end_header_id|>\n\n", "<|eot_id|>", "<|end_of_text|>"
)
CHATML = ChatFormat("", "<|im_start|>{role}\n", "<|im_end|>\n", "<|endoftext|>")
FORMATS = (OURS, LLAMA3, CHATML)


class MusicVocabulary(msgspec.Struct, frozen=True):
    """What the tokenizer's folder says of its music tokens."""

    vocabulary: Vocabulary
    first_id: int


class TextIds(NamedTuple):
    """Encoded texts: text i is `ids[starts[i] : starts[i + 1]]`."""

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ExpandedTokenizer:
    """A tokenizer whose music tokens begin at `first_id`."""

    tokenizer: Any  # PreTrainedTokenizerFast
    vocabulary: Vocabulary
    first_id: int
    chat: ChatFormat

    @property
    def size(self) -> int:
        """Tokens in all: the rows that an embedding matrix needs."""
        return len(self.tokenizer)

    @property
    def pad_id(self) -> int:
        """Id of the padding."""
        return int(self.tokenizer.pad_token_id)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over vocabulary, merges, added tokens and chat template."""
        content = self.tokenizer.backend_tokenizer.to_str() + str(self.tokenizer.chat_template)
        return hashlib.sha256(content.encode()).hexdigest()

    @cached_property
    def is_control(self) -> npt.NDArray[np.bool_]:
        """For each id whether it is an added token, which no text from outside may hold."""
        is_control = np.zeros(self.size, dtype=np.bool_)
        is_control[list(self.tokenizer.added_tokens_decoder)] = True
        return is_control

    def marker_ids(self, marker: str) -> npt.NDArray[np.int32]:
        """Ids of a string of ours, its control tokens as such."""
        return np.array(self.tokenizer.encode(marker, add_special_tokens=False), dtype=np.int32)

    def encode_texts(self, texts: Sequence[str] | pl.Series) -> TextIds:
        """Ids of texts from outside: control and music tokens that they spell are encoded letter by letter.

        A tokenizer that is no byte-level BPE may still return a control token, if its vocabulary holds it as a word;
        `is_control` tells.
        """
        series = pl.Series(texts, dtype=pl.String)
        batches = [series[start : start + TEXTS_AT_ONCE] for start in range(0, len(series), TEXTS_AT_ONCE)]
        if not _cuts_at_spaces(json.loads(self._plain.to_str())):
            return _concatenated([_encode_each(self._plain, batch.to_list()) for batch in batches])
        return _concatenated([_encode_by_words(self._plain, batch) for batch in batches])

    @cached_property
    def _plain(self) -> Any:
        backend = json.loads(self.tokenizer.backend_tokenizer.to_str())
        backend |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        return Tokenizer.from_str(json.dumps(backend))


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int) -> Any:
    """A byte-level BPE (PreTrainedTokenizerFast) for chats, without music tokens yet.

    Every text round-trips, whatever its script. The result depends on the texts but not on their order; a small corpus
    may fill less than `vocabulary_size`.
    """
    alphabet, controls = pre_tokenizers.ByteLevel.alphabet(), [PAD, *OURS.controls]
    if vocabulary_size < len(alphabet) + len(controls):
        raise ValueError(
            f"vocabulary_size is {vocabulary_size}; wanted at least {len(alphabet) + len(controls)}: "
            f"{len(alphabet)} bytes and {len(controls)} control tokens"
        )
    backend = Tokenizer(models.BPE())
    # With a prefix space the first word would not round-trip.
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=controls, initial_alphabet=sorted(alphabet), show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    named = {"bos_token": OURS.begin, "eos_token": OURS.end, "pad_token": PAD}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **named,
        extra_special_tokens=[control for control in controls if control not in named.values()],
        clean_up_tokenization_spaces=False,
        chat_template=OURS.template,
    )


def expand_tokenizer(tokenizer: Any, vocabulary: Vocabulary) -> ExpandedTokenizer:
    """A copy of a fast tokenizer with the music tokens appended and a chat template that knows the role music.

    Raises ValueError for a tokenizer without the control tokens of a known chat format, or with music tokens already.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer; wanted one with a tokenizer.json")
    chat, expanded = _chat_format(tokenizer), deepcopy(tokenizer)
    expanded.chat_template = chat.template
    expanded.clean_up_tokenization_spaces = False
    if expanded.pad_token is None:
        expanded.pad_token = LLAMA_PAD if LLAMA_PAD in _added_tokens(expanded) else chat.end
    first_id = len(expanded)
    expanded.add_tokens(
        [AddedToken(token, normalized=False, special=True) for token in vocabulary.tokens()], special_tokens=True
    )
    return _checked(ExpandedTokenizer(expanded, vocabulary, first_id, chat))


def save_tokenizer(tokenizer: ExpandedTokenizer, folder: Path) -> None:
    """Write a folder that `AutoTokenizer.from_pretrained` opens, with the music vocabulary beside it."""
    tokenizer.tokenizer.save_pretrained(folder)
    music = MusicVocabulary(tokenizer.vocabulary, tokenizer.first_id)
    (folder / VOCABULARY_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(music), indent=2) + b"\n")


def load_tokenizer(folder: Path) -> ExpandedTokenizer:
    """The tokenizer that `save_tokenizer` wrote; ValueError where tokens and vocabulary disagree."""
    path = folder / VOCABULARY_FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no {VOCABULARY_FILE}; wanted a folder that save_tokenizer wrote")
    music = msgspec.json.decode(path.read_bytes(), type=MusicVocabulary)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return _checked(ExpandedTokenizer(tokenizer, music.vocabulary, music.first_id, _chat_format(tokenizer)))


def _chat_format(tokenizer: Any) -> ChatFormat:
    for chat in FORMATS:
        if _added_tokens(tokenizer).issuperset(chat.controls):
            return chat
    wanted = "; or ".join(", ".join(chat.controls) for chat in FORMATS)
    raise ValueError(f"the tokenizer has the control tokens of no known chat format; wanted {wanted}")


def _added_tokens(tokenizer: Any) -> set[str]:
    return {str(token) for token in tokenizer.added_tokens_decoder.values()}


def _checked(tokenizer: ExpandedTokenizer) -> ExpandedTokenizer:
    tokens, first_id = tokenizer.vocabulary.tokens(), tokenizer.first_id
    ids = tokenizer.tokenizer.convert_tokens_to_ids(tokens)
    wrong = next((place for place, found in enumerate(ids) if found != first_id + place), None)
    if wrong is not None:
        raise ValueError(
            f"{tokens[wrong]} has id {ids[wrong]}; wanted {first_id + wrong}: the tokenizer knew some of the music "
            "tokens already, or its ids have gaps; start from one without music tokens"
        )
    return tokenizer


def _cuts_at_spaces(backend: dict[str, Any]) -> bool:
    """Whether a single space always begins a word, so that words can be encoded apart."""
    normalizer, rule = backend["normalizer"] or {"type": "NFC"}, backend["pre_tokenizer"] or {"type": "None"}
    first, *more = rule["pretokenizers"] if rule["type"] == "Sequence" else [rule]
    if normalizer["type"] != "NFC" or len(more) > 1:
        return False
    if more:
        is_known = first["type"] == "Split" and first["pattern"] in WORD_PATTERNS and first["behavior"] == "Isolated"
        return is_known and more[0]["type"] == "ByteLevel" and not (more[0]["use_regex"] or more[0]["add_prefix_space"])
    return first["type"] == "ByteLevel" and bool(first["use_regex"]) and not first["add_prefix_space"]


def _encode_by_words(plain: Any, texts: pl.Series) -> TextIds:
    """Each distinct word is encoded once: several times as fast as text by text, with the same ids."""
    is_odd = texts.str.contains(ODD_SPACES)
    words = texts.filter(~is_odd).str.replace_all(" ", "\n ", literal=True).str.split("\n")
    coded = words.explode(empty_as_null=False).to_arrow().cast(pa.large_string()).dictionary_encode()
    ids, starts = _gathered(_encode_each(plain, coded.dictionary.to_pylist()), coded.indices.to_numpy())
    by_text = TextIds(ids, starts[np.append(0, words.list.len().cum_sum().to_numpy())])
    both = _concatenated([by_text, _encode_each(plain, texts.filter(is_odd).to_list())])
    places = np.argsort(is_odd.to_numpy(), kind="stable")
    return _gathered(both, np.argsort(places, kind="stable"))


def _gathered(texts: TextIds, places: npt.NDArray[np.integer]) -> TextIds:
    """The texts at these places, one after the other."""
    lengths = np.diff(texts.starts)[places]
    starts = np.append(0, np.cumsum(lengths))
    shifts = np.repeat(texts.starts[places] - starts[:-1], lengths)
    return TextIds(texts.ids[shifts + np.arange(starts[-1])], starts)


def _encode_each(plain: Any, texts: Sequence[str]) -> TextIds:
    encoded = [encoding.ids for encoding in plain.encode_batch_fast(list(texts), add_special_tokens=False)]
    starts = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return TextIds(np.fromiter(chain.from_iterable(encoded), dtype=np.int32, count=starts[-1]), starts)


def _concatenated(parts: Sequence[TextIds]) -> TextIds:
    if not parts:
        return TextIds(np.empty(0, dtype=np.int32), np.zeros(1, dtype=np.int64))
    firsts = np.cumsum([0, *(len(part.ids) for part in parts)])
    starts = [part.starts[1:] + first for part, first in zip(parts, firsts[:-1], strict=True)]
    return TextIds(np.concatenate([part.ids for part in parts]), np.concatenate([[0], *starts]).astype(np.int64))
