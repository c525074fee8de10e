"""A causal language model gains the music tokens: rows of its embeddings that look like those it had.

The new rows are drawn from a normal distribution with mean and covariance of the old ones (Hewitt 2021, "Initializing
new word embeddings for pretrained language models"), as TalkPlay (arXiv 2502.13713) does. transformers' own
`mean_resizing` scales the covariance by 1e-9, which makes all new rows one.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from assets.shards.tokenizer import ExpandedTokenizer
from resources.talkplay_settings import Talkplay
from resources.torch_turn import cpu_threads

# V vocabulary rows, N new rows, D hidden


class Expansion(NamedTuple):
    """Rows that stayed and rows that were drawn; parameters, each tied matrix counted once."""

    old_rows: int
    new_rows: int
    new_parameters: int
    parameters: int


class Opened(NamedTuple):
    """A model with a row for each token of its tokenizer."""

    model: Any  # PreTrainedModel
    expansion: Expansion


def open_base(settings: Talkplay, tokenizer: ExpandedTokenizer, *, folder: Path | None, seed: int) -> Opened:
    """The model to train, float32: from a folder, or without one a small Llama with weights drawn from the seed.

    Raises ValueError for a folder whose own tokenizer is not the one that was expanded.
    """
    if folder is None:
        model = _small_llama(settings, tokenizer.first_id, seed)
    else:
        _check_words(folder, tokenizer)
        model = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
        )
        _check_head(model, folder)
    with cpu_threads(settings.threads):  # they decide the last bits of new rows, by which a training is known again
        expansion = expand_rows(model, rows=tokenizer.size, first_id=tokenizer.first_id, seed=seed)
    _name_tokens(model.config, tokenizer)
    return Opened(model, expansion)


def expand_rows(model: Any, *, rows: int, first_id: int, seed: int) -> Expansion:
    """Give input and output embeddings exactly `rows` rows, those from `first_id` on drawn anew.

    Rows that the model has beyond `first_id` (embeddings padded to a round number) are overwritten or cut off.
    """
    old_rows = len(model.get_input_embeddings().weight)
    if not 1 < first_id <= min(old_rows, rows):
        raise ValueError(
            f"the model has {old_rows} rows, the music begins at {first_id} of {rows}; wanted a model with a row for "
            "each token of its own tokenizer: take model and tokenizer from one folder"
        )
    with torch.random.fork_rng(devices=[]):  # resizing draws rows of its own, which are overwritten
        model.resize_token_embeddings(rows, mean_resizing=False)
    generator = np.random.default_rng(seed)
    matrices = _matrices(model)
    for weight in matrices:
        _draw_rows(weight, first_id, generator)
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is not None:
        bias.data[first_id:] = bias.data[:first_id].mean()
    assert all(len(weight) == rows for weight in matrices)
    assert model.config.get_text_config().vocab_size == rows
    widths = sum(weight.shape[1] for weight in matrices) + (bias is not None)
    return Expansion(
        first_id, rows - first_id, (rows - first_id) * widths, sum(tensor.numel() for tensor in model.parameters())
    )


def closing_id(tokenizer: ExpandedTokenizer) -> int:
    """The control token that ends a message."""
    ids = tokenizer.marker_ids(tokenizer.chat.closing)
    return int(ids[tokenizer.is_control[ids]][0])


def _small_llama(settings: Talkplay, rows: int, seed: int) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.feed_forward,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        if weight.ndim > 1:
            nn.init.normal_(weight, std=config.initializer_range, generator=generator)
    return model


def _check_words(folder: Path, tokenizer: ExpandedTokenizer) -> None:
    """Refuse a model whose rows stand for other words than the shards' ids do."""
    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False).get_vocab()
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder}: its tokenizer can't be opened; wanted the one that shards are made with"
        ) from error
    wanted = {word: place for word, place in tokenizer.tokenizer.get_vocab().items() if place < tokenizer.first_id}
    if found != wanted:
        raise ValueError(
            f"{folder}: its tokenizer has {len(found)} tokens, {len(found.items() & wanted.items())} of them among the "
            f"{len(wanted)} of the shards; set shards.tokenizer to the model's folder and make the shards again"
        )


@torch.no_grad()
def _check_head(model: Any, folder: Path) -> None:
    """Losses and decoding apply the head themselves: refuse a model that does more to its logits."""
    ids = torch.arange(4)[None]
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    if not torch.allclose(model.get_output_embeddings()(hidden), model(input_ids=ids).logits, atol=1e-4):
        raise ValueError(f"{folder}: {type(model).__name__} scales its logits; wanted a model with a linear head alone")


def _name_tokens(config: Any, tokenizer: ExpandedTokenizer) -> None:
    config.bos_token_id, config.pad_token_id = tokenizer.tokenizer.bos_token_id, tokenizer.pad_id
    config.eos_token_id = closing_id(tokenizer)


def _matrices(model: Any) -> list[Tensor]:
    """The input embeddings' matrix, and the head's if it is another."""
    inputs, outputs = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return [inputs] if outputs is inputs else [inputs, outputs]


@torch.no_grad()
def _draw_rows(weight_VD: Tensor, first_id: int, generator: np.random.Generator) -> None:
    old_VD = weight_VD[:first_id].double().cpu()
    mean_D = old_VD.mean(dim=0)
    values_D, vectors_DD = torch.linalg.eigh((old_VD - mean_D).T.cov(correction=0))
    root_DD = vectors_DD * values_D.clamp(min=0).sqrt()
    normal_ND = torch.from_numpy(generator.standard_normal((len(weight_VD) - first_id, len(mean_D))))
    weight_VD[first_id:] = (mean_D + normal_ND @ root_DD.T).to(weight_VD)
