"""Beam search among the catalog's sequences, against every sequence scored alone by a plain forward pass."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.beams import Beams, beam_search
from assets.training.prompts import Turn, prompt_ids
from assets.training.trie import TrackTrie
from resources.torch_turn import cpu_threads

TEXTS = ["a calm track for the evening", "something louder, please", "here is a calm track with a piano"]
VOCABULARY = Vocabulary(("playlist", "semantic", "audio"), (3, 3, 3))
CODES = np.random.default_rng(3).integers(0, 4, (30, 3))
SMALL = {"num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": 32, "initializer_range": 0.3}
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
def prompts(tokenizer: ExpandedTokenizer) -> Prompts:
    """Three prompts of different lengths."""
    past = [Turn("louder", CODES[0], "here is a piano"), Turn("calm", None, "for the evening")]
    return [prompt_ids(past[:turns], TEXTS[turns], tokenizer, room=100) for turns in range(3)]


def llama(rows: int, attention: str = "sdpa") -> PreTrainedModel:
    """Tied, with fewer key and value heads than heads."""
    config = LlamaConfig(
        vocab_size=rows, intermediate_size=48, num_key_value_heads=2, tie_word_embeddings=True, **SMALL
    )
    return seeded(LlamaForCausalLM, config, attention)


def eager_llama(rows: int) -> PreTrainedModel:
    """The same, attending without PyTorch's own function."""
    return llama(rows, "eager")


def qwen2(rows: int) -> PreTrainedModel:
    """Untied, with biases in its attention."""
    config = Qwen2Config(
        vocab_size=rows, intermediate_size=48, num_key_value_heads=2, tie_word_embeddings=False, **SMALL
    )
    return seeded(Qwen2ForCausalLM, config)


def gpt2(rows: int) -> PreTrainedModel:
    """Learned positions, dropout in its configuration."""
    return seeded(GPT2LMHeadModel, GPT2Config(vocab_size=rows, n_positions=200, n_head=4, n_layer=2, n_embd=32))


def seeded(kind: type[PreTrainedModel], config: object, attention: str = "sdpa") -> PreTrainedModel:
    """A model of random weights, the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return kind._from_config(config, attn_implementation=attention).eval()


@torch.inference_mode()
def brute_force(
    model: PreTrainedModel, prompt: npt.NDArray[np.int32], trie: TrackTrie, tokenizer: ExpandedTokenizer, scores: str
) -> npt.NDArray[np.float64]:
    """Log-probability of each place of each sequence, [S, M], by a pass over prompt and sequence, without padding."""
    sequences = trie.codes_SM.tolist()
    ids_SM = VOCABULARY.token_ids(trie.codes_SM, tokenizer.first_id)
    result = np.empty(ids_SM.shape)
    whole = np.concatenate([np.tile(prompt, (len(ids_SM), 1)), ids_SM], axis=1)
    logits_SMV = model(torch.from_numpy(whole)).logits[:, len(prompt) - 1 :]
    for row, (codes, ids, logits) in enumerate(zip(sequences, ids_SM, logits_SMV, strict=True)):
        for place, token in enumerate(ids):
            among = range(tokenizer.size)
            if scores == "catalog":
                following = {other[place] for other in sequences if other[:place] == codes[:place]}
                among = [tokenizer.first_id + VOCABULARY.offsets[place] + code for code in following]
            result[row, place] = logits[place, token] - logits[place, list(among)].logsumexp(0)
    return result


@pytest.mark.parametrize("build", [llama, eager_llama, qwen2, gpt2])
@pytest.mark.parametrize("scores", ["catalog", "vocabulary"])
def test_wide_search_is_brute_force(
    tokenizer: ExpandedTokenizer, prompts: Prompts, build: Callable[[int], PreTrainedModel], scores: str
) -> None:
    """With a beam for each sequence the ranking, scores and place scores are those of every sequence scored alone."""
    model, trie = build(tokenizer.size), TrackTrie.build(CODES, VOCABULARY)
    found = beam_search(model, prompts, trie, tokenizer, beams=len(trie), scores=scores)
    for row, prompt in enumerate(prompts):
        expected_SM = brute_force(model, prompt, trie, tokenizer, scores)
        assert sorted(found.sequences[row]) == list(range(len(trie)))
        np.testing.assert_allclose(found.place_scores[row], expected_SM[found.sequences[row]], atol=2e-4)
        np.testing.assert_allclose(found.scores[row], np.sort(expected_SM.sum(axis=1))[::-1], atol=2e-4)


def test_narrow_search_is_a_written_out_one(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Four beams: at each place the four best extensions of the four prefixes before, by the brute-force scores."""
    model, trie = llama(tokenizer.size), TrackTrie.build(CODES, VOCABULARY)
    found = beam_search(model, prompts, trie, tokenizer, beams=4, scores="catalog")
    for row, prompt in enumerate(prompts):
        sums_SM = brute_force(model, prompt, trie, tokenizer, "catalog").cumsum(axis=1)
        kept = {()}
        for place in range(3):
            score = {
                tuple(codes[: place + 1]): sums_SM[sequence, place]
                for sequence, codes in enumerate(trie.codes_SM.tolist())
                if tuple(codes[:place]) in kept
            }
            kept = set(sorted(score, key=lambda prefix: -score[prefix])[:4])
        best = sorted(kept, key=lambda prefix: -score[prefix])
        assert [tuple(trie.codes_SM[sequence]) for sequence in found.sequences[row]] == best


@pytest.mark.parametrize("build", [llama, qwen2])
def test_result_does_not_depend_on_the_batch(
    tokenizer: ExpandedTokenizer, prompts: Prompts, build: Callable[[int], PreTrainedModel]
) -> None:
    """Alone, unpadded, a conversation has the beams that it has beside longer ones."""
    model, trie = build(tokenizer.size), TrackTrie.build(CODES, VOCABULARY)
    together = beam_search(model, prompts, trie, tokenizer, beams=7, scores="vocabulary")
    for row, prompt in enumerate(prompts):
        alone = beam_search(model, [prompt], trie, tokenizer, beams=7, scores="vocabulary")
        assert alone.sequences[0].tolist() == together.sequences[row].tolist()
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-4)


def test_probabilities_of_the_whole_catalog_sum_to_one(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Among the catalog's tokens every sequence has its share."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    found = beam_search(llama(tokenizer.size), prompts, trie, tokenizer, beams=len(trie), scores="catalog")
    np.testing.assert_allclose(np.exp(found.scores).sum(axis=1), 1, atol=1e-5)


def test_same_input_gives_same_bits(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Twice the same, to the last bit."""
    model, trie = llama(tokenizer.size), TrackTrie.build(CODES, VOCABULARY)
    first, second = (beam_search(model, prompts, trie, tokenizer, beams=9, scores="catalog") for _ in range(2))
    assert [array.tobytes() for array in first] == [array.tobytes() for array in second]


def test_equal_scores_are_in_order_of_the_sequences(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """A model that finds all tokens equal keeps the first sequences at each place, in the trie's order."""
    model, trie = llama(tokenizer.size), TrackTrie.build(CODES, VOCABULARY)
    for weight in model.parameters():
        torch.nn.init.zeros_(weight)
    found = beam_search(model, prompts, trie, tokenizer, beams=5, scores="vocabulary")
    assert found.sequences.tolist() == [[0, 1, 2, 3, 4]] * 3
    np.testing.assert_allclose(found.scores, -3 * np.log(tokenizer.size), rtol=1e-6)


def test_missing_beams_are_marked(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """A catalog of two sequences fills two of four beams."""
    trie = TrackTrie.build(np.array([[0, 1, 2], [0, 2, 1], [0, 1, 2]]), VOCABULARY)
    found = beam_search(llama(tokenizer.size), prompts, trie, tokenizer, beams=4, scores="catalog")
    assert (found.sequences[:, 2:] == -1).all()
    assert np.isneginf(found.scores[:, 2:]).all()
    assert found.place_scores.shape == (3, 4, 3)


@pytest.mark.parametrize("scores", ["catalog", "vocabulary"])
def test_dropped_modality_scores_nothing(tokenizer: ExpandedTokenizer, prompts: Prompts, scores: str) -> None:
    """Its place is the missing code with log-probability 0; the others are scored after it."""
    model, trie = llama(tokenizer.size), TrackTrie.build(CODES, VOCABULARY, without="semantic")
    found = beam_search(model, prompts, trie, tokenizer, beams=len(trie), scores=scores)
    assert (found.place_scores[:, :, 1] == 0).all()
    expected_SM = brute_force(model, prompts[0], trie, tokenizer, scores)
    expected_SM[:, 1] = 0
    np.testing.assert_allclose(found.scores[0], expected_SM.sum(axis=1)[found.sequences[0]], atol=2e-4)


def test_no_conversations_have_no_beams(tokenizer: ExpandedTokenizer) -> None:
    """An empty batch is no error."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    found = beam_search(llama(tokenizer.size), [], trie, tokenizer, beams=4, scores="catalog")
    assert [array.shape for array in found] == [(0, 4), (0, 4), (0, 4, 3)]
    assert isinstance(found, Beams)


def test_trie_of_other_tokens_is_refused(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Codes of another vocabulary would be other tokens here."""
    trie = TrackTrie.build(np.array([[0, 0, 0]]), Vocabulary(VOCABULARY.modalities, (4, 3, 3)))
    with pytest.raises(ValueError, match="a trie of"):
        beam_search(llama(tokenizer.size), prompts, trie, tokenizer, beams=4, scores="catalog")


def test_model_in_training_is_refused(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Its dropout would be in the scores."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    with pytest.raises(ValueError, match="training mode"):
        beam_search(gpt2(tokenizer.size).train(), prompts, trie, tokenizer, beams=4, scores="catalog")


def test_model_that_sees_a_part_of_its_past_is_refused(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """A sliding window would need a mask of its own."""
    config = Qwen2Config(vocab_size=tokenizer.size, use_sliding_window=True, max_window_layers=1, **SMALL)
    trie = TrackTrie.build(CODES, VOCABULARY)
    with pytest.raises(ValueError, match="full attention"):
        beam_search(seeded(Qwen2ForCausalLM, config), prompts, trie, tokenizer, beams=4, scores="catalog")


def test_model_with_broken_weights_is_refused(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """A NaN in the last norm reaches every score, and would sort as the highest."""
    model, trie = llama(tokenizer.size), TrackTrie.build(CODES, VOCABULARY)
    torch.nn.init.constant_(model.model.norm.weight, torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        beam_search(model, prompts, trie, tokenizer, beams=4, scores="catalog")


def test_prompts_of_several_groups_are_those_alone(tokenizer: ExpandedTokenizer, prompts: Prompts) -> None:
    """Long prompts, given from long to short and too many for one pass, have the beams that each has alone."""
    model, trie = llama(tokenizer.size), TrackTrie.build(CODES, VOCABULARY)
    long = [np.concatenate([np.full(length, 7), prompts[0]]).astype(np.int32) for length in (1200, 900, 850, 20)]
    together = beam_search(model, long, trie, tokenizer, beams=5, scores="catalog")
    for row, prompt in enumerate(long):
        alone = beam_search(model, [prompt], trie, tokenizer, beams=5, scores="catalog")
        assert alone.sequences[0].tolist() == together.sequences[row].tolist()
        np.testing.assert_allclose(alone.scores[0], together.scores[row], atol=1e-4)
