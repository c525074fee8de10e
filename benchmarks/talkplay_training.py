"""A step of TalkPlay's training against the same step with transformers' own loss, on the same rows.

    python -m benchmarks.talkplay_training

The embedded profile's small Llama, in float32 and with products in bfloat16; 8 rows of 1,024 ids, each of sequences of
60 to 500 tokens, half of them labelled. Theirs computes all logits, and attends over whole rows through a mask that it
makes of the positions. Both take the mean over the labelled tokens, clip and step AdamW. One thread, in turns.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from assets.shards.packing import IGNORED_LABEL, RowBlock
from assets.training.expansion import open_base
from assets.training.losses import Precision, summed_cross_entropy
from benchmarks.claims import Claim
from benchmarks.talkplay_decoding import made_up_tokenizer
from resources.talkplay_settings import Talkplay

ROWS, CONTEXT, TURNS = 8, 1024, 7
SEQUENCE = (60, 500)
NEEDED = 1.5
Loss = Callable[[RowBlock, Precision], Tensor]


def measure() -> list[Claim]:
    """Tokens a second of whole steps, in both precisions."""
    torch.set_num_threads(1)
    tokenizer = made_up_tokenizer(np.random.default_rng(0))
    model = open_base(Talkplay(), tokenizer, folder=None, seed=0).model.train()
    block = made_up_rows(np.random.default_rng(1), tokenizer.size)
    claims = []
    for precision in ("float32", "bfloat16"):
        rates = step_rates(model, block, precision)
        ratio = rates["ours"] / rates["theirs"]
        goal = f"at least {NEEDED}x"
        name = f"TalkPlay's training, {precision}, against transformers' own loss"
        claims.append(Claim(name, rates["ours"], rates["theirs"], ratio, goal, ratio >= NEEDED, "tokens/s"))
    return claims


def step_rates(model: LlamaForCausalLM, block: RowBlock, precision: Precision) -> dict[str, float]:
    """Tokens a second of the median step by either loss; the first losses of both agree."""
    losses: dict[str, Loss] = {
        "ours": lambda rows, kind: _ours(model, rows, kind),
        "theirs": lambda rows, kind: _theirs(model, rows, kind),
    }
    first = [float(loss(block, "float32").detach()) for loss in losses.values()]
    assert abs(first[0] - first[1]) < 1e-3 * first[1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    times: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(TURNS):
        for name, loss in losses.items():
            began_s = time.perf_counter()
            optimizer.zero_grad()
            loss(block, precision).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            times[name].append(time.perf_counter() - began_s)
    return {name: ROWS * CONTEXT / float(np.median(taken)) for name, taken in times.items()}


def made_up_rows(random: np.random.Generator, rows: int) -> RowBlock:
    """Full rows of several sequences of random ids, every second id labelled."""
    positions = np.empty((ROWS, CONTEXT), np.int32)
    for row in positions:
        at = 0
        while at < CONTEXT:
            length = min(int(random.integers(*SEQUENCE)), CONTEXT - at)
            row[at : at + length] = np.arange(length)
            at += length
    ids = random.integers(10, rows, positions.shape, dtype=np.int32)
    is_label = (np.arange(CONTEXT) % 2 == 0) & (positions > 0)
    return RowBlock(ids, np.where(is_label, ids, IGNORED_LABEL).astype(np.int32), positions)


def _ours(model: LlamaForCausalLM, block: RowBlock, precision: Precision) -> Tensor:
    summed = summed_cross_entropy(model, block, device="cpu", precision=precision)
    return summed.loss / summed.labels


def _theirs(model: LlamaForCausalLM, block: RowBlock, precision: Precision) -> Tensor:
    ids, labels, positions = (torch.from_numpy(array.astype(np.int64)) for array in block)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        loss: Tensor = model(input_ids=ids, labels=labels, position_ids=positions, use_cache=False).loss
    return loss


if __name__ == "__main__":
    for claim in measure():
        print(f"{claim.name:66} {claim.ours:10.0f} {claim.alternative:10.0f} {claim.ratio:8.2f} {claim.goal}")
