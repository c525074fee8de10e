"""Files and folders written whole: flushed to the disk, and replaced in one step."""

import os
import shutil
import uuid
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from resources.hashing import sha256_of_file, sha256_of_folder

STAGED = ".tmp-"
ROW_GROUP_ROWS = 122_880


def write_parquet(frame: pl.DataFrame, path: Path, *, key: Sequence[str]) -> None:
    """Writes and flushes one Parquet file, with page checksums. Keys are distinct, so they get no dictionary."""
    rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    with path.open("wb") as file:
        pq.write_table(
            rows,
            file,
            compression="zstd",
            use_dictionary=[name for name in frame.columns if name not in key],
            write_page_checksum=True,
            row_group_size=ROW_GROUP_ROWS,
        )
        file.flush()
        os.fsync(file.fileno())


@lru_cache(maxsize=65_536)
def file_sha256(path: Path, modified_ns: int) -> str:  # noqa: ARG001 - part of the cache's key
    """Hash of a file, read once a process as long as its time of change stays."""
    return sha256_of_file(path)


def bytes_sha256(path: Path) -> str:
    """Hash of a file or folder as it lies there; empty if it is gone."""
    return sha256_of_folder(path) if path.is_dir() else sha256_of_file(path) if path.exists() else ""


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder; -1 if it is gone."""
    if path.is_dir():
        return sum(inside.stat().st_size for inside in path.rglob("*") if inside.is_file())
    return path.stat().st_size if path.exists() else -1


def replace_bytes(path: Path, content: bytes) -> None:
    """Writes the content aside, flushes it, and replaces the file by it in one step."""
    staged = path.with_name(f"{STAGED}{path.name}-{uuid.uuid4().hex}")
    with staged.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Flushes a folder or file to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Flushes everything inside a folder, then the folder."""
    for path in [*folder.rglob("*"), folder]:
        flush(path)


def remove(path: Path) -> None:
    """Removes a file or a whole folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
