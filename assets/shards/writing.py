"""Shards on disk: Parquet that `datasets.load_dataset` opens, a manifest, and fast random rows for training.

`<folder>/<split>-00000.parquet`, ..., README.md (a dataset card) and manifest.json, written last; splits are train,
validation and test. The same rows give the same bytes. Parquet decodes a page to give one row, so training reads the
rows from a memory-mapped copy, made and checked against the manifest when first asked for, in a cache folder of the
caller's.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from assets.shards.packing import IGNORED_LABEL, Packing, RowBlock, fewest_rows, fill_rows, pack
from assets.shards.sequences import Built, Split
from assets.shards.tokenizer import ExpandedTokenizer
from assets.tokens.vocabulary import Vocabulary

# R rows, B rows of a block, C context length
Kind = Literal["conversations", "continuations"]
MANIFEST = "manifest.json"
ROWS_PER_FILE = 32_768  # 400 MB of int32 at a context of 1,024; about a tenth compressed
ROWS_PER_GROUP = 1_024
ROWS_AT_ONCE = 8 * ROWS_PER_GROUP


class ShardError(ValueError):
    """A folder of shards isn't what its manifest says: files missing, added or changed."""


class ShardFile(msgspec.Struct, frozen=True):
    """One Parquet file."""

    name: str
    split: Split
    rows: int
    bytes: int
    sha256: str


class SplitStatistics(msgspec.Struct, frozen=True):
    """One split, counted: `fill` is the share of places that hold a token; no packing has fewer than `fewest_rows`."""

    rows: int
    sequences: int
    tokens: int
    labelled_tokens: int
    fill: float
    fewest_rows: int
    sources: dict[str, int]


class Manifest(msgspec.Struct, frozen=True):
    """What a folder of shards holds and what it was made with."""

    kind: Kind
    context_length: int
    seed: int
    ignored_label: int
    pad_id: int
    tokenizer_hash: str
    vocabulary_size: int
    first_music_id: int
    vocabulary: Vocabulary
    codebook_hash: str
    splits: dict[Split, SplitStatistics]
    files: list[ShardFile]


class PackedSplit(NamedTuple):
    """One split's sequences and the rows that they fill."""

    built: Built
    packing: Packing


@dataclass(frozen=True, slots=True)
class ShardRows:
    """Rows of one split for training, int32 [R, 3, C] in a memory map: input ids, labels, position ids."""

    rows: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> RowBlock:
        """One row, each array int32 [C]."""
        return RowBlock(*np.array(self.rows[row]))

    def take(self, rows_B: npt.ArrayLike) -> RowBlock:
        """Any rows in any order, each array int32 [B, C]."""
        block_B3C = self.rows[np.asarray(rows_B, dtype=np.int64)]
        return RowBlock(block_B3C[:, 0], block_B3C[:, 1], block_B3C[:, 2])


def write_shards(
    folder: Path,
    *,
    kind: Kind,
    built: Mapping[Split, Built],
    tokenizer: ExpandedTokenizer,
    codebook_hash: str,
    context_length: int,
    seed: int,
) -> Manifest:
    """Pack the splits and write them into an empty folder, the manifest last."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; wanted a new folder for the shards")
    files: list[ShardFile] = []
    splits: dict[Split, SplitStatistics] = {}
    for split, of_split in built.items():
        packed = PackedSplit(of_split, pack(of_split.sequences.lengths, context_length=context_length, seed=seed))
        splits[split] = _statistics(packed, context_length)
        files += _write_files(folder, split, packed, context_length, tokenizer.pad_id)
    manifest = Manifest(
        kind=kind,
        context_length=context_length,
        seed=seed,
        ignored_label=IGNORED_LABEL,
        pad_id=tokenizer.pad_id,
        tokenizer_hash=tokenizer.content_hash,
        vocabulary_size=tokenizer.size,
        first_music_id=tokenizer.first_id,
        vocabulary=tokenizer.vocabulary,
        codebook_hash=codebook_hash,
        splits=splits,
        files=files,
    )
    (folder / "README.md").write_text(_card(manifest), encoding="utf-8")
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of shards; ShardError where it is absent or not of this form."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ShardError(f"{folder} has no {MANIFEST}: its writing never ended; make the shards again")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.DecodeError as error:
        raise ShardError(f"{path}: {error}; make the shards again") from error


def check_shards(folder: Path) -> Manifest:
    """The manifest, after every Parquet file was found to be as it says; else ShardError."""
    manifest = read_manifest(folder)
    wanted, found = {file.name for file in manifest.files}, {path.name for path in folder.glob("*.parquet")}
    if wanted != found:
        raise ShardError(f"{folder}: missing {sorted(wanted - found)}, unknown {sorted(found - wanted)}; make it again")
    for file in manifest.files:
        if _sha256(folder / file.name) != file.sha256:
            raise ShardError(f"{folder / file.name} has changed since it was written; make the shards again")
    return manifest


def open_rows(folder: Path, split: Split, *, cache: Path) -> ShardRows:
    """Rows of a split, memory-mapped; the first call for a manifest checks the folder and copies the rows to `cache`.

    The copy takes 12 bytes a token. Several processes may call at once: each writes its own copy and the last rename
    wins, all being alike.
    """
    manifest = read_manifest(folder)
    key = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()[:16]
    path = cache / f"{manifest.kind}-{split}-{key}.npy"
    shape = manifest.splits[split].rows, 3, manifest.context_length
    if not path.is_file():
        check_shards(folder)
        _write_cache(folder, manifest, split, path, shape)
    rows_R3C = np.load(path, mmap_mode="r" if shape[0] else None)
    if rows_R3C.shape != shape or rows_R3C.dtype != np.int32:
        raise ShardError(f"{path} is {rows_R3C.dtype} {rows_R3C.shape}; wanted int32 {shape}: delete it")
    return ShardRows(rows_R3C)


def read_rows(path: Path) -> Iterator[RowBlock]:
    """The rows of one Parquet file in order, a row group at a time."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            columns = (table[name].combine_chunks() for name in RowBlock._fields)
            yield RowBlock(*(column.flatten().to_numpy().reshape(len(column), -1) for column in columns))


def _statistics(packed: PackedSplit, context_length: int) -> SplitStatistics:
    sequences, rows = packed.built.sequences, packed.packing.rows
    tokens = len(sequences.input_ids)
    return SplitStatistics(
        rows=rows,
        sequences=len(sequences.lengths),
        tokens=tokens,
        labelled_tokens=int(sequences.is_label.sum()),
        fill=tokens / (rows * context_length) if rows else 1.0,
        fewest_rows=fewest_rows(sequences.lengths, context_length=context_length),
        sources=packed.built.sources,
    )


def _write_files(folder: Path, split: Split, packed: PackedSplit, context_length: int, pad_id: int) -> list[ShardFile]:
    files = []
    for number, first in enumerate(range(0, packed.packing.rows, ROWS_PER_FILE)):
        path = folder / f"{split}-{number:05d}.parquet"
        stop = min(first + ROWS_PER_FILE, packed.packing.rows)
        with _writer(path, context_length) as writer:
            for start in range(first, stop, ROWS_AT_ONCE):
                rows = slice(start, min(start + ROWS_AT_ONCE, stop))
                block = fill_rows(
                    packed.built.sequences, packed.packing, rows, context_length=context_length, pad_id=pad_id
                )
                writer.write_table(_table(block), row_group_size=ROWS_PER_GROUP)
        files.append(ShardFile(path.name, split, stop - first, path.stat().st_size, _sha256(path)))
    return files


def _writer(path: Path, context_length: int) -> pq.ParquetWriter:
    column = pa.list_(pa.field("element", pa.int32(), nullable=False), context_length)
    return pq.ParquetWriter(
        path,
        pa.schema([pa.field(name, column, nullable=False) for name in RowBlock._fields]),
        compression="zstd",
        use_dictionary=False,
        column_encoding={"position_ids.list.element": "DELTA_BINARY_PACKED"},
        write_statistics=False,
        write_page_checksum=True,
    )


def _table(block: RowBlock) -> pa.Table:
    context_length = block.input_ids.shape[1]
    kind = pa.list_(pa.field("element", pa.int32(), nullable=False), context_length)
    columns = [pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), type=kind) for array in block]
    return pa.table(columns, schema=pa.schema([pa.field(name, kind, nullable=False) for name in RowBlock._fields]))


def _write_cache(folder: Path, manifest: Manifest, split: Split, path: Path, shape: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        header = {"descr": "<i4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for part in (part for part in manifest.files if part.split == split):
            for block in read_rows(folder / part.name):
                np.stack(block, axis=1).astype("<i4", copy=False).tofile(file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _card(manifest: Manifest) -> str:
    """A dataset card whose `configs` give `load_dataset(folder)` its splits; a split without rows can't be opened."""
    names = [split for split, counts in manifest.splits.items() if counts.rows]
    files = "".join(f"      - split: {split}\n        path: {split}-*.parquet\n" for split in names)
    configs = f"---\nconfigs:\n  - config_name: {manifest.kind}\n    data_files:\n{files}---\n" if names else ""
    counts = "".join(
        f"| {split} | {counts.rows:,} | {counts.sequences:,} | {counts.tokens:,} | {counts.fill:.2%} |\n"
        for split, counts in manifest.splits.items()
    )
    return (
        f"{configs}# Training shards: {manifest.kind}\n\n"
        f"Rows of {manifest.context_length:,} token ids with several whole sequences each: `input_ids`, `labels` "
        f"({manifest.ignored_label} where nothing is learned) and `position_ids`, which start from 0 at each sequence. "
        "A transformers model given the three without an attention mask and with `use_cache=False` attends within "
        f"sequences only. `{MANIFEST}` says with which tokenizer and codebooks they were made.\n\n"
        "| split | rows | sequences | tokens | fill |\n| --- | --- | --- | --- | --- |\n" + counts
    )
