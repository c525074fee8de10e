"""Prompts of a batch, fed once; then tokens that see their prompt and whichever later tokens they are told to.

The prompts are left-padded: each ends at the same place of the buffers of keys and values. They are fed in groups of
like length, for padding costs what words do. Their buffers have room for what follows and are neither copied nor
reordered: a beam's ancestors are chosen by a 4-D attention mask. So a model must attend by PyTorch's scaled dot
product (`attn_implementation="sdpa"`, which takes a mask of booleans) or by "eager" (a mask that is added); both are
asked of transformers' model as it is, of the Llama, Qwen2 and GPT-2 kind. Flash attention takes no such mask.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicLayer

# B prompts, G of a group, T tokens of the longest, W tokens fed at once, X tokens fed so far, D hidden
TOKENS_AT_ONCE = 2048  # of a pass over prompts: on one core as fast per token as any more
ATTENTIONS = ("sdpa", "eager")
SCALED_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class PromptCache:
    """A batch of prompts in a model; `last_BD` are the hidden states after their last tokens."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[npt.NDArray[np.integer[Any]]], *, room: int) -> None:
        """Feed the prompts; `room` tokens a prompt may follow. Raises ValueError for a model of another kind."""
        _check(model, prompts)
        self.model, self.lengths_B = model, torch.tensor([len(prompt) for prompt in prompts], device=model.device)
        longest = max(map(len, prompts))
        self.is_prompt_BT = _is_word(self.lengths_B, longest)
        config = model.config.get_text_config()
        self.buffers = [_Buffer(len(prompts), longest, room) for _ in range(config.num_hidden_layers)]
        self.cache = Cache(layers=self.buffers)
        self.last_BD = torch.empty(len(prompts), config.hidden_size, device=model.device)
        for rows_G in _groups(self.lengths_B.tolist()):
            self.last_BD[rows_G] = self._feed_prompts(rows_G, [prompts[row] for row in rows_G])

    def feed(self, ids_BW: Tensor, sees_BWX: Tensor, *, level: int) -> Tensor:
        """Hidden states [B, W, D] of tokens `level` places after their prompts' ends.

        `sees_BWX` says which of all tokens fed so far, these last, each of them sees besides its prompt.
        """
        rows, width = ids_BW.shape
        prompt_BWT = self.is_prompt_BT[:, None].expand(rows, width, -1)
        places_BW = (self.lengths_B + level)[:, None].expand(rows, width)
        return self._forward(ids_BW, places_BW, torch.cat([prompt_BWT, sees_BWX], dim=2))

    def feed_one(self, ids_B: Tensor, *, level: int) -> Tensor:
        """Hidden states [B, D] of one token a prompt that sees all before it."""
        sees = torch.ones(len(ids_B), 1, level + 1, dtype=torch.bool, device=self.model.device)
        return self.feed(ids_B[:, None], sees, level=level)[:, 0]

    def _feed_prompts(self, rows_G: list[int], prompts: Sequence[npt.NDArray[np.integer[Any]]]) -> Tensor:
        """Hidden states [G, D] after the last words of prompts, whose rows in the batch are `rows_G`."""
        lengths_G, longest = self.lengths_B[rows_G], len(prompts[-1])
        ids_GT = np.zeros((len(prompts), longest), dtype=np.int64)
        for ids_T, prompt in zip(ids_GT, prompts, strict=True):
            ids_T[longest - len(prompt) :] = prompt
        is_word_GT = _is_word(lengths_G, longest)
        causal_TT = torch.ones(longest, longest, dtype=torch.bool, device=self.model.device).tril()
        # Padding sees itself, or its attention would be 0/0.
        sees_GTT = causal_TT & is_word_GT[:, None] | torch.eye(longest, dtype=torch.bool, device=self.model.device)
        for buffer in self.buffers:
            buffer.filled = rows_G
        hidden_GTD = self._forward(torch.from_numpy(ids_GT), is_word_GT.cumsum(dim=1).sub(1).clamp(min=0), sees_GTT)
        for buffer in self.buffers:
            buffer.filled = None
        return hidden_GTD[:, -1].to(self.last_BD.dtype)

    def _forward(self, ids_BT: Tensor, places_BT: Tensor, sees_BTX: Tensor) -> Tensor:
        mask = sees_BTX[:, None]
        if self.model.config.get_text_config()._attn_implementation == "eager":
            lowest = torch.finfo(self.model.dtype).min
            mask = torch.zeros_like(mask, dtype=self.model.dtype).masked_fill(~mask, lowest)
        hidden: Tensor = self.model.base_model(
            input_ids=ids_BT.to(self.model.device),
            attention_mask=mask,
            position_ids=places_BT,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        if not hidden[:, -1].isfinite().all():
            raise ValueError("the model's hidden states are not finite; train it again or open an earlier checkpoint")
        return hidden


def logits_of(model: PreTrainedModel, hidden: Tensor, first: int, stop: int) -> Tensor:
    """Logits [..., stop - first], float32, of the tokens from `first` to before `stop` alone."""
    head = model.get_output_embeddings()
    bias = None if head.bias is None else head.bias[first:stop]
    return functional.linear(hidden, head.weight[first:stop], bias).float()


class _Buffer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a layer in memory that is taken once; `update` returns views of it.

    While `filled` names rows, `update` writes these rows' prompts, which see nothing before them.
    """

    def __init__(self, rows: int, longest: int, room: int) -> None:
        super().__init__()
        self.rows, self.length, self.room, self.is_initialized = rows, longest, room, False
        self.filled: list[int] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.keys, self.values = self._taken(key_states), self._taken(value_states)
            self.is_initialized = True
        if self.filled is not None:
            start = self.length - key_states.shape[2]
            self.keys[self.filled, :, start : self.length] = key_states
            self.values[self.filled, :, start : self.length] = value_states
            return key_states, value_states
        start, self.length = self.length, self.length + key_states.shape[2]
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_seq_length(self) -> int:
        return self.length

    def _taken(self, states: Tensor) -> Tensor:
        # Zeros: a mask turns a weight to 0, and 0 times what may lie in memory is not always 0.
        return states.new_zeros((self.rows, states.shape[1], self.length + self.room, states.shape[3]))


def _groups(lengths_B: Sequence[int]) -> list[list[int]]:
    """Rows from the shortest to the longest, in groups of at most TOKENS_AT_ONCE with their padding."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths_B)), key=lengths_B.__getitem__):
        if not groups or (len(groups[-1]) + 1) * lengths_B[row] > TOKENS_AT_ONCE:
            groups.append([])
        groups[-1].append(row)
    return groups


def _is_word(lengths_B: Tensor, longest: int) -> Tensor:
    """Which places [B, T] are no padding."""
    return torch.arange(longest, device=lengths_B.device) >= (longest - lengths_B)[:, None]


def _check(model: PreTrainedModel, prompts: Sequence[npt.NDArray[np.integer[Any]]]) -> None:
    config = model.config.get_text_config()
    if not prompts or not min(map(len, prompts)):
        raise ValueError(f"{len(prompts)} prompts, one of them perhaps empty; wanted at least one id in each")
    if model.training:
        raise ValueError("the model is in training mode; call its eval() first")
    if config._attn_implementation not in ATTENTIONS:
        raise ValueError(f"the model attends by {config._attn_implementation}; wanted one of {', '.join(ATTENTIONS)}")
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or (not hasattr(config, "layer_types") and getattr(config, "sliding_window", None)):
        raise ValueError(f"{type(model).__name__} has layers that see a part of their past; wanted full attention")
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in SCALED_LOGITS):
        raise ValueError(f"{type(model).__name__} changes its logits after the head; wanted a head of one product")
