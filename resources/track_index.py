"""A track index: tokens and vectors of the catalog in one LanceDB table, bound to the codebook that made the tokens.

In: a table of track ids, code columns and vector columns; out: `<folder>/<name>.lance`. An index is built once, in an
empty folder, and never changed: a new one replaces it whole, since two writers that merge new keys into a LanceDB
table repeat them. LanceDB opens a damaged table without complaint; so the schema's metadata says, beside the codebook's
hash, what was written, and `files.json`, written last, has the SHA-256 of every file.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from resources.hashing import sha256_of_file

NAME = "token_index"  # of TalkPlay's
KEY = "track_id"
FILES = "files.json"
BATCH_ROWS = 1 << 16
IDS_PER_QUERY = 1000  # a filter is parsed anew each time; longer ones gain nothing


class CodebookMismatchError(ValueError):
    """The index holds tokens of another codebook than the one asked for."""


class DamagedIndexError(RuntimeError):
    """The index can't be read, or isn't what was written."""


class WrittenIndex(NamedTuple):
    """What was written: the number of rows and a SHA-256 of columns and rows, the same for equal content."""

    rows: int
    sha256: str


class StoredCodes(NamedTuple):
    """Ids, a pyarrow array in ascending order; int32 codes [N, M]; the number of codes of each of the M modalities."""

    track_ids: Any
    codes: npt.NDArray[np.int32]
    codes_per_modality: dict[str, int]


def write_index(
    folder: Path,
    table: pa.Table | pl.DataFrame,
    *,
    codebook_hash: str,
    codes_per_modality: Mapping[str, int],
    name: str = NAME,
) -> WrittenIndex:
    """Build `<name>.lance` in a folder that has none.

    The table has `track_id`, an integer column for each modality named (0..K-1, or K where missing), in order of
    importance, or for each level of each, and any fixed-size float vectors, null where missing. A `codebook_hash`
    column, if any, must agree. Raises ValueError naming column and row for null or repeated ids, codes out of range,
    NaN and other types, and CodebookMismatchError for tokens of another codebook.
    """
    path = _path(folder, name)
    if path.exists():
        raise FileExistsError(f"{path} exists; build the new index in an empty folder, then rename it")
    given = table.to_arrow() if isinstance(table, pl.DataFrame) else table
    rows = _checked(given, codebook_hash, codes_per_modality, _asset(path))
    written = WrittenIndex(rows.num_rows, _content_hash(rows.schema, rows.to_batches(max_chunksize=BATCH_ROWS)))
    metadata = {
        "codebook_hash": codebook_hash,
        "codes_per_modality": json.dumps(dict(codes_per_modality)),
        "rows": str(written.rows),
        "sha256": written.sha256,
    }
    _create(path, rows.replace_schema_metadata(metadata), codes_per_modality)
    return written


def open_index(folder: Path, *, codebook_hash: str, name: str = NAME) -> "TrackIndex":
    """The index in `<folder>/<name>.lance`.

    Raises FileNotFoundError if there is none, CodebookMismatchError if its tokens are of another codebook, and
    DamagedIndexError if it can't be opened.
    """
    path = _path(folder, name)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no token index; materialize {_asset(path)}")
    index = _opened(path)
    if index.codebook_hash != codebook_hash:
        found, asset = index.codebook_hash, _asset(path)
        raise CodebookMismatchError(
            f"{path}: tokens of codebook {found}, wanted {codebook_hash}; materialize {asset} again"
        )
    return index


@dataclass(frozen=True, slots=True)
class TrackIndex:
    """An open index, its rows in track_id order. `written` is what its builder said of it."""

    path: Path
    table: Any
    codebook_hash: str
    codes_per_modality: dict[str, int]
    written: WrittenIndex

    def codes(self) -> StoredCodes:
        """All ids and codes, to build a matcher from (about a second for 1.7 million tracks)."""
        names = list(self.codes_per_modality)
        rows = self.table.search().select([KEY, *names]).to_arrow()
        codes_NM = np.stack([rows[name].to_numpy() for name in names], axis=1)
        return StoredCodes(rows[KEY].combine_chunks(), codes_NM, self.codes_per_modality)

    def tracks(self, track_ids: Sequence[str]) -> pl.DataFrame:
        """The rows of these tracks, in the order asked for; unknown ids have none."""
        parts = [self._rows_where(f"{KEY} in ({', '.join(map(_literal, part))})") for part in _parts(track_ids)]
        found = pl.concat(parts) if parts else self._rows_where("false")
        return pl.DataFrame({KEY: track_ids}, schema={KEY: pl.String}).join(
            found.unique(KEY), on=KEY, how="inner", maintain_order="left"
        )

    def verify(self) -> None:
        """Read every file and every fragment; raises DamagedIndexError unless all is as it was written."""
        changed, asset = _changed_files(self.path), _asset(self.path)
        if changed:
            raise DamagedIndexError(f"{self.path}: {changed} changed since written; materialize {asset} again")
        batches = self.table.search().to_batches(batch_size=BATCH_ROWS)
        read = WrittenIndex(self.table.count_rows(), _content_hash(self.table.schema, batches))
        if read != self.written:
            raise DamagedIndexError(f"{self.path}: {read}, but {self.written} was written; materialize {asset} again")

    def _rows_where(self, condition: str) -> pl.DataFrame:
        frame = pl.from_arrow(self.table.search().where(condition).to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lance"


def _asset(path: Path) -> str:
    """The asset that makes the index, for messages."""
    return f"index/{path.stem}"


def _opened(path: Path) -> TrackIndex:
    import lancedb

    try:
        table = lancedb.connect(path.parent).open_table(path.stem)
        stored = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
        written = WrittenIndex(int(stored["rows"]), stored["sha256"])
        return TrackIndex(path, table, stored["codebook_hash"], json.loads(stored["codes_per_modality"]), written)
    except Exception as error:  # damage comes in many types, a panic of lancedb's Rust code among them
        raise DamagedIndexError(
            f"{path}: can't be opened as a token index; materialize {_asset(path)} again"
        ) from error


def _changed_files(path: Path) -> list[str]:
    """The names of files that are missing, new or of other bytes than `files.json` says; that file itself if lost."""
    try:
        written = json.loads((path / FILES).read_bytes())
    except (OSError, ValueError):
        return [FILES]
    present = _hashes(path)
    return sorted(name for name in written.keys() | present.keys() if written.get(name) != present.get(name))


def _hashes(path: Path) -> dict[str, str]:
    files = (file for file in path.rglob("*") if file.is_file() and file != path / FILES)
    return {file.relative_to(path).as_posix(): sha256_of_file(file) for file in files}


def _literal(text: str) -> str:
    """A string as SQL writes it; the only way by which outside text enters a filter."""
    return "'" + text.replace("'", "''") + "'"


def _parts(track_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (track_ids[start : start + IDS_PER_QUERY] for start in range(0, len(track_ids), IDS_PER_QUERY))


def _checked(table: pa.Table, codebook_hash: str, codes_per_modality: Mapping[str, int], asset: str) -> pa.Table:
    """The columns to store, in declared order and track_id order."""
    if missing := {KEY, *codes_per_modality} - set(table.column_names):
        raise ValueError(f"{asset}: columns {sorted(missing)} are missing; has {table.column_names}")
    if "codebook_hash" in table.column_names:
        if strangers := set(table["codebook_hash"].unique().to_pylist()) - {codebook_hash}:
            found = sorted(map(str, strangers))
            raise CodebookMismatchError(f"{asset}: rows of codebook {found}, wanted {codebook_hash}; rerun the tokens")
        table = table.drop_columns("codebook_hash")
    ids = table[KEY].cast(pa.string())
    if ids.null_count or pc.count_distinct(ids).as_py() != len(ids):
        raise ValueError(f"{asset}: {KEY} is null or repeated; {_first_bad_id(ids)}")
    codes = {
        name: _checked_codes(f"{asset}: column {name}", table[name], size, ids)
        for name, size in codes_per_modality.items()
    }
    others = sorted(set(table.column_names) - {KEY, *codes})
    vectors = {name: _checked_vectors(f"{asset}: column {name}", table[name], ids) for name in others}
    return pa.table({KEY: ids, **codes, **vectors}).sort_by(KEY)


def _first_bad_id(ids: pa.ChunkedArray) -> str:
    counts = pl.Series(KEY, ids).to_frame().group_by(KEY).len().filter((pl.col("len") > 1) | pl.col(KEY).is_null())
    return f"the first is {counts.sort(KEY).row(0, named=True)}"


def _checked_codes(place: str, codes: pa.ChunkedArray, size: int, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_integer(codes.type):
        raise ValueError(f"{place} is {codes.type}, wanted integer codes")
    is_good = pc.fill_null(pc.and_(pc.greater_equal(codes, 0), pc.less_equal(codes, size)), False)
    if not pc.all(is_good, min_count=0).as_py():
        row = pc.index(is_good, False).as_py()
        raise ValueError(f"{place}, track {ids[row]}: code {codes[row]}; wanted 0..{size}")
    return codes.cast(pa.int32())


def _checked_vectors(place: str, vectors: pa.ChunkedArray, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_fixed_size_list(vectors.type) or not pa.types.is_floating(vectors.type.value_type):
        raise ValueError(f"{place} is {vectors.type}; wanted fixed-size floats")
    before = 0
    for chunk in vectors.chunks:
        values = chunk.flatten().to_numpy(zero_copy_only=False)  # without the rows that are null
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            row = before + int(np.flatnonzero(chunk.is_valid())[bad[0] // vectors.type.list_size])
            raise ValueError(f"{place}, track {ids[row]}: NaN or infinity in its vector; missing is null")
        before += len(chunk)
    # Lance wants elements that may be null, whatever the producer declared.
    return vectors.cast(pa.list_(vectors.type.value_type, vectors.type.list_size))


def _content_hash(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> str:
    """SHA-256 of names, types and values; how the rows are cut into batches does not show."""
    hashes = [hashlib.sha256(f"{field.name}:{field.type}".encode()) for field in schema]
    shapes = [hashlib.sha256() for _ in schema]
    for batch in batches:
        for column, values, shape in zip(batch.columns, hashes, shapes, strict=True):
            is_text = pa.types.is_string(column.type)
            shape.update((pc.binary_length(column) if is_text else column.is_valid()).to_numpy(zero_copy_only=False))
            values.update(_bytes(column))
    return hashlib.sha256(b"".join(part.digest() for part in [*hashes, *shapes])).hexdigest()


def _bytes(column: pa.Array) -> bytes:
    """The values of a column without its nulls, one after the other."""
    if pa.types.is_string(column.type):
        return "".join(column.to_pylist()).encode()
    values = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
    return bytes(values.to_numpy(zero_copy_only=False).tobytes())


def _create(path: Path, rows: pa.Table, modalities: Iterable[str]) -> None:
    import lancedb
    from lancedb.index import Bitmap, BTree

    # "null" keeps the vectors that are null; NaN was refused before.
    batches = rows.to_reader(max_chunksize=BATCH_ROWS)
    table = lancedb.connect(path.parent).create_table(path.stem, batches, on_bad_vectors="null")
    table.create_index(KEY, config=BTree())
    for name in modalities:
        table.create_index(name, config=Bitmap())
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        # Without older versions, a lost manifest is an error and not an older table. Nobody reads this folder yet.
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)
    assert all(index.num_unindexed_rows == 0 for index in table.list_indices())
    (path / FILES).write_text(json.dumps(_hashes(path), sort_keys=True, indent=1))
