"""Cross-entropy of packed rows over their labelled tokens (TalkPlay, arXiv 2502.13713, eq. 1).

A token is predicted from those before it in its own sequence. The head, whose matrix has a row for each token, is
applied only where the next token is labelled, and its gradient is made with the loss, some places at a time: logits
and their gradient would be the largest arrays of a step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from assets.shards.packing import IGNORED_LABEL, RowBlock
from assets.shards.tokenizer import ExpandedTokenizer

# B rows, C context length, T tokens, P labelled places, D hidden, V vocabulary rows
Precision = Literal["float32", "bfloat16"]
LOGITS_AT_ONCE = 1 << 20  # they stay in a CPU's cache
LEAST_PLACES = 256  # fewer at once make slow products
BY_SEQUENCE = "by_sequence"


class Summed(NamedTuple):
    """Cross-entropy summed over the labelled tokens, in nats, and how many they are."""

    loss: Tensor
    labels: int


class Blank(NamedTuple):
    """The ids `first` to before `stop` of a modality that is left out, and the one that stands for all of them."""

    first: int
    stop: int
    missing: int


class _Inputs(NamedTuple):
    """Tokens [R, T] as the model takes them, and among them, flattened, the places whose next token is labelled."""

    input_ids: Tensor
    position_ids: Tensor
    places_P: Tensor
    targets_P: Tensor
    more: dict[str, Any]


def summed_cross_entropy(model: Any, block: RowBlock, *, device: torch.device | str, precision: Precision) -> Summed:
    """The sum over a block's labelled tokens, as if its sequences were given one by one.

    In bfloat16 the products are; weights, sums and the loss itself stay float32.
    """
    device, head = torch.device(device), model.get_output_embeddings()
    is_by_sequence = _attends_by_sequence(model, device)
    inputs = (_sequences if is_by_sequence else _rows)(block, device)
    if not len(inputs.places_P):
        return Summed(head.weight.sum() * 0.0, 0)
    with _attention(model, is_by_sequence), torch.autocast(device.type, torch.bfloat16, precision == "bfloat16"):
        output = model.base_model(
            input_ids=inputs.input_ids, position_ids=inputs.position_ids, use_cache=False, **inputs.more
        )
    hidden_TD = output.last_hidden_state.flatten(0, 1)
    bias = getattr(head, "bias", None)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    # `ctx.needs_input_grad` is blind to no_grad, and a validation would make gradients to throw away.
    weight, bias = (
        tensor if torch.is_grad_enabled() or tensor is None else tensor.detach() for tensor in (head.weight, bias)
    )
    loss = _HeadLoss.apply(hidden_TD, weight, bias, inputs.places_P, inputs.targets_P, dtype)
    return Summed(loss, len(inputs.places_P))


def count_labels(block: RowBlock) -> int:
    """The labelled tokens of a block as `summed_cross_entropy` counts them."""
    return int(_is_place(block).sum())


def blanking(tokenizer: ExpandedTokenizer, modality: str) -> Blank | None:
    """The ids of a modality to leave out; None for no modality. Raises ValueError where it has no missing token."""
    if not modality:
        return None
    vocabulary = tokenizer.vocabulary
    place = vocabulary.modalities.index(modality)
    missing = vocabulary.codes[place]
    vocabulary.token(modality, missing)
    first = tokenizer.first_id + vocabulary.offsets[place]
    return Blank(first, first + missing + 1, first + missing)


def blanked(block: RowBlock, blank: Blank | None) -> RowBlock:
    """The block as if no track had the modality; nothing is learned of it."""
    if blank is None:
        return block
    is_blank_BC = (block.input_ids >= blank.first) & (block.input_ids < blank.stop)
    return block._replace(
        input_ids=np.where(is_blank_BC, np.int32(blank.missing), block.input_ids),
        labels=np.where(is_blank_BC, np.int32(IGNORED_LABEL), block.labels),
    )


def _is_place(block: RowBlock) -> npt.NDArray[np.bool_]:
    """[B, C], whether the token after a place is labelled and of the same sequence."""
    is_place_BC = np.zeros(block.labels.shape, dtype=np.bool_)
    is_place_BC[:, :-1] = (block.labels[:, 1:] != IGNORED_LABEL) & (block.position_ids[:, 1:] > 0)
    return is_place_BC


def _rows(block: RowBlock, device: torch.device) -> _Inputs:
    """The rows as they are: transformers sees by the positions where sequences begin, and makes a mask of it."""
    places_P = np.flatnonzero(_is_place(block))
    return _Inputs(
        _tensor(block.input_ids, device),
        _tensor(block.position_ids, device),
        _tensor(places_P, device),
        _tensor(block.labels.ravel()[places_P + 1], device),
        more={},
    )


def _sequences(block: RowBlock, device: torch.device) -> _Inputs:
    """The sequences one after the other, each up to its last place: the padding has none, so it is dropped."""
    is_place_T, position_ids_T = _is_place(block).ravel(), block.position_ids.ravel()
    starts = np.flatnonzero(position_ids_T == 0)
    stops = np.maximum.reduceat(np.where(is_place_T, np.arange(1, len(is_place_T) + 1), 0), starts)
    lengths = np.maximum(stops - starts, 0)
    kept = np.flatnonzero(position_ids_T < np.repeat(lengths, np.diff(starts, append=len(is_place_T))))
    ids_T, labels_T = block.input_ids.ravel()[kept], block.labels.ravel()[1:]
    places_P = np.flatnonzero(is_place_T[kept])
    return _Inputs(
        _tensor(ids_T[None], device),
        _tensor(position_ids_T[None, kept], device),
        _tensor(places_P, device),
        _tensor(labels_T[kept[places_P]], device),
        more={"lengths": lengths[lengths > 0].tolist()},
    )


def _tensor(array: npt.NDArray[np.integer], device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.int64)).to(device)


def _attends_by_sequence(model: Any, device: torch.device) -> bool:
    """Whether attention is made sequence by sequence: on a CPU half the time of a step goes to what a mask hides.

    Only for Llama, whose attention is known to be nothing but causal, and not where layers are computed again when
    the gradient is, with whatever attention the model has then.
    """
    is_llama = model.config.model_type == "llama" and model.config._attn_implementation == "sdpa"
    return is_llama and device.type == "cpu" and not model.is_activation_checkpointing


@contextmanager
def _attention(model: Any, is_by_sequence: bool) -> Iterator[None]:
    before = model.config._attn_implementation
    model.config._attn_implementation = BY_SEQUENCE if is_by_sequence else before
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _attend_by_sequence(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, *, lengths: list[int], **kwargs: Any
) -> tuple[Tensor, None]:
    """Causal attention of sequences in one row; tensors [1, heads, T, D of a head], the result [1, T, heads, D]."""
    with torch.autocast(query.device.type, enabled=False):  # at these lengths bfloat16 attention is no faster
        parts = zip(*(tensor.float().split(lengths, dim=2) for tensor in (query, key, value)), strict=True)
        attended = [sdpa_attention_forward(module, *part, attention_mask, **kwargs)[0] for part in parts]
        return torch.cat(attended, dim=1), None


AttentionInterface.register(BY_SEQUENCE, _attend_by_sequence)


class _HeadLoss(torch.autograd.Function):
    """Sum of cross-entropies of the head's logits at some places; its gradients are ready before `backward`."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_TD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        places_P: Tensor,
        targets_P: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        """Float32 scalar."""
        is_learned, weights_VD = any(ctx.needs_input_grad), weight_VD.to(dtype)
        hidden_PD = hidden_TD.index_select(0, places_P).to(dtype)
        loss, to_hidden_PD = hidden_TD.new_zeros((), dtype=torch.float32), torch.empty_like(hidden_PD)
        to_weight_VD, to_bias_V = (torch.zeros_like(like, dtype=torch.float32) for like in (weight_VD, weight_VD[:, 0]))
        size = max(LEAST_PLACES, LOGITS_AT_ONCE // len(weight_VD))
        parts = zip(*(array.split(size) for array in (hidden_PD, targets_P, to_hidden_PD)), strict=True)
        for part_PD, part_P, to_part_PD in parts:
            logits_PV = (part_PD @ weights_VD.T).float()
            if bias_V is not None:
                logits_PV += bias_V
            totals_P = logits_PV.logsumexp(dim=1, keepdim=True)
            loss += (totals_P - logits_PV.gather(1, part_P[:, None])).sum()
            if is_learned:
                errors_PV = logits_PV.sub_(totals_P).exp_()
                errors_PV[torch.arange(len(part_P), device=part_P.device), part_P] -= 1.0
                to_bias_V += errors_PV.sum(dim=0)
                errors_PV = errors_PV.to(dtype)
                torch.mm(errors_PV, weights_VD, out=to_part_PD)
                to_weight_VD += errors_PV.T @ part_PD
        if is_learned:
            to_hidden_TD = torch.zeros_like(hidden_TD).index_copy_(0, places_P, to_hidden_PD.to(hidden_TD.dtype))
            ctx.save_for_backward(to_hidden_TD, to_weight_VD, None if bias_V is None else to_bias_V)
        return loss

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of hidden states, weight and bias."""
        return *(None if tensor is None else tensor * scale for tensor in ctx.saved_tensors), None, None, None
