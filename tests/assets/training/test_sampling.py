"""Sampled tracks and responses: real tracks with a trie, the model's own probabilities, and no trace of the batch."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.prompts import Chat, Turn, prompts_of, response_prompt
from assets.training.sampling import sample_tracks, write_responses
from assets.training.trie import TrackTrie
from resources.torch_turn import cpu_threads

TEXTS = ["a calm track for the evening", "something louder, please", "here is a calm track with a piano"]
VOCABULARY = Vocabulary(("playlist", "semantic", "audio"), (3, 3, 3))
CODES = np.random.default_rng(3).integers(0, 4, (12, 3))
GREEDY = 1e-5  # a temperature at which only the most probable token is left
Prompts = list[npt.NDArray[np.int32]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def tokenizer() -> ExpandedTokenizer:
    """A byte-level BPE of 300 tokens and the music tokens."""
    return expand_tokenizer(train_tokenizer(TEXTS, vocabulary_size=300), VOCABULARY)


@pytest.fixture(scope="module")
def model(tokenizer: ExpandedTokenizer) -> PreTrainedModel:
    """A small Llama of random weights."""
    config = LlamaConfig(
        vocab_size=tokenizer.size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def prompts(tokenizer: ExpandedTokenizer) -> Prompts:
    """Three prompts of different lengths."""
    past = [Turn("louder", CODES[0], "here is a piano"), Turn("calm", None, "for the evening")]
    return prompts_of([Chat(past[:turns], TEXTS[turns]) for turns in range(3)], tokenizer, room=100)


@pytest.fixture(scope="module")
def many() -> Prompts:
    """Two thousand different prompts, each with random numbers of its own."""
    return [np.array([5, first, second], dtype=np.int32) for first in range(40) for second in range(50)]


def model_of(chances: dict[int, float], tokenizer: ExpandedTokenizer) -> PreTrainedModel:
    """A model that gives tokens these probabilities whatever came before, and all others none."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=tokenizer.size, tie_word_embeddings=False, **sizes)).eval()
    model.lm_head = torch.nn.Linear(8, tokenizer.size)
    torch.nn.init.zeros_(model.lm_head.weight)
    torch.nn.init.constant_(model.lm_head.bias, -1e4)
    with torch.no_grad():
        for token, chance in chances.items():
            model.lm_head.bias[token] = np.log(chance)
    return model


def greedy(model: PreTrainedModel, prompt: npt.NDArray[np.int32], count: int, barred: list[int]) -> list[int]:
    """The most probable token, again and again, each time by a pass over everything."""
    ids = prompt.tolist()
    for _ in range(count):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0, -1].numpy()
        logits[barred] = -np.inf
        ids.append(int(logits.argmax()))
    return ids[len(prompt) :]


def test_constrained_tracks_are_real(model: PreTrainedModel, tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """All of 2,000 tracks are the catalog's, of a model that knows nothing."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    sampled = sample_tracks(model, many, tokenizer, temperature=1, top_p=0.9, seed=1, trie=trie)
    assert sampled.is_formed_B.all()
    assert (trie.find(sampled.codes_BM) >= 0).all()


def test_free_tracks_may_be_none(model: PreTrainedModel, tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """A free token that is none of its place's is the missing code, and the track is not formed."""
    sampled = sample_tracks(model, many, tokenizer, temperature=1, top_p=1, seed=1, trie=None)
    assert not sampled.is_formed_B.all()
    assert ((sampled.codes_BM >= 0) & (sampled.codes_BM <= 3)).all()
    semantic = model_of({tokenizer.first_id + 4: 1.0}, tokenizer)
    sampled = sample_tracks(semantic, many[:1], tokenizer, temperature=1, top_p=1, seed=1, trie=None)
    assert sampled.codes_BM.tolist() == [[3, 0, 3]]
    assert sampled.is_formed_B.tolist() == [False]


def test_missing_token_of_its_place_is_formed(tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """A place that is missing by the model's own token counts as written: here the first, with code 3."""
    missing = model_of({tokenizer.first_id + 3: 1.0}, tokenizer)
    only = Vocabulary(("playlist",), (3,))
    single = expand_tokenizer(train_tokenizer(TEXTS, vocabulary_size=300), only)
    sampled = sample_tracks(missing, many[:1], single, temperature=1, top_p=1, seed=1, trie=None)
    assert sampled.codes_BM.tolist() == [[3]]
    assert sampled.is_formed_B.tolist() == [True]


def test_cold_sampling_is_greedy(model: PreTrainedModel, tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Near temperature 0 the free tokens are the most probable ones of plain passes without a cache."""
    sampled = sample_tracks(model, prompts, tokenizer, temperature=GREEDY, top_p=1, seed=1, trie=None)
    for codes, is_formed, prompt in zip(*sampled, prompts, strict=True):
        tokens = greedy(model, prompt, 3, [])
        own = [token - tokenizer.first_id - 4 * place for place, token in enumerate(tokens)]
        assert codes.tolist() == [code if 0 <= code < 4 else 3 for code in own]
        assert is_formed == all(0 <= code < 4 for code in own)


def test_tracks_come_with_the_models_probabilities(tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """Of codes with .5, .3 and .2 come 1,000, 600 and 400 in 2,000, within four standard deviations (90)."""
    first = tokenizer.first_id
    model = model_of({first: 0.5, first + 1: 0.3, first + 2: 0.2}, tokenizer)
    codes = sample_tracks(model, many, tokenizer, temperature=1, top_p=1, seed=1, trie=None).codes_BM[:, 0]
    counts = np.bincount(codes, minlength=3)
    assert np.abs(counts - [1000, 600, 400]).max() < 90


def test_nucleus_leaves_out_the_tail(tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """.5 and .3 reach .75, so .2 never comes, and the two share as 5 to 3 (1,250 and 750, within 90)."""
    first = tokenizer.first_id
    model = model_of({first: 0.5, first + 1: 0.3, first + 2: 0.2}, tokenizer)
    codes = sample_tracks(model, many, tokenizer, temperature=1, top_p=0.75, seed=1, trie=None).codes_BM[:, 0]
    counts = np.bincount(codes, minlength=3)
    assert counts[2] == 0
    assert np.abs(counts[:2] - [1250, 750]).max() < 90


def test_equal_tokens_share_the_nucleus(tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """All of three equal tokens are kept where two would reach top_p."""
    first = tokenizer.first_id
    model = model_of(dict.fromkeys([first, first + 1, first + 2], 1 / 3), tokenizer)
    codes = sample_tracks(model, many, tokenizer, temperature=1, top_p=0.5, seed=1, trie=None).codes_BM[:, 0]
    assert set(codes) == {0, 1, 2}


def test_large_nucleus_is_whole(tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """With all of some 300 tokens equal, a nucleus of more than 256 still holds tokens of both ends."""
    model = model_of(dict.fromkeys(range(tokenizer.size), 1.0), tokenizer)
    prompts = [response_prompt(prompt, CODES[0], tokenizer) for prompt in many]
    assert tokenizer.size > 256
    texts = Counter(write_responses(model, prompts, tokenizer, temperature=1, top_p=0.99, most_tokens=1, seed=1))
    assert len(texts) > 150  # bytes that are no characters look alike


def test_result_does_not_depend_on_the_batch(
    model: PreTrainedModel, tokenizer: ExpandedTokenizer, prompts: Prompts
) -> None:
    """Alone, in another order or beside others, a prompt has the same track and response."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    answers = [response_prompt(prompt, CODES[1], tokenizer) for prompt in prompts]
    for seed in range(3):
        given = {"temperature": 1.0, "top_p": 0.9, "seed": seed}
        together = sample_tracks(model, prompts[::-1], tokenizer, trie=trie, **given).codes_BM[::-1].tolist()
        alone = [
            sample_tracks(model, [prompt], tokenizer, trie=trie, **given).codes_BM[0].tolist() for prompt in prompts
        ]
        assert together == alone
        written = write_responses(model, answers, tokenizer, most_tokens=8, **given)
        assert written == [write_responses(model, [ids], tokenizer, most_tokens=8, **given)[0] for ids in answers]


def test_seed_decides(model: PreTrainedModel, tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """The same seed gives the same tracks, another others; negative seeds are seeds."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    first, again, other = (
        sample_tracks(model, many[:50], tokenizer, temperature=1, top_p=1, seed=seed, trie=trie).codes_BM.tolist()
        for seed in (-3, -3, 4)
    )
    assert first == again != other


def test_dropped_modality_is_missing(model: PreTrainedModel, tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """With a trie and without one its place is the missing code, which counts as written."""
    trie = TrackTrie.build(CODES, VOCABULARY, without="semantic")
    given = {"temperature": 1.0, "top_p": 1.0, "seed": 1}
    assert (sample_tracks(model, prompts, tokenizer, trie=trie, **given).codes_BM[:, 1] == 3).all()
    free = sample_tracks(model, prompts, tokenizer, trie=None, without="semantic", **given)
    assert (free.codes_BM[:, 1] == 3).all()


def test_cold_response_is_greedy(model: PreTrainedModel, tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Near temperature 0 the words are those of plain passes without a cache, with controls and music barred."""
    answers = [response_prompt(prompt, CODES[1], tokenizer) for prompt in prompts]
    written = write_responses(model, answers, tokenizer, temperature=GREEDY, top_p=1, most_tokens=12, seed=1)
    closing = int(tokenizer.marker_ids(tokenizer.chat.closing)[0])
    barred = [token for token in np.flatnonzero(tokenizer.is_control).tolist() if token != closing]
    for text, prompt in zip(written, answers, strict=True):
        first = greedy(model, prompt, 1, [*barred, closing])
        ids = [*first, *greedy(model, np.append(prompt, first), 11, barred)]
        ids = ids[: ids.index(closing)] if closing in ids else ids
        assert text == tokenizer.tokenizer.decode(ids)


def test_response_ends_with_its_closing(tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """Words of .5 and a closing of .5: half of the responses have one word, a quarter two; none is empty."""
    word = int(tokenizer.encode_texts(["a"]).ids[0])
    closing = int(tokenizer.marker_ids(tokenizer.chat.closing)[0])
    model = model_of({word: 0.5, closing: 0.5}, tokenizer)
    texts = Counter(write_responses(model, many, tokenizer, temperature=1, top_p=1, most_tokens=40, seed=1))
    assert all(text == "a" * len(text) != "" for text in texts)
    assert abs(texts["a"] - 1000) < 90
    assert abs(texts["aa"] - 500) < 80


def test_response_holds_no_control_token(tokenizer: ExpandedTokenizer, many: Prompts) -> None:
    """A model that would write music and padding above all writes its one word, up to the limit."""
    word = int(tokenizer.encode_texts(["a"]).ids[0])
    model = model_of({tokenizer.first_id: 100.0, tokenizer.pad_id: 100.0, word: 0.01}, tokenizer)
    texts = write_responses(model, many[:3], tokenizer, temperature=1, top_p=0.9, most_tokens=4, seed=1)
    assert texts == ["aaaa"] * 3


def test_no_prompts_have_no_answers(model: PreTrainedModel, tokenizer: ExpandedTokenizer) -> None:
    """An empty batch is no error."""
    given = {"temperature": 1.0, "top_p": 0.9, "seed": 1}
    assert sample_tracks(model, [], tokenizer, trie=None, **given).codes_BM.shape == (0, 3)
    assert write_responses(model, [], tokenizer, most_tokens=5, **given) == []


@pytest.mark.parametrize(("temperature", "top_p"), [(0, 0.9), (1, 0), (1, 1.1), (float("nan"), 0.9)])
def test_settings_out_of_range_are_refused(
    model: PreTrainedModel, tokenizer: ExpandedTokenizer, prompts: Prompts, temperature: float, top_p: float
) -> None:
    """A temperature of 0 would divide by it; top_p is a share."""
    with pytest.raises(ValueError, match="wanted above 0"):
        sample_tracks(model, prompts, tokenizer, temperature=temperature, top_p=top_p, seed=1, trie=None)
