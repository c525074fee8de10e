"""The steps of a training on one device: gradients, the optimizer's moves, validation, checkpoints.

Means are over the whole step, however it is cut into passes and dealt to devices. AdamW decays matrices, embeddings
among them, and no norms and biases (our choice). Dropout is off: the paper's base has none, and its random state would
be one more thing to resume.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from assets.shards.packing import RowBlock
from assets.shards.writing import ShardRows
from assets.training.curves import Point, Split, curves_frame
from assets.training.fewer_words import with_fewer_words
from assets.training.losses import Blank, blanked, count_labels, summed_cross_entropy
from assets.training.progress import (
    Found,
    State,
    Tensors,
    find_latest,
    optimizer_tensors,
    read_curves,
    read_tensors,
    restore_optimizer,
    save_checkpoint,
)
from assets.training.row_order import Place, draw_rows, rows_by_source
from assets.training.self_similarity import CodeSimilarity, self_similarity_loss
from assets.training.shared_steps import Share
from assets.training.unseen import with_unseen
from resources.talkplay_settings import Talkplay

# B rows of a block, C context length
SOURCES = ("conversations", "playlists")
MOST_SKIPPED = 3  # steps in a row without a finite gradient
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What a process needs to know to train, but for the model."""

    train: Mapping[str, ShardRows]  # by source, as is the next
    validation: Mapping[str, ShardRows]
    similarities: Sequence[CodeSimilarity]
    settings: Talkplay
    seed: int
    blank: Blank | None
    hidden: Blank | None  # the modality that a share of the training tracks hides
    first_music_id: int  # ids below are words
    strength: float  # lambda; 0 where the loss is only measured
    kept: Path
    identity: str

    @property
    def weights(self) -> dict[str, float]:
        """Of each source's cross-entropy in the loss."""
        return dict(zip(SOURCES, (1.0, self.settings.playlist_weight), strict=True))


class Losses(NamedTuple):
    """Mean cross-entropies by source, None where no token was labelled, and eq. 2 before lambda."""

    means: dict[str, float | None]
    self_similarity: float


def learning_rate(step: int, settings: Talkplay) -> float:
    """Of a step, counted from 0: a straight rise over the warm-up, then constant, or half a cosine towards 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.learning_rate
    share = (step - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
    return settings.learning_rate * (1 + math.cos(math.pi * share)) / 2


class Training:
    """A model under training on one device: its optimizer, state and curves, the best weights so far."""

    def __init__(self, model: Any, task: Task, share: Share, device: torch.device, log: Log) -> None:
        self.model, self.task, self.share, self.device, self.log = model.to(device).eval(), task, share, device, log
        self.parameters = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
        for tensor in self.parameters.values():
            tensor.grad = torch.zeros_like(tensor)  # also where a process has no rows of a step: all of them add up
        self.optimizer = _optimizer(self.parameters.values(), task.settings)
        shares = dict(zip(SOURCES, (1 - task.settings.playlist_share, task.settings.playlist_share), strict=True))
        available = {name: len(rows) for name, rows in task.train.items()}
        self.rows = rows_by_source(available, rows=task.settings.rows, shares=shares)
        self.similarities = [CodeSimilarity(*(tensor.to(device) for tensor in pair)) for pair in task.similarities]
        self.state = State(identity=task.identity)
        self.best: dict[str, Tensor] = {}
        self.curves, self.points = curves_frame([]), list[Point]()
        found = find_latest(task.kept, task.identity, _no_log)
        if found is not None:
            self._resume(found)

    def run(self) -> None:
        """Make the steps that are left; ends with a checkpoint that says so."""
        state, settings = self.state, self.task.settings
        if state.step == 0:
            self._validate()
        while not state.is_finished:
            self._step()
            state.step += 1
            is_last = state.step == settings.steps
            if is_last or state.step % settings.evaluate_every == 0:
                self._validate()
            state.is_finished = is_last or state.stopped_early
            if state.is_finished or (state.step % settings.checkpoint_every == 0 and self._is_good()):
                self._save()

    def _step(self) -> None:
        """One step of the optimizer, or none where the gradient is not finite."""
        began_s = time.perf_counter()
        state, settings = self.state, self.task.settings
        drawn, blocks = dict[str, list[int]](), dict[str, RowBlock]()
        for name, count in self.rows.items():
            rows = self.task.train[name]
            place = state.places.get(name, Place())
            rows_B, state.places[name] = draw_rows(place, count, name=name, rows=len(rows), seed=self.task.seed)
            draw = [self.task.seed, state.step, SOURCES.index(name)]
            block = blanked(rows.take(rows_B), self.task.blank)
            block = with_unseen(block, self.task.hidden, share=settings.unseen_share, seed=draw)
            blocks[name] = with_fewer_words(block, self.task.first_music_id, share=settings.word_share, seed=draw)
            drawn[name] = rows_B.tolist()

        losses = self._backward(blocks)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), settings.clip, foreach=True))
        loss = self._weighed(losses)
        if not math.isfinite(norm + loss):
            self._skip(norm, drawn)
            return
        rate = learning_rate(state.step, settings)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        state.skipped = 0
        self.points.append(_point("train", state.step, losses, loss, rate, norm))
        state.tokens += sum(block.input_ids.size for block in blocks.values())
        state.seconds += time.perf_counter() - began_s

    def _backward(self, blocks: Mapping[str, RowBlock]) -> Losses:
        """The gradients of the step's loss, added up over all devices, in each parameter."""
        self.optimizer.zero_grad(set_to_none=False)
        labels = {name: count_labels(block) for name, block in blocks.items()}
        sums = {name: torch.zeros((), dtype=torch.float64, device=self.device) for name in blocks}
        for name, block in blocks.items():
            weight = self.task.weights[name] / max(1, labels[name])
            for part in self._parts(block):
                summed = self._summed(part)
                (summed * weight).backward()
                sums[name] += summed.detach()
        is_learned = self.task.strength > 0 and self.share.rank == 0  # once, in the sum over devices
        with torch.set_grad_enabled(is_learned):
            similarity = self._self_similarity()
            if is_learned:
                (similarity * self.task.strength).backward()
        self.share.add_up(
            [*(tensor.grad for tensor in self.parameters.values() if tensor.grad is not None), *sums.values()]
        )
        return _losses(sums, labels, similarity)

    @torch.no_grad()
    def _validate(self) -> None:
        """Losses of all validation rows; keeps the weights of the lowest (eq. 1), or stops."""
        state, sums, labels = self.state, dict[str, Tensor](), dict[str, int]()
        for name in sorted(self.task.validation):
            rows = self.task.validation[name]
            if not len(rows):
                continue
            sums[name], labels[name] = torch.zeros((), dtype=torch.float64, device=self.device), 0
            for start in range(0, len(rows), self.task.settings.rows_at_once * self.share.count):
                stop = min(start + self.task.settings.rows_at_once * self.share.count, len(rows))
                block = blanked(rows.take(np.arange(start, stop)), self.task.blank)
                labels[name] += count_labels(block)
                for part in self._parts(block):
                    sums[name] += self._summed(part)
        if not any(labels.values()):
            return
        self.share.add_up(list(sums.values()))
        losses = _losses(sums, labels, self._self_similarity())
        self.points.append(_point("validation", state.step, losses, self._weighed(losses), None, None))
        self._judge(self._weighed(losses._replace(self_similarity=0.0)))

    def _judge(self, loss: float) -> None:
        """Whether a validation's cross-entropy is the best so far."""
        state = self.state
        if loss < (math.inf if state.best_loss is None else state.best_loss):
            state.best_step, state.best_loss, state.worse = state.step, loss, 0
            if self.share.rank == 0:
                self.best = {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.parameters.items()}
        else:
            state.worse += 1
        state.stopped_early = state.worse >= self.task.settings.patience
        speed = f"; {state.tokens / state.seconds:,.0f} tokens/s" if state.seconds else ""
        self.log(f"step {state.step}: validation loss {loss:.4f}, best at step {state.best_step}{speed}")

    def _skip(self, norm: float, drawn: Mapping[str, list[int]]) -> None:
        """Leaves the weights as they are; too often in a row is an error."""
        self.state.skipped += 1
        rows = "; ".join(f"rows {', '.join(map(str, rows_B))} of {name}" for name, rows_B in drawn.items())
        what = f"step {self.state.step} is skipped: its gradient's norm is {norm} ({rows})"
        self.log(what)
        if self.state.skipped == MOST_SKIPPED:
            found = find_latest(self.task.kept, self.task.identity, _no_log)
            raise RuntimeError(
                f"{what}; it is the {MOST_SKIPPED}rd in a row. The last good checkpoint is "
                f"{found.folder if found else 'none yet'}; lower talkplay.learning_rate or clip, or look at these rows"
            )

    def _is_good(self) -> bool:
        """Whether the weights are worth going on from: the same in every process."""
        return not self.state.skipped and all(bool(tensor.isfinite().all()) for tensor in self.parameters.values())

    def _save(self) -> None:
        self.curves, self.points = self.curves.vstack(curves_frame(self.points)), []
        if self.share.rank:
            return
        if self.state.is_finished:  # kept for its result, of which the rest would be three quarters
            tensors = Tensors({} if self.best else self.parameters, self.best, {})
        else:
            tensors = Tensors(self.parameters, self.best, optimizer_tensors(self.optimizer, self.parameters))
        save_checkpoint(self.task.kept, self.state, tensors, self.curves)

    @torch.no_grad()
    def _resume(self, found: Found) -> None:
        tensors = read_tensors(found.folder)
        copy_into(self.parameters, tensors.weights)
        restore_optimizer(self.optimizer, self.parameters, tensors.optimizer)
        self.state, self.curves = found.state, read_curves(found.folder)
        self.best = dict(tensors.best) if self.share.rank == 0 else {}
        self.log(f"going on from {found.folder}")

    def _parts(self, block: RowBlock) -> Iterator[RowBlock]:
        """Its rows of a block, so many at once as fit on the device."""
        mine = RowBlock(*(array_BC[self.share.mine] for array_BC in block))
        for start in range(0, len(mine.input_ids), self.task.settings.rows_at_once):
            yield RowBlock(*(array_BC[start : start + self.task.settings.rows_at_once] for array_BC in mine))

    def _summed(self, block: RowBlock) -> Tensor:
        precision = self.task.settings.precision
        return summed_cross_entropy(self.model, block, device=self.device, precision=precision).loss

    def _self_similarity(self) -> Tensor:
        return self_similarity_loss(self.model.get_input_embeddings().weight, self.similarities)

    def _weighed(self, losses: Losses) -> float:
        """What is minimized."""
        weights = self.task.weights
        entropy = sum(weights[name] * (mean or 0.0) for name, mean in losses.means.items())
        return entropy + self.task.strength * losses.self_similarity


def _optimizer(parameters: Iterable[Tensor], settings: Talkplay) -> torch.optim.AdamW:
    by_decay: dict[float, list[Tensor]] = {settings.weight_decay: [], 0.0: []}
    for tensor in parameters:
        by_decay[settings.weight_decay if tensor.ndim > 1 else 0.0].append(tensor)
    groups = [{"params": tensors, "weight_decay": decay} for decay, tensors in by_decay.items()]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def copy_into(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Give parameters the values that they have in a checkpoint."""
    for name, tensor in tensors.items():
        parameters[name].copy_(tensor)


def _losses(sums: Mapping[str, Tensor], labels: Mapping[str, int], self_similarity: Tensor) -> Losses:
    means = {name: float(sums[name]) / labels[name] if labels[name] else None for name in sums}
    return Losses(means, float(self_similarity.detach()))


def _point(split: Split, step: int, losses: Losses, loss: float, rate: float | None, norm: float | None) -> Point:
    conversations, playlists = (losses.means.get(name) for name in SOURCES)
    return Point(split, step, conversations, playlists, losses.self_similarity, loss, rate, norm)


def _no_log(_line: str) -> None:
    """For a second look at what was logged already."""
