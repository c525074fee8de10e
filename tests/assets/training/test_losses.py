"""Cross-entropy of packed rows."""

from itertools import pairwise
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
)

from assets.shards.packing import IGNORED_LABEL, RowBlock, Sequences, fill_rows, pack
from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.losses import Summed, blanked, blanking, count_labels, summed_cross_entropy

ROWS, CONTEXT = 40, 32


def model_of(kind: str) -> PreTrainedModel:
    """A tiny model with drawn weights: tied, untied, or with a bias in its head."""
    shape = {"vocab_size": ROWS, "hidden_size": 16, "num_hidden_layers": 2}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if kind == "gpt2":
            config = GPT2Config(vocab_size=ROWS, n_embd=16, n_layer=2, n_head=2, initializer_range=0.5)
            return GPT2LMHeadModel(config).eval()
        more = {"num_attention_heads": 4, "intermediate_size": 24, "initializer_range": 0.5}
        if kind == "phi":
            return PhiForCausalLM(PhiConfig(**shape, **more)).eval()
        return LlamaForCausalLM(LlamaConfig(**shape, **more, num_key_value_heads=2, tie_word_embeddings=True)).eval()


def packed(lengths: list[int], seed: int) -> RowBlock:
    """Sequences of random ids, half of them labelled, in rows."""
    generator = np.random.default_rng(seed)
    tokens = sum(lengths)
    sequences = Sequences(
        generator.integers(1, ROWS, tokens).astype(np.int32),
        generator.random(tokens) < 0.5,
        np.cumsum([0, *lengths], dtype=np.int64),
    )
    packing = pack(sequences.lengths, context_length=CONTEXT, seed=seed)
    return fill_rows(sequences, packing, slice(None), context_length=CONTEXT, pad_id=0)


def one_by_one(model: PreTrainedModel, block: RowBlock) -> torch.Tensor:
    """The same by the model's own logits of each sequence alone."""
    losses = []
    for ids, labels, positions in zip(*block, strict=True):
        bounds = [*np.flatnonzero(positions == 0), CONTEXT]
        for start, stop in pairwise(bounds):
            logits = model(input_ids=torch.tensor(ids[None, start:stop]).long()).logits[0, :-1]
            targets = torch.tensor(labels[start + 1 : stop]).long()
            losses.append(cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORED_LABEL))
    return torch.stack(losses).sum()


def gradients(model: PreTrainedModel, loss: torch.Tensor) -> list[torch.Tensor]:
    """Of all parameters."""
    return list(torch.autograd.grad(loss, list(model.parameters())))


def in_float32(model: PreTrainedModel, block: RowBlock) -> Summed:
    """On the CPU."""
    return summed_cross_entropy(model, block, device="cpu", precision="float32")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi"])
def test_packed_rows_are_sequences_one_by_one(kind: str) -> None:
    """Loss and gradients of packed rows are those of each sequence alone, for a tied, an untied and a biased head."""
    model, block = model_of(kind), packed([5, 9, 30, 2, 17, 12, 1], seed=1)
    found, wanted = in_float32(model, block), one_by_one(model, block)
    torch.testing.assert_close(found.loss, wanted, rtol=1e-5, atol=1e-4)
    for ours, theirs in zip(gradients(model, found.loss), gradients(model, wanted), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, CONTEXT), min_size=1, max_size=8), st.integers(0, 9))
def test_any_packing_is_its_sequences(lengths: list[int], seed: int) -> None:
    """Whatever the lengths, neighbours in a row change nothing."""
    model, block = model_of("llama"), packed(lengths, seed)
    with torch.no_grad():
        torch.testing.assert_close(in_float32(model, block).loss, one_by_one(model, block), rtol=1e-5, atol=1e-4)


def test_transformers_mask_gives_the_same() -> None:
    """With layers computed again for the gradient, rows pass as they are: the same gradients."""
    block, plain, checkpointed = packed([20, 11, 7, 25], seed=2), model_of("llama"), model_of("llama")
    checkpointed.train().activation_checkpointing_enable()
    both = zip(*(gradients(model, in_float32(model, block).loss) for model in (plain, checkpointed)), strict=True)
    for by_sequence, by_mask in both:
        torch.testing.assert_close(by_sequence, by_mask, rtol=1e-4, atol=1e-4)


def test_a_model_that_knows_nothing_loses_log_of_the_rows() -> None:
    """Zero weights give each of 40 tokens 1/40: a labelled token costs log 40."""
    model, block = model_of("llama"), packed([5, 9, 30], seed=1)
    for weight in model.parameters():
        weight.data.zero_()
    summed = in_float32(model, block)
    assert summed.labels == count_labels(block) > 0
    assert float(summed.loss.detach()) == pytest.approx(summed.labels * log(ROWS), rel=1e-5)


def test_a_sequences_first_token_is_not_predicted() -> None:
    """Nothing comes before it in its sequence, so its label counts nothing."""
    positions = np.array([[0, 1, 2, 0, 1, 2]], dtype=np.int32)
    labels = np.array([[-100, 5, -100, 6, 7, -100]], dtype=np.int32)
    block = RowBlock(np.full((1, 6), 4, np.int32), labels, positions)
    assert in_float32(model_of("llama"), block).labels == count_labels(block) == 2


def test_no_labels_cost_nothing() -> None:
    """A block without labels has loss 0 and gradients of 0, as a step's rows may."""
    model, block = model_of("llama"), packed([5], seed=1)
    summed = in_float32(model, block._replace(labels=np.full_like(block.labels, IGNORED_LABEL)))
    summed.loss.backward()
    assert summed.labels == 0
    assert float(summed.loss.detach()) == 0.0


def test_rows_add_up() -> None:
    """Two rows alone have the sum of the two together, so that a step can be accumulated."""
    model, block = model_of("llama"), packed([30, 31], seed=4)
    both = in_float32(model, block)
    alone = [in_float32(model, RowBlock(*(array[row : row + 1] for array in block))) for row in range(2)]
    assert sum(part.labels for part in alone) == both.labels
    torch.testing.assert_close(alone[0].loss + alone[1].loss, both.loss)


def test_bfloat16_is_near_float32_and_summed_in_it() -> None:
    """Only products are rounded: the loss is within 2 %, in float32."""
    model, block = model_of("llama"), packed([20, 11, 7, 25], seed=2)
    rounded = summed_cross_entropy(model, block, device="cpu", precision="bfloat16")
    assert rounded.loss.dtype == torch.float32
    assert float(rounded.loss.detach()) == pytest.approx(float(in_float32(model, block).loss.detach()), rel=0.02)


def test_equal_calls_give_equal_bits() -> None:
    """Loss and gradients in bfloat16 are the same to the bit, which resumed training needs."""
    model, block = model_of("llama"), packed([20, 11, 7, 25], seed=2)
    runs = [summed_cross_entropy(model, block, device="cpu", precision="bfloat16").loss for _ in range(2)]
    first, second = ([loss, *gradients(model, loss)] for loss in runs)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, second, strict=True))


def test_the_model_is_left_as_it_was() -> None:
    """Attention by sequence is for the loss alone: what generates with the model later has its own."""
    model = model_of("llama")
    in_float32(model, packed([5], seed=1))
    assert model.config._attn_implementation == "sdpa"


@pytest.fixture(scope="module")
def tokenizer() -> ExpandedTokenizer:
    """Two modalities of three codes."""
    vocabulary = Vocabulary(("playlist", "audio"), (3, 3))
    return expand_tokenizer(train_tokenizer(["a calm track"], vocabulary_size=270), vocabulary)


def test_a_blank_is_a_modalitys_ids(tokenizer: ExpandedTokenizer) -> None:
    """Audio comes after playlist's three codes and its missing one."""
    blank = blanking(tokenizer, "audio")
    assert blank is not None
    assert blank._asdict() == {
        "first": tokenizer.first_id + 4,
        "stop": tokenizer.first_id + 8,
        "missing": tokenizer.first_id + 7,
    }


def test_no_modality_blanks_nothing(tokenizer: ExpandedTokenizer) -> None:
    """The full model's rows stay as they are."""
    block = packed([5], seed=1)
    assert blanking(tokenizer, "") is None
    assert blanked(block, None) is block


def test_a_blanked_modality_is_missing_and_not_learned(tokenizer: ExpandedTokenizer) -> None:
    """Its codes become the missing one, without labels; everything else stays."""
    codes_NM = np.array([[2, 1]])
    ids = np.concatenate([[5], tokenizer.vocabulary.token_ids(codes_NM, tokenizer.first_id)[0]])[None].astype(np.int32)
    found = blanked(RowBlock(ids, ids, np.arange(3, dtype=np.int32)[None]), blanking(tokenizer, "audio"))
    assert found.input_ids.tolist() == [[5, ids[0, 1], tokenizer.first_id + 7]]
    assert found.labels.tolist() == [[5, ids[0, 1], IGNORED_LABEL]]
    assert found.input_ids.dtype == found.labels.dtype == np.int32
