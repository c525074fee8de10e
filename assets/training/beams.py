"""Beam search among the catalog's token sequences: a ranking of real tracks by the model's own probabilities.

The prompts are fed once; each place feeds the tokens of all beams of all conversations in one pass, a mask telling them
apart (`prompt_cache.py`), and computes the logits of that place's tokens alone. With as many beams as the catalog has
sequences nothing is pruned and the ranking is exact. This goes beyond TalkPlay, which samples (section 4.4).
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from assets.shards.tokenizer import ExpandedTokenizer
from assets.training.prompt_cache import PromptCache, logits_of
from assets.training.trie import TrackTrie

# B conversations, W beams, M modalities, P prefixes (B x W), K codes of a place, X tokens fed so far, D hidden
NONE = -1
LOGITS_AT_ONCE = 1 << 26  # 256 MB


class Beams(NamedTuple):
    """The best sequences of each conversation, [B, W] and [B, W, M], best first; equal ones in the trie's order.

    `sequences` are the trie's, -1 (score -inf) where it has fewer; a score is the sum of its places' log-probabilities.
    """

    sequences: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    place_scores: npt.NDArray[np.float32]


class _Frontier(NamedTuple):
    """Prefixes, ascending in each conversation: nodes, scores, which fed tokens are theirs, and their last ids."""

    nodes_BW: npt.NDArray[np.int64]
    scores_BW: Tensor
    place_scores_BWM: Tensor
    sees_BWX: Tensor
    ids_BW: Tensor


@torch.inference_mode()
def beam_search(
    model: PreTrainedModel,
    prompts: Sequence[npt.NDArray[np.integer[Any]]],
    trie: TrackTrie,
    tokenizer: ExpandedTokenizer,
    *,
    beams: int,
    scores: Literal["catalog", "vocabulary"],
) -> Beams:
    """The tracks that the model would most probably write after each prompt of `prompts.prompt_ids`.

    A token's probability is among those that the catalog allows after its prefix, or among the whole vocabulary. The
    place of a modality that the trie is without counts nothing. No result depends on the batch but for rounding.
    """
    if beams < 1 or trie.vocabulary != tokenizer.vocabulary:
        raise ValueError(f"{beams} beams, a trie of {trie.vocabulary}; wanted at least 1 and {tokenizer.vocabulary}")
    places = len(tokenizer.vocabulary.modalities)
    if not prompts:
        return _padded(np.empty((0, 0), dtype=np.int64), torch.empty(0, 0), torch.empty(0, 0, places), beams)
    cache = PromptCache(model, prompts, room=beams * (places - 1))
    hidden_BWD, frontier = cache.last_BD[:, None], _root(len(prompts), model.device)
    for place in range(places):
        if place:
            hidden_BWD = cache.feed(frontier.ids_BW, frontier.sees_BWX, level=place - 1)
        added_BWK = _log_probabilities(model, hidden_BWD, frontier.nodes_BW, place, trie, tokenizer, scores)
        frontier = _extended(frontier, added_BWK, place, trie, beams=beams, first_id=_first_id(tokenizer, place))
    return _padded(frontier.nodes_BW, frontier.scores_BW, frontier.place_scores_BWM, beams)


def _root(conversations: int, device: torch.device) -> _Frontier:
    scores = torch.zeros(conversations, 1, device=device)
    sees = torch.zeros(conversations, 1, 0, dtype=torch.bool, device=device)
    nodes = np.zeros((conversations, 1), dtype=np.int64)
    return _Frontier(nodes, scores, scores.new_zeros(conversations, 1, 0), sees, scores.new_empty(conversations, 0))


def _first_id(tokenizer: ExpandedTokenizer, place: int) -> int:
    return tokenizer.first_id + tokenizer.vocabulary.offsets[place]


def _log_probabilities(
    model: PreTrainedModel,
    hidden_BWD: Tensor,
    nodes_BW: npt.NDArray[np.int64],
    place: int,
    trie: TrackTrie,
    tokenizer: ExpandedTokenizer,
    scores: Literal["catalog", "vocabulary"],
) -> Tensor:
    """Of each code of a place, -inf for those that the trie does not have."""
    first, size = _first_id(tokenizer, place), tokenizer.vocabulary.sizes[place]
    is_allowed_PK = torch.from_numpy(trie.allowed(place, nodes_BW.reshape(-1))).to(model.device)
    is_allowed_BWK = is_allowed_PK.view(*nodes_BW.shape, size)
    if tokenizer.vocabulary.modalities[place] == trie.without:
        return torch.zeros_like(is_allowed_BWK, dtype=torch.float32).masked_fill_(~is_allowed_BWK, -torch.inf)
    logits_BWK = logits_of(model, hidden_BWD, first, first + size)
    if scores == "vocabulary":
        logits_BWK -= _normalizers(model, hidden_BWD, tokenizer.size)[..., None]
        return logits_BWK.masked_fill_(~is_allowed_BWK, -torch.inf)
    return logits_BWK.masked_fill_(~is_allowed_BWK, -torch.inf).log_softmax(dim=-1)


def _normalizers(model: PreTrainedModel, hidden_BWD: Tensor, rows: int) -> Tensor:
    """The logarithm of the sum over the vocabulary, in parts: 4,096 prefixes by 128,000 words would take 2 GB."""
    parts = hidden_BWD.flatten(0, 1).split(max(LOGITS_AT_ONCE // rows, 1))
    sums = [logits_of(model, part, 0, rows).logsumexp(dim=-1) for part in parts]
    return torch.cat(sums).view(hidden_BWD.shape[:2])


def _extended(
    frontier: _Frontier, added_BWK: Tensor, place: int, trie: TrackTrie, *, beams: int, first_id: int
) -> _Frontier:
    """The best prefixes that are one code longer.

    There are min(beams, nodes of the depth) in every conversation: each kept prefix has a child, and where fewer than
    `beams` prefixes were kept they were all there are.
    """
    size, width = added_BWK.shape[2], min(beams, trie.nodes(place + 1))
    scores_BC = (frontier.scores_BW[..., None] + added_BWK).flatten(1)
    picked_BW = _best(scores_BC, width)
    parents_BW, codes_BW = picked_BW // size, picked_BW % size
    nodes_BW = np.take_along_axis(frontier.nodes_BW, parents_BW.cpu().numpy(), axis=1)
    nodes_BW = trie.children(place, nodes_BW, codes_BW.cpu().numpy())
    inherited_BWM = _of_parents(frontier.place_scores_BWM, parents_BW)
    own_BW1 = added_BWK.flatten(1).gather(1, picked_BW)[..., None]
    own_token = torch.eye(width, dtype=torch.bool, device=picked_BW.device).expand(len(picked_BW), -1, -1)
    return _Frontier(
        nodes_BW,
        scores_BC.gather(1, picked_BW),
        torch.cat([inherited_BWM, own_BW1], dim=2),
        torch.cat([_of_parents(frontier.sees_BWX, parents_BW), own_token], dim=2),
        first_id + codes_BW,
    )


def _best(scores_BC: Tensor, width: int) -> Tensor:
    """Places, ascending, of the `width` highest in each row; of equal ones the first. topk alone leaves ties open."""
    last_B1 = scores_BC.topk(width, dim=1).values[:, -1:]
    is_above_BC, is_last_BC = scores_BC > last_B1, scores_BC == last_B1
    left_B1 = width - is_above_BC.sum(dim=1, keepdim=True)
    is_best_BC = is_above_BC | is_last_BC & (is_last_BC.cumsum(dim=1) <= left_B1)
    return is_best_BC.nonzero()[:, 1].view(len(scores_BC), width)


def _of_parents(values_BWX: Tensor, parents_BW: Tensor) -> Tensor:
    return values_BWX.gather(1, parents_BW[..., None].expand(-1, -1, values_BWX.shape[2]))


def _padded(nodes_BW: npt.NDArray[np.int64], scores_BW: Tensor, place_scores_BWM: Tensor, beams: int) -> Beams:
    """Best first, filled up to `beams`. A stable sort: the prefixes came in the trie's order."""
    order_BW = scores_BW.argsort(dim=1, descending=True, stable=True)
    rows, found, places = place_scores_BWM.shape
    result = Beams(
        np.full((rows, beams), NONE, dtype=np.int32),
        np.full((rows, beams), -np.inf, dtype=np.float32),
        np.full((rows, beams, places), -np.inf, dtype=np.float32),
    )
    result.sequences[:, :found] = np.take_along_axis(nodes_BW, order_BW.cpu().numpy(), axis=1)
    result.scores[:, :found] = scores_BW.gather(1, order_BW).cpu().numpy()
    result.place_scores[:, :found] = _of_parents(place_scores_BWM, order_BW).cpu().numpy()
    return result
