"""Sampling: a track as the paper's system writes it, or among the catalog's sequences alone; and the response's words.

Each prompt has its own stream of random numbers, from the seed and the prompt's ids, so that no result depends on the
batch (but for rounding). Nucleus sampling keeps the most probable tokens whose probabilities sum to top_p at least, all
those as probable as the last of them included, so that no order among equals is needed (Holtzman et al. 2020).
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from assets.shards.tokenizer import ExpandedTokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.naming import Named, Namer
from assets.training.prompt_cache import PromptCache, logits_of
from assets.training.prompts import missing_code
from assets.training.trie import TrackTrie

# B prompts, M modalities, V vocabulary, L response tokens
FIRST_SORTED = 256  # most nuclei are smaller, and sorting a whole vocabulary costs more than a small model
FINISHED = -1
Prompts = Sequence[npt.NDArray[np.integer[Any]]]


class Sampled(NamedTuple):
    """A track for each prompt: its codes int32 [B, M], K where a token was none of its place's; whether none was."""

    codes_BM: npt.NDArray[np.int32]
    is_formed_B: npt.NDArray[np.bool_]


@torch.inference_mode()
def sample_tracks(
    model: PreTrainedModel,
    prompts: Prompts,
    tokenizer: ExpandedTokenizer,
    *,
    temperature: float,
    top_p: float,
    seed: int,
    trie: TrackTrie | None,
    without: str = "",
) -> Sampled:
    """The track that follows each prompt of `prompts.prompt_ids`: one token a place, out of the whole vocabulary.

    With a trie, out of those that a sequence of the catalog has next. The place of a modality that the model was
    trained without, `without` or the trie's, is its missing code.
    """
    vocabulary, places = tokenizer.vocabulary, len(tokenizer.vocabulary.modalities)
    _check(temperature, top_p)
    if trie is not None and trie.vocabulary != vocabulary:
        raise ValueError(f"a trie of {trie.vocabulary}; wanted {vocabulary}: build it of the model's own tokens")
    if not len(prompts):
        return Sampled(np.empty((0, places), dtype=np.int32), np.empty(0, dtype=np.bool_))
    draws_BM, nodes_B = _draws(prompts, places, seed), np.zeros(len(prompts), dtype=np.int64)
    cache = PromptCache(model, prompts, room=places - 1)
    hidden_BD, columns = cache.last_BD, []
    for place, (modality, offset) in enumerate(zip(vocabulary.modalities, vocabulary.offsets, strict=True)):
        first = tokenizer.first_id + offset
        if modality == (trie.without if trie else without):
            codes_B = np.full(len(prompts), missing_code(vocabulary, modality))
        elif trie is None:
            logits_BV = logits_of(model, hidden_BD, 0, tokenizer.size)
            codes_B = _drawn(logits_BV, draws_BM[:, place], temperature, top_p) - first
        else:
            logits_BK = _allowed_logits(model, hidden_BD, place, nodes_B, trie, first)
            codes_B = _drawn(logits_BK, draws_BM[:, place], temperature, top_p)
        columns.append(codes_B)
        nodes_B = nodes_B if trie is None else trie.children(place, nodes_B, codes_B)
        if place < places - 1:
            hidden_BD = cache.feed_one(torch.from_numpy(first + codes_B), level=place)
    return _formed(np.stack(columns, axis=1), vocabulary)


def write_responses(
    model: PreTrainedModel,
    prompts: Prompts,
    tokenizer: ExpandedTokenizer,
    *,
    temperature: float,
    top_p: float,
    most_tokens: int,
    seed: int,
    names: Sequence[Named] = (),
) -> list[str]:
    """The response after each prompt of `prompts.response_prompt`, up to its turn's closing or `most_tokens`.

    It has one word's token at least, and no control or music token. With `names`, one for each prompt, the first
    quotation is that name.
    """
    steps = _response_tokens(model, prompts, tokenizer, temperature, top_p, most_tokens, seed, names)
    ids_BL = np.stack([*steps], axis=1) if len(prompts) else np.empty((0, 0), dtype=np.int64)
    return [_text(ids_L[ids_L != FINISHED], tokenizer) for ids_L in ids_BL]


@torch.inference_mode()
def _response_tokens(
    model: PreTrainedModel,
    prompts: Prompts,
    tokenizer: ExpandedTokenizer,
    temperature: float,
    top_p: float,
    most_tokens: int,
    seed: int,
    names: Sequence[Named],
) -> Iterator[npt.NDArray[np.int64]]:
    """The next token of each response, -1 for one that has ended; stops when all have."""
    _check(temperature, top_p)
    if most_tokens < 1:
        raise ValueError(f"most_tokens is {most_tokens}; wanted at least 1")
    if not len(prompts):
        return
    closing = int(tokenizer.marker_ids(tokenizer.chat.closing)[0])
    is_barred_V = torch.from_numpy(tokenizer.is_control).to(model.device)
    draws_BL = _draws(prompts, most_tokens, seed)
    namers = [Namer(named, tokenizer) for named in names]
    cache = PromptCache(model, prompts, room=most_tokens - 1)
    hidden_BD, is_open_B = cache.last_BD, np.ones(len(prompts), dtype=np.bool_)
    for level in range(most_tokens):
        logits_BV = logits_of(model, hidden_BD, 0, tokenizer.size)
        closing_B = logits_BV[:, closing].clone()
        logits_BV.masked_fill_(is_barred_V, -torch.inf)
        if level:
            logits_BV[:, closing] = closing_B
        tokens_B = _drawn(logits_BV, draws_BL[:, level], temperature, top_p)
        if namers:
            tokens_B = np.array([namer.written(int(drawn)) for namer, drawn in zip(namers, tokens_B, strict=True)])
        is_open_B &= tokens_B != closing
        if not is_open_B.any():
            return
        yield np.where(is_open_B, tokens_B, FINISHED)
        if level < most_tokens - 1:
            hidden_BD = cache.feed_one(torch.from_numpy(tokens_B), level=level)


def _allowed_logits(
    model: PreTrainedModel,
    hidden_BD: Tensor,
    place: int,
    nodes_B: npt.NDArray[np.int64],
    trie: TrackTrie,
    first: int,
) -> Tensor:
    """Of a place's codes, whose ids begin at `first`; -inf where no sequence goes on with one."""
    logits_BK = logits_of(model, hidden_BD, first, first + trie.vocabulary.sizes[place])
    is_allowed_BK = torch.from_numpy(trie.allowed(place, nodes_B)).to(model.device)
    return logits_BK.masked_fill_(~is_allowed_BK, -torch.inf)


def _formed(codes_BM: npt.NDArray[np.int64], vocabulary: Vocabulary) -> Sampled:
    """Codes with those that are none of their place's, by the distance of their ids, made the missing one."""
    is_own_BM = (codes_BM >= 0) & (codes_BM < vocabulary.sizes)
    is_formed_B = np.logical_and.reduce(is_own_BM, axis=1)
    return Sampled(np.where(is_own_BM, codes_BM, vocabulary.codes).astype(np.int32), is_formed_B)


def _check(temperature: float, top_p: float) -> None:
    if not (temperature > 0 and 0 < top_p <= 1):
        raise ValueError(f"temperature is {temperature} and top_p {top_p}; wanted above 0, the latter at most 1")


def _draws(prompts: Prompts, count: int, seed: int) -> npt.NDArray[np.float64]:
    """Numbers from 0 to below 1, [B, count], that depend on the seed and each prompt's ids alone."""
    return np.stack([_stream(prompt, seed).random(count) for prompt in prompts])


def _stream(prompt: npt.NDArray[np.integer[Any]], seed: int) -> np.random.Generator:
    digest = hashlib.sha256(np.asarray(prompt, dtype="<i4").tobytes()).digest()
    return np.random.default_rng([seed % 2**64, *np.frombuffer(digest, dtype="<u8").tolist()])


def _drawn(
    logits_BV: Tensor, draws_B: npt.NDArray[np.float64], temperature: float, top_p: float
) -> npt.NDArray[np.int64]:
    """A token of each row's nucleus: where the running sum over tokens in id order passes the drawn share of all."""
    chances_BV = (logits_BV / temperature).softmax(dim=-1)
    if top_p < 1:
        chances_BV = chances_BV.where(chances_BV >= _least(chances_BV, top_p), 0)
    sums_BV = chances_BV.cumsum(dim=-1, dtype=torch.float64)
    totals_B1 = sums_BV[:, -1:]
    aims_B1 = totals_B1 * torch.from_numpy(draws_B).to(totals_B1.device)[:, None]
    # A product may round up to the whole sum, which no running sum passes.
    aims_B1 = torch.minimum(aims_B1, torch.nextafter(totals_B1, torch.zeros_like(totals_B1)))
    tokens: npt.NDArray[np.int64] = torch.searchsorted(sums_BV, aims_B1, right=True)[:, 0].cpu().numpy()
    return tokens


def _least(chances_BV: Tensor, top_p: float) -> Tensor:
    """The probability of the last token of each row's nucleus, [B, 1]."""
    few = min(FIRST_SORTED, chances_BV.shape[1])
    highest_BF = chances_BV.topk(few, dim=1).values
    if few < chances_BV.shape[1] and bool((highest_BF.sum(dim=1) < top_p).any()):
        highest_BF = _descending(chances_BV)
    place_B1 = (highest_BF.cumsum(dim=1) < top_p).sum(dim=1, keepdim=True)
    return highest_BF.gather(1, place_B1.clamp(max=highest_BF.shape[1] - 1))


def _descending(chances_BV: Tensor) -> Tensor:
    if chances_BV.is_cuda:
        return chances_BV.sort(dim=1, descending=True).values
    # On a processor numpy sorts bare numbers six times as fast as torch, which carries their places along.
    return torch.from_numpy(-np.sort(-chances_BV.numpy(), axis=1))


def _text(ids: Sequence[int] | npt.NDArray[np.int64], tokenizer: ExpandedTokenizer) -> str:
    return str(tokenizer.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
