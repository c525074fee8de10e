"""Training of TalkPlay's language model (arXiv 2502.13713, eqs. 1 and 2) on packed rows of conversations and playlists.

A step's loss is the mean cross-entropy of the labelled tokens of its conversation rows, that of its playlist rows
times `playlist_weight`, and the self-similarity loss times lambda.

What a training holds is its checkpoint: on a CPU, with the same number of threads, one that was killed and resumed ends
with the bits of one that was not.
"""

import copy
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch

from assets.shards.writing import ShardRows
from assets.training.losses import Blank
from assets.training.progress import Found, find_latest, read_curves, read_tensors
from assets.training.self_similarity import CodeSimilarity
from assets.training.shared_steps import Mapped, Share, devices_of, packed_rows, run_processes, unpacked_rows
from assets.training.stepping import Log, Task, Training, copy_into
from resources.hashing import digest_of
from resources.talkplay_settings import Talkplay
from resources.torch_turn import cpu_threads

FORM = 1  # of checkpoints and of what a step does: to be raised when either changes
ROWS_AT_ONCE = 4096


class Source(NamedTuple):
    """Rows of conversations, or of continuations; either split may be empty."""

    train: ShardRows
    validation: ShardRows


class Trained(NamedTuple):
    """What a training came to; its model holds the weights of `best_step`.

    `curves` has the columns of `training/talkplay_curves` but `variant`. Without validation rows the best are the last
    weights, and `best_loss` is NaN. `tokens_per_s` counts every token of a row, in training steps.
    """

    curves: pl.DataFrame
    best_step: int
    best_loss: float
    steps: int
    stopped_early: bool
    tokens_per_s: float


def train(  # noqa: PLR0913 - a training has so many inputs
    model: Any,
    sources: Mapping[str, Source],
    similarities: Sequence[CodeSimilarity],
    settings: Talkplay,
    *,
    seed: int,
    blank: Blank | None,
    hidden: Blank | None = None,
    first_music_id: int = 0,
    has_self_similarity: bool,
    kept: Path,
    device: str = "auto",
    threads: int,
    log: Log,
) -> Trained:
    """Train the model in place, going on from the checkpoint in `kept` that is of the same training.

    `blank` is a modality to do without, `hidden` one that a share of the tracks hides (`unseen.py`); of the ids below
    `first_music_id`, which are words, a share is learned in a step (`fewer_words.py`).

    The last checkpoint stays in `kept`, without the optimizer: a second call returns its result. Raises ValueError for
    sources without rows, RuntimeError after three steps in a row without a finite gradient.
    """
    devices = devices_of(device, settings.devices)
    task = Task(
        train={name: source.train for name, source in sources.items()},
        validation={name: source.validation for name, source in sources.items()},
        similarities=similarities,
        settings=settings,
        seed=seed,
        blank=blank,
        hidden=hidden,
        first_music_id=first_music_id,
        strength=settings.self_similarity if has_self_similarity else 0.0,
        kept=kept,
        identity="",
    )
    task = replace(task, identity=_identity(model, task))
    found = find_latest(kept, task.identity, log)
    if found is None or not found.state.is_finished:
        if settings.devices == 1:
            with cpu_threads(threads):
                Training(model, task, Share(), devices[0], log).run()
        else:
            _train_shared(model, task, devices, threads, log)
        found = find_latest(kept, task.identity, log)
    if found is None or not found.state.is_finished:
        raise RuntimeError(f"{kept}: the checkpoint that ended the training is gone; train again")
    return _trained(model, found)


def _train_shared(model: Any, task: Task, devices: Sequence[torch.device], threads: int, log: Log) -> None:
    """On several devices; rows that are mapped from files travel by the files' names."""
    train, validation = (
        {name: packed_rows(rows) for name, rows in split.items()} for split in (task.train, task.validation)
    )
    bare = replace(task, train={}, validation={})
    arguments = (model.cpu(), bare, train, validation, max(1, threads // len(devices)))
    run_processes(_train_share, arguments, devices=devices, log=log)


def _train_share(
    share: Share,
    device: torch.device,
    log: Log,
    model: Any,
    bare: Task,
    train: Mapping[str, Mapped],
    validation: Mapping[str, Mapped],
    threads: int,
) -> None:
    """One process of several. The model came in memory that all of them see: each takes a copy."""
    task = replace(
        bare,
        train={name: unpacked_rows(rows) for name, rows in train.items()},
        validation={name: unpacked_rows(rows) for name, rows in validation.items()},
    )
    with cpu_threads(threads):
        Training(copy.deepcopy(model), task, share, device, log).run()


@torch.no_grad()
def _trained(model: Any, found: Found) -> Trained:
    """The result of a training that its last checkpoint holds, its weights put into the model."""
    state = found.state
    model.cpu()
    parameters = dict(model.named_parameters())
    for tensor in parameters.values():
        tensor.grad = None
    tensors = read_tensors(found.folder)
    copy_into(parameters, tensors.best or tensors.weights)
    return Trained(
        read_curves(found.folder),
        state.best_step if tensors.best else state.step,
        math.nan if state.best_loss is None else state.best_loss,
        state.step,
        state.stopped_early,
        state.tokens / state.seconds if state.seconds else 0.0,
    )


def _identity(model: Any, task: Task) -> str:
    """Of all that decides a training's result, but for `train`'s number of threads and the kind of device."""
    tensors = [*model.parameters(), *(tensor for pair in task.similarities for tensor in pair)]
    weights = [_digest([tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy()]) for tensor in tensors]
    rows = {
        f"{split}/{name}": _digest(rows.rows[at : at + ROWS_AT_ONCE] for at in range(0, len(rows), ROWS_AT_ONCE))
        for split, sources in (("train", task.train), ("validation", task.validation))
        for name, rows in sources.items()
    }
    settings = task.settings.model_dump(exclude={"checkpoint_every"})
    return digest_of(
        [FORM, weights, rows, settings, task.seed, task.blank, task.hidden, task.first_music_id, task.strength]
    )


def _digest(arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
