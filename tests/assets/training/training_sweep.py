"""A small training, and children that die in it at their nth file-system step; run as a program by test_loop.py.

A program of its own, because a process that already used torch or polars can't fork: its threads would hold locks in
the child. Usage: training_sweep.py FOLDER. For n = 1, 2, ... until one survives, a child is killed at its nth step and
another goes on from what it left; prints the digest of what each of these trained.
"""

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from assets.shards.writing import ShardRows
from assets.training.loop import Source, Trained, train
from assets.training.self_similarity import CodeSimilarity
from resources.talkplay_settings import Talkplay

SYSTEM_STEPS = ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir")
TOKENS, CONTEXT = 40, 12


def small_model(seed: int = 7) -> Any:
    """A Llama of one layer."""
    config = LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def small_rows(rows: int, *, seed: int) -> ShardRows:
    """Rows of two sequences each; every second token of a sequence, which repeats the one before it, is learned."""
    random = np.random.default_rng(seed)
    ids_RC = random.integers(0, TOKENS, (rows, CONTEXT), dtype=np.int32)
    ids_RC[:, 1::2] = ids_RC[:, 0::2]
    labels_RC = np.where(np.arange(CONTEXT) % 2, ids_RC, -100)
    labels_RC[:, 5] = np.where(random.random(rows) < 0.5, -100, labels_RC[:, 5])  # rows differ in their labels
    positions_RC = np.tile(np.arange(CONTEXT, dtype=np.int32) % 6, (rows, 1))
    return ShardRows(np.stack([ids_RC, labels_RC, positions_RC], axis=1).astype(np.int32))


def small_sources(*, playlists: int = 7, validation: int = 3) -> dict[str, Source]:
    """Conversations and playlists."""
    return {
        "conversations": Source(small_rows(11, seed=1), small_rows(validation, seed=2)),
        "playlists": Source(small_rows(playlists, seed=3), small_rows(validation, seed=4)),
    }


def small_similarities() -> list[CodeSimilarity]:
    """One modality of three codes at right angles."""
    return [CodeSimilarity(torch.tensor([30, 31, 32]), torch.eye(3))]


def small_settings(**changes: object) -> Talkplay:
    """Four steps, a validation and a checkpoint every second."""
    values = {
        "rows": 4,
        "rows_at_once": 4,
        "playlist_share": 0.25,
        "steps": 4,
        "evaluate_every": 2,
        "checkpoint_every": 2,
        "warmup_steps": 2,
    }
    return Talkplay(**{**values, "precision": "float32", "learning_rate": 0.05, **changes})


def small_training(
    kept: Path, *, model: Any = None, sources: Any = None, log: Callable[[str], None] = print, **changes: object
) -> tuple[Any, Trained]:
    """Train, and return the model and the result."""
    model = model or small_model()
    arguments = {"seed": 7, "blank": None, "hidden": None, "has_self_similarity": True}
    arguments |= {name: changes.pop(name) for name in list(changes) if name in arguments}
    trained = train(
        model,
        sources or small_sources(),
        small_similarities(),
        small_settings(**changes),
        kept=kept,
        device="cpu",
        threads=1,
        log=log,
        **arguments,
    )
    return model, trained


def digest(model: Any, trained: Trained) -> str:
    """SHA-256 over weights and curves."""
    content = hashlib.sha256(str(trained.curves.rows()).encode())
    for name, tensor in model.named_parameters():
        content.update(name.encode() + tensor.detach().numpy().tobytes())
    return content.hexdigest()


def die_at(step: int) -> None:
    """Kill this process at its nth file-system step from now."""
    steps = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return call

    for name in SYSTEM_STEPS:
        setattr(os, name, counted(getattr(os, name)))


def child(work: Callable[[], None]) -> bool:
    """Do the work in a child; whether it survived."""
    process = os.fork()
    if process == 0:
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code not in (0, -signal.SIGKILL):
        sys.exit(f"a child ended with {code}")
    return code == 0


def main(folder: Path) -> None:
    """Sweep the steps."""

    def dying(step: int) -> None:
        die_at(step)
        small_training(folder / str(step), log=lambda _line: None)

    def resumed(step: int) -> None:
        print(digest(*small_training(folder / str(step), log=lambda _line: None)), flush=True)

    step, is_alive = 0, False
    while not is_alive:
        step += 1
        is_alive = child(lambda step=step: dying(step))
        child(lambda step=step: resumed(step))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
