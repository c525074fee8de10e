"""Models gain the rows of the music tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoTokenizer,
    CohereConfig,
    CohereForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.expansion import closing_id, expand_rows, open_base
from resources.sample.checkpoints.llama import FOLDER, write
from resources.talkplay_settings import MODALITIES, Talkplay

SMALL = Talkplay(hidden_size=16, layers=1, heads=2, feed_forward=24)
TEXTS, VOCABULARY = ["a calm track"], Vocabulary(MODALITIES, (2,) * 5)
SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.fixture(scope="module")
def tokenizer() -> ExpandedTokenizer:
    """Five modalities of two codes and a missing one after the text: 17 music tokens."""
    return expand_tokenizer(train_tokenizer(TEXTS, vocabulary_size=270), VOCABULARY)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny folder in the form of the published base, with its tokenizer."""
    models = tmp_path_factory.mktemp("models")
    write(models)
    return models / FOLDER


def llama(rows: int, width: int = 16) -> LlamaForCausalLM:
    """A tied model."""
    config = LlamaConfig(**SHAPE | {"hidden_size": width}, vocab_size=rows, tie_word_embeddings=True)
    return LlamaForCausalLM(config)


def base(kind: str, rows: int) -> PreTrainedModel:
    """A model that is not ours: untied GPT-2, tied Qwen2, or tied Llama."""
    if kind == "gpt2":
        config = GPT2Config(vocab_size=rows, n_embd=16, n_layer=1, n_head=2, tie_word_embeddings=False)
        return GPT2LMHeadModel(config)
    if kind == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**SHAPE, vocab_size=rows, num_key_value_heads=1, tie_word_embeddings=True))
    return llama(rows)


def test_the_papers_vocabulary_gains_5122_rows() -> None:
    """5 x 1,024 codes and two boundaries; at width 8 they are 5,122 x 8 parameters, and tied ones count once."""
    vocabulary = Vocabulary(MODALITIES, (1024,) * 5, has_missing=False)
    model = llama(300, width=8)
    before = sum(weight.numel() for weight in model.parameters())
    expansion = expand_rows(model, rows=300 + vocabulary.size, first_id=300, seed=7)
    assert expansion == (300, 5122, 5122 * 8, before + 5122 * 8)


def test_untied_rows_count_twice() -> None:
    """Input and output each gain 20 rows of 16."""
    model = base("gpt2", 300)
    before = sum(weight.numel() for weight in model.parameters())
    assert expand_rows(model, rows=320, first_id=300, seed=7) == (300, 20, 2 * 20 * 16, before + 2 * 20 * 16)


def test_old_rows_stay_and_new_rows_look_like_them() -> None:
    """Mean and covariance of 20,000 new rows are the old rows' within 5 % of its largest entry."""
    model = llama(300, width=8)
    scale = torch.diag(torch.arange(1.0, 9.0))
    scale[0, 1] = 3.0
    model.lm_head.weight.data = torch.randn(300, 8, generator=torch.Generator().manual_seed(1)) @ scale + 2.0
    model.model.embed_tokens.weight = model.lm_head.weight
    old = model.lm_head.weight.detach().clone()
    expand_rows(model, rows=20_300, first_id=300, seed=7)
    rows = model.get_input_embeddings().weight.detach()
    assert torch.equal(rows[:300], old)
    covariance = old.T.cov(correction=0)
    torch.testing.assert_close(rows[300:].mean(0), old.mean(0), rtol=0, atol=0.3)
    torch.testing.assert_close(rows[300:].T.cov(), covariance, rtol=0, atol=0.05 * float(covariance.max()))


def test_fewer_rows_than_dimensions_can_be_drawn_from() -> None:
    """Their covariance is singular: new rows lie in the plane of three old ones."""
    model = llama(3)
    expand_rows(model, rows=10, first_id=3, seed=7)
    rows = model.get_input_embeddings().weight.detach().double()
    centred = rows - rows[:3].mean(0)
    assert torch.linalg.matrix_rank(centred, tol=1e-4) == 2
    assert centred[3:].abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "llama"])
def test_models_that_are_not_ours_expand(kind: str) -> None:
    """Rows and config agree, tied stays tied, untied untied, and the logits have a place for each token."""
    model = base(kind, 300)
    expand_rows(model, rows=320, first_id=300, seed=7)
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    assert len(inputs) == len(outputs) == model.config.vocab_size == 320
    assert (inputs is outputs) == (kind != "gpt2")
    assert model(input_ids=torch.tensor([[1, 319]])).logits.shape == (1, 2, 320)


@pytest.mark.parametrize("padded", [310, 330])
def test_padded_rows_are_overwritten_or_cut(padded: int) -> None:
    """Rows beyond the tokenizer's, here of huge values, are neither kept nor drawn from."""
    model, plain = llama(padded), llama(300)
    model.lm_head.weight.data[300:] = 1e6
    plain.lm_head.weight.data = model.lm_head.weight.data[:300].clone()
    plain.model.embed_tokens.weight = plain.lm_head.weight
    for each in (model, plain):
        expand_rows(each, rows=320, first_id=300, seed=7)
    assert torch.equal(model.lm_head.weight, plain.lm_head.weight)


def test_a_heads_bias_grows_by_its_mean() -> None:
    """New tokens are neither likelier nor less likely for it."""
    model = PhiForCausalLM(PhiConfig(**SHAPE, vocab_size=300))
    model.lm_head.bias.data = torch.arange(300.0)
    expand_rows(model, rows=320, first_id=300, seed=7)
    assert model.lm_head.bias.shape == (320,)
    assert model.lm_head.bias[300:].unique().tolist() == [149.5]


def test_a_model_without_rows_for_the_text_is_an_error() -> None:
    """The tokenizer is another model's."""
    with pytest.raises(ValueError, match="the model has 200 rows, the music begins at 300 of 320"):
        expand_rows(llama(200), rows=320, first_id=300, seed=7)


def test_the_seed_alone_decides_the_weights(tokenizer: ExpandedTokenizer) -> None:
    """Neither torch's nor numpy's own random state matters, and neither is moved."""
    states = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        states.append(open_base(SMALL, tokenizer, folder=None, seed=7).model.state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = open_base(SMALL, tokenizer, folder=None, seed=8).model.state_dict()
    assert not torch.equal(
        states[0]["model.layers.0.self_attn.q_proj.weight"], other["model.layers.0.self_attn.q_proj.weight"]
    )


def test_the_small_llama_has_the_settings_sizes(tokenizer: ExpandedTokenizer) -> None:
    """Tied, float32, a row for each token; a layer has 4 x 16 x 16 + 3 x 16 x 24 weights and 2 x 16 of its norms."""
    model, expansion = open_base(SMALL, tokenizer, folder=None, seed=7)
    assert expansion.parameters == tokenizer.size * 16 + 4 * 16 * 16 + 3 * 16 * 24 + 3 * 16
    assert model.config.vocab_size == tokenizer.size == expansion.old_rows + expansion.new_rows
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_the_config_names_the_tokenizers_tokens(tokenizer: ExpandedTokenizer) -> None:
    """A message's closing ends generation."""
    config = open_base(SMALL, tokenizer, folder=None, seed=7).model.config
    assert config.eos_token_id == closing_id(tokenizer)
    assert tokenizer.tokenizer.convert_ids_to_tokens(closing_id(tokenizer)) == "<|end_of_turn|>"
    assert config.pad_token_id == tokenizer.pad_id


@pytest.mark.parametrize("kind", ["gpt2", "qwen2"])
def test_a_folders_model_is_opened(tmp_path: Path, kind: str) -> None:
    """Its own weights stay; bfloat16 files become float32."""
    saved = base(kind, 280).bfloat16()
    saved.save_pretrained(tmp_path)
    train_tokenizer(TEXTS, vocabulary_size=270).save_pretrained(tmp_path)
    tokenizer = expand_tokenizer(AutoTokenizer.from_pretrained(tmp_path, local_files_only=True), VOCABULARY)
    model, expansion = open_base(SMALL, tokenizer, folder=tmp_path, seed=7)
    assert expansion.old_rows == tokenizer.first_id
    rows = model.get_input_embeddings().weight
    assert rows.dtype == torch.float32
    np.testing.assert_array_equal(
        rows[: tokenizer.first_id].detach(), saved.get_input_embeddings().weight[: tokenizer.first_id].detach().float()
    )


def test_a_model_that_scales_its_logits_is_an_error(tmp_path: Path, tokenizer: ExpandedTokenizer) -> None:
    """The loss applies the head itself and would train another model than the one that generates."""
    config = CohereConfig(**SHAPE, vocab_size=tokenizer.first_id, logit_scale=0.1, pad_token_id=0)
    CohereForCausalLM(config).save_pretrained(tmp_path)
    train_tokenizer(TEXTS, vocabulary_size=270).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="CohereForCausalLM scales its logits"):
        open_base(SMALL, tokenizer, folder=tmp_path, seed=7)


def test_a_published_model_and_its_tokenizer_belong_together(published: Path) -> None:
    """The tokenizer that the shards were made with is the folder's, expanded."""
    own = expand_tokenizer(AutoTokenizer.from_pretrained(published, local_files_only=True), VOCABULARY)
    model, expansion = open_base(SMALL, own, folder=published, seed=7)
    assert (expansion.old_rows, expansion.new_rows) == (own.first_id, 17)
    assert model.config.vocab_size == own.size


def test_a_model_of_another_tokenizer_is_an_error(published: Path, tokenizer: ExpandedTokenizer) -> None:
    """It has rows enough for the shards' ids, which stand for other words."""
    assert AutoTokenizer.from_pretrained(published, local_files_only=True).vocab_size >= tokenizer.first_id
    with pytest.raises(ValueError, match=f"among the {tokenizer.first_id} of the shards; set shards.tokenizer to the"):
        open_base(SMALL, tokenizer, folder=published, seed=7)


def test_words_in_another_order_are_another_tokenizer(tmp_path: Path) -> None:
    """As many words, the same ones: two of them have changed ids, so their rows would be each other's."""
    trained, config = train_tokenizer(TEXTS, vocabulary_size=270), tmp_path / "tokenizer.json"
    llama(len(trained)).save_pretrained(tmp_path)
    trained.save_pretrained(tmp_path)
    content = json.loads(config.read_text())
    words = content["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    config.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{len(trained)} tokens, {len(trained) - 2} of them among"):
        open_base(SMALL, expand_tokenizer(trained, VOCABULARY), folder=tmp_path, seed=7)


def test_a_model_without_a_tokenizer_is_an_error(tmp_path: Path, tokenizer: ExpandedTokenizer) -> None:
    """Nothing says what its rows stand for."""
    llama(tokenizer.first_id).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="its tokenizer can't be opened"):
        open_base(SMALL, tokenizer, folder=tmp_path, seed=7)
