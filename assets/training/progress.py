"""Checkpoints of a training: written aside, flushed and renamed, so that one that has its name is complete.

`<kept>/step-000000100/`: weights, best weights and optimizer state as safetensors (of a finished training the best
weights alone, if it has any), the curves as Parquet, state.json, and SHA256SUMS over the five, written last. A kill
leaves the checkpoint before, or both; the highest complete one counts, and a new one removes the others. One that is
damaged, or of other settings, data, first weights or number of devices, counts as never written.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from assets.training.row_order import Place
from resources.files import STAGED, flush, remove, write_parquet
from resources.hashing import sha256_of_file

STATE, SUMS, CURVES = "state.json", "SHA256SUMS", "curves.parquet"
WEIGHTS, BEST, OPTIMIZER = "weights.safetensors", "best.safetensors", "optimizer.safetensors"
FILES = (WEIGHTS, BEST, OPTIMIZER, CURVES, STATE)
STEP = re.compile(r"step-(\d{9,})")


class State(msgspec.Struct):
    """Where a training stands, but for its tensors and curves."""

    identity: str  # what made it: a checkpoint of another identity is not gone on from
    step: int = 0
    places: dict[str, Place] = {}
    skipped: int = 0  # steps in a row without a finite gradient
    best_step: int = 0
    best_loss: float | None = None
    worse: int = 0  # validations since the best
    stopped_early: bool = False
    is_finished: bool = False
    tokens: int = 0
    seconds: float = 0.0


class Tensors(NamedTuple):
    """Tensors by parameter name; the optimizer's are `<parameter>/<what>`."""

    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


class Found(NamedTuple):
    """A complete checkpoint of the wanted identity."""

    folder: Path
    state: State


def save_checkpoint(kept: Path, state: State, tensors: Tensors, curves: pl.DataFrame) -> None:
    """Write a checkpoint, and remove the ones before."""
    target = kept / f"step-{state.step:09d}"
    staged = kept / f"{STAGED}{target.name}"
    remove(staged)
    staged.mkdir(parents=True)
    for name, content in zip((WEIGHTS, BEST, OPTIMIZER), tensors, strict=True):
        _save_tensors(staged / name, content)
    write_parquet(curves, staged / CURVES, key=())
    _write(staged / STATE, msgspec.json.encode(state))
    _write(staged / SUMS, "".join(f"{sha256_of_file(staged / name)}  {name}\n" for name in FILES).encode())
    flush(staged)
    remove(target)
    staged.rename(target)
    flush(kept)
    for path in kept.iterdir():
        if path != target and (STEP.fullmatch(path.name) or path.name.startswith(STAGED)):
            # A half-removed checkpoint must not look like a damaged one.
            shutil.rmtree(path if path.name.startswith(STAGED) else path.rename(kept / f"{STAGED}old-{path.name}"))


def find_latest(kept: Path, identity: str, log: Callable[[str], None]) -> Found | None:
    """The checkpoint of most steps that is complete and of this identity; says of the others why they don't count."""
    names = [path for path in kept.glob("step-*") if STEP.fullmatch(path.name)] if kept.is_dir() else []
    for folder in sorted(names, key=lambda path: int(path.name.removeprefix("step-")), reverse=True):
        damage = _damage(folder)
        if damage:
            log(f"{folder} is left out: {damage}")
            continue
        state = msgspec.json.decode((folder / STATE).read_bytes(), type=State)
        if state.identity == identity:
            return Found(folder, state)
        log(f"{folder} is left out: it is of other settings, data, first weights or number of devices")
    return None


def read_tensors(folder: Path) -> Tensors:
    """The tensors of a checkpoint, on the CPU."""
    return Tensors(*(load_file(folder / name) for name in (WEIGHTS, BEST, OPTIMIZER)))


def read_curves(folder: Path) -> pl.DataFrame:
    """The losses up to the checkpoint."""
    return pl.read_parquet(folder / CURVES)


def optimizer_tensors(optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the optimizer remembers of each parameter, `<parameter>/<what>`."""
    return {
        f"{name}/{what}": value
        for name, tensor in parameters.items()
        for what, value in optimizer.state.get(tensor, {}).items()
    }


def restore_optimizer(optimizer: Optimizer, parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Make a new optimizer remember what `optimizer_tensors` gave."""
    for key, value in tensors.items():
        name, what = key.rsplit("/", 1)
        optimizer.state[parameters[name]][what] = value.to(parameters[name].device)


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    flush(path)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    flush(path)


def _damage(folder: Path) -> str:
    """What is wrong with a checkpoint; empty if nothing is."""
    sums = folder / SUMS
    if not sums.is_file():
        return f"it has no {SUMS}"
    lines = (line.partition("  ") for line in sums.read_text(errors="replace").splitlines())
    wanted = {name: digest for digest, _, name in lines}
    for name in FILES:
        path = folder / name
        if not path.is_file():
            return f"it has no {name}"
        if wanted.get(name) != sha256_of_file(path):
            return f"{name} is not as {SUMS} says"
    return ""
