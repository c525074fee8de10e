"""Writes to a lake in children that die at their nth file-system step; run as a program by test_lake.py.

A program of its own, because a process that already used polars can't fork: its threads would hold locks in the child.
Usage: lake_sweep.py FOLDER (table|folder) (first|second). Makes FOLDER/lake-<n> for n = 1, 2, ... until one survives.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import dataframely as dy

from resources.lake import Lake, Made
from resources.tables import Table

SYSTEM_STEPS = ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir")


class Rows(dy.Schema):
    """One row."""

    row_id = dy.Int64(primary_key=True)
    word = dy.String(nullable=False)


ROWS = Table("sources", "rows", Rows)
FOLDER = Table("shards", "folder", Rows, form="folder")


def write(lake: Lake, form: str, word: str) -> None:
    """Writes one partition, or one folder of two files, that holds the word."""
    if form == "table":
        import polars as pl

        frame = pl.DataFrame({"row_id": [0], "word": [word]})
        lake.write(ROWS, frame, partition="p0", attempt=lake.claim(ROWS, "p0"))
        return

    def build(folder: Path) -> Made:
        (folder / "inside").mkdir()
        (folder / "inside" / "word.txt").write_text(word)
        (folder / "other.txt").write_text(word)
        return Made(rows=1)

    lake.write_folder(FOLDER, build, attempt=lake.claim(FOLDER))


def die_at(step: int) -> None:
    """Makes this process die, without cleaning up, at its nth file-system step from now."""
    steps = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps == step:
                os._exit(9)
            return original(*arguments, **options)

        return call

    for name in SYSTEM_STEPS:
        setattr(os, name, counted(getattr(os, name)))


def main(folder: Path, form: str, attempt: str) -> None:
    """Sweeps the steps."""
    is_killed, step = True, 0
    while is_killed:
        step += 1
        child = os.fork()
        if child == 0:
            lake = Lake(root=str(folder / f"lake-{step:02d}"))
            if attempt == "second":
                write(lake, form, "old")
            die_at(step)
            write(lake, form, "new")
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code not in (0, 9):
            sys.exit(f"step {step} ended with {code}")
        is_killed = code == 9


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
