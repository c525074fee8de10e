"""The lake: the folder that owns every table, `<root>/<stage>/<table>/<partition>.parquet`.

A table of folders lies at `<root>/<stage>/<table>/<partition>/`, or `<table>/` itself if it is one whole.
A partition is absent, old or new, never mixed. Writing stages a temporary file, flushes it, and then replaces the
partition's commit record, which names the staged file: that replacement is the commit. Moving the staged file to its
own name ("settling") is done at once, and again by whoever reads first if the writer died in between. So a kill at
any moment leaves the old partition or the new one. This departs from design.md section 3 (rename, then record): there
a kill between the two leaves new data under the old record.

Two writers of one partition cannot both commit: each claims a number first, and the commit of an older claim is
refused. Leaves out object stores: a root with `://` is refused.
"""

import fcntl
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import dagster as dg
import msgspec
import polars as pl

from resources.files import (
    STAGED,
    bytes_sha256,
    file_sha256,
    flush,
    flush_folder,
    remove,
    replace_bytes,
    size_of,
    write_parquet,
)
from resources.hashing import digest_of, sha256_of_file, sha256_of_folder
from resources.tables import Table

WHOLE = "all"  # the one partition of a table that has no partitions
COMMITS = "_commits"
PARTITION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,127}")
Notes = Mapping[str, str | int | float]


class LakeError(Exception):
    """Something of the lake is missing, damaged or superseded; says which partition and what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a partition came about: what was read, by which code and settings, in which run, and notes on it."""

    inputs: Mapping[str, str] = field(default_factory=dict)
    code_version: str = ""
    settings: str = ""
    run: str = ""
    refused: Mapping[str, int] = field(default_factory=dict)
    notes: Notes = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """The commit record of one partition.

    `sha256` is its content's hash and so its data version; `files_sha256` that of its bytes, the same for Parquet.
    """

    table: str
    partition: str
    rows: int
    bytes: int
    sha256: str
    files_sha256: str
    staged: str
    origin: Origin


class Made(msgspec.Struct, frozen=True):
    """What the builder of a folder says of it: rows, notes, and a content hash where its files' bytes differ by run."""

    rows: int
    sha256: str = ""
    notes: dict[str, str | int | float] = {}


class Lake(dg.ConfigurableResource[None]):
    """Every table of the corpus, under one folder."""

    root: str

    @property
    def kept(self) -> Path:
        """The folder of what models made of single inputs (resources/kept.py)."""
        return Path(self.root) / ".kept"

    def claim(self, table: Table, partition: str = WHOLE) -> int:
        """The number of a new attempt to write the partition; commits with an older number are refused from now on."""
        with self._locked(table):
            self._settle(table, partition)
            attempt = self._attempt(table, partition) + 1
            replace_bytes(self._commit_path(table, partition, "attempt"), str(attempt).encode())
            pattern = self._staged_path(table, partition, "?" * len(uuid.uuid4().hex))
            lefts = pattern.parent.glob(pattern.name)
            for left in [*lefts, *self._commits(table).glob(f"{STAGED}{partition}.*")]:
                remove(left)
        return attempt

    def write(
        self, table: Table, frame: pl.DataFrame, *, partition: str = WHOLE, attempt: int, origin: Origin | None = None
    ) -> Record:
        """Commits the frame as the partition, whole. Raises TableError if it breaks the table's declaration."""
        frame = table.checked(frame)
        staged = self._staged_path(table, partition, uuid.uuid4().hex)
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_parquet(frame, staged, key=table.key)
        except BaseException:
            remove(staged)
            raise
        size, sha256 = staged.stat().st_size, sha256_of_file(staged)
        record = Record(table.path, partition, frame.height, size, sha256, sha256, staged.name, origin or Origin())
        return self._commit(table, record, attempt)

    def write_folder(
        self,
        table: Table,
        build: Callable[[Path], Made],
        *,
        partition: str = WHOLE,
        attempt: int,
        origin: Origin | None = None,
    ) -> Record:
        """Commits the folder that `build` fills as the partition, whole."""
        staged = self._staged_path(table, partition, uuid.uuid4().hex)
        staged.mkdir(parents=True)
        try:
            made = build(staged)
            flush_folder(staged)
        except BaseException:
            remove(staged)
            raise
        files_sha256 = sha256_of_folder(staged)
        sha256 = made.sha256 or files_sha256
        origin = origin or Origin()
        origin = replace(origin, notes={**origin.notes, **made.notes})
        size = size_of(staged)
        record = Record(table.path, partition, made.rows, size, sha256, files_sha256, staged.name, origin)
        return self._commit(table, record, attempt)

    def outdate(self, table: Table, partition: str) -> None:
        """Marks a partition as out of date without touching its data: its record names no code version any more."""
        with self._locked(table):
            record = self.record(table, partition)
            if record:
                outdated = replace(record, origin=replace(record.origin, code_version=""))
                replace_bytes(self._commit_path(table, partition, "json"), msgspec.json.encode(asdict(outdated)))

    def is_intact(self, table: Table, partition: str) -> bool:
        """Whether every byte of the partition is as it was committed; reads them all."""
        record = self.record(table, partition)
        if record is None or not self.is_whole(table, partition):
            return False
        return bytes_sha256(self.path(table, partition)) == record.files_sha256

    def record(self, table: Table, partition: str = WHOLE) -> Record | None:
        """The commit record of the partition, or None if it was never committed."""
        path = self._commit_path(table, partition, "json")
        return msgspec.json.decode(path.read_bytes(), type=Record) if path.exists() else None

    def partitions(self, table: Table) -> list[str]:
        """The committed partitions, sorted."""
        return sorted(path.stem for path in self._commits(table).glob("[!.]*.json"))

    def version(self, table: Table, partitions: str | Sequence[str] | None = None) -> str:
        """Content version of one partition, of several, or of all committed ones; of a single one its own hash."""
        keys = self._keys(table, partitions)
        records = [record for key in keys if (record := self.record(table, key))]
        if len(keys) == 1:
            return records[0].sha256 if records else ""
        return digest_of([(record.partition, record.sha256) for record in records])

    def is_whole(self, table: Table, partition: str) -> bool:
        """Whether the partition was committed and its bytes are there, by their number."""
        record = self.record(table, partition)
        if record is None:
            return False
        with self._locked(table):
            self._settle(table, partition)
        return size_of(self.path(table, partition)) == record.bytes

    def file(self, table: Table, partition: str = WHOLE) -> Path:
        """The committed file or folder of the partition; a file's hash is checked once a process.

        Raises LakeError if the partition was not committed or its bytes changed since.
        """
        record = self.record(table, partition)
        if record is None:
            raise LakeError(f"{table.path}/{partition} is not in the lake {self.root}: materialize {table.path} first")
        path = self.path(table, partition)
        is_whole = self.is_whole(table, partition)
        if table.form == "parquet":
            is_whole = is_whole and file_sha256(path, path.stat().st_mtime_ns) == record.files_sha256
        if not is_whole:
            raise LakeError(f"{path}: missing or changed since its commit: materialize {table.path} again")
        return path

    def read(
        self, table: Table, partitions: str | Sequence[str] | None = None, *, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Rows of one partition, of several, or of all committed ones, in their order; no rows if there are none."""
        wanted = list(columns) if columns else None
        files = [self.file(table, key) for key in self._keys(table, partitions)]
        frames = [pl.read_parquet(path, columns=wanted, glob=False) for path in files]
        frames = [frame for frame in frames if frame.height] or frames[:1]
        empty = table.empty()
        return pl.concat(frames) if frames else empty.select(wanted) if wanted else empty

    def path(self, table: Table, partition: str = WHOLE) -> Path:
        """Where the partition lies once settled."""
        if "://" in self.root:
            raise LakeError(f"{self.root}: the lake must be a folder; object stores are not supported")
        if not PARTITION.fullmatch(partition):
            raise LakeError(f"{partition!r} can't name a partition: wanted {PARTITION.pattern}")
        path = Path(self.root) / table.stage / table.name
        if table.form == "folder":
            return path if partition == WHOLE else path / partition
        return path / f"{partition}.parquet"

    def _keys(self, table: Table, partitions: str | Sequence[str] | None) -> Sequence[str]:
        if partitions is None:
            return self.partitions(table)
        return [partitions] if isinstance(partitions, str) else partitions

    def _commit(self, table: Table, record: Record, attempt: int) -> Record:
        with self._locked(table):
            newest = self._attempt(table, record.partition)
            if newest != attempt:
                remove(self.path(table, record.partition).parent / record.staged)
                raise LakeError(f"{table.path}/{record.partition}: attempt {attempt} was superseded by {newest}")
            self._settle(table, record.partition)
            old = self.record(table, record.partition)
            path = self.path(table, record.partition)
            if old and old.sha256 == record.sha256 and bytes_sha256(path) == old.files_sha256:
                remove(path.parent / record.staged)
                record = replace(record, bytes=old.bytes, files_sha256=old.files_sha256, staged="")
            if old != record:
                replace_bytes(self._commit_path(table, record.partition, "json"), msgspec.json.encode(asdict(record)))
            self._settle(table, record.partition)
        return record

    def _settle(self, table: Table, partition: str) -> None:
        record = self.record(table, partition)
        if record is None or not record.staged:
            return
        path = self.path(table, partition)
        staged = path.parent / record.staged
        if not staged.exists():
            return
        if table.form == "folder" and path.exists():
            remove(path)
        staged.replace(path)
        flush(path.parent)

    def _attempt(self, table: Table, partition: str) -> int:
        path = self._commit_path(table, partition, "attempt")
        return int(path.read_text()) if path.exists() else 0

    def _commit_path(self, table: Table, partition: str, kind: str) -> Path:
        self.path(table, partition)  # refuses names that would leave the folder
        return self._commits(table) / f"{partition}.{kind}"

    def _staged_path(self, table: Table, partition: str, name: str) -> Path:
        path = self.path(table, partition)
        suffix = "" if table.form == "folder" else ".parquet"
        return path.with_name(f"{STAGED}{path.name.removesuffix(suffix)}-{name}{suffix}")

    def _commits(self, table: Table) -> Path:
        self.path(table)  # refuses object stores
        return Path(self.root) / table.stage / COMMITS / table.name

    @contextmanager
    def _locked(self, table: Table) -> Iterator[None]:
        commits = self._commits(table)
        commits.mkdir(parents=True, exist_ok=True)
        with (commits / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
