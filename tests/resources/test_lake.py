"""The lake commits a partition whole or not at all."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from resources.lake import Lake, LakeError, Made, Origin
from resources.tables import TableError

SWEEP = importlib.util.spec_from_file_location("lake_sweep", Path(__file__).with_name("lake_sweep.py"))
assert SWEEP
assert SWEEP.loader
lake_sweep = importlib.util.module_from_spec(SWEEP)
SWEEP.loader.exec_module(lake_sweep)
ROWS, FOLDER = lake_sweep.ROWS, lake_sweep.FOLDER


def rows(*words: str) -> pl.DataFrame:
    """A frame of words, numbered."""
    return pl.DataFrame({"row_id": range(len(words)), "word": words}, schema={"row_id": pl.Int64, "word": pl.String})


def written(lake: Lake, *words: str, partition: str = "p0") -> str:
    """Writes the words and returns their content version."""
    return lake.write(ROWS, rows(*words), partition=partition, attempt=lake.claim(ROWS, partition)).sha256


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake(root=str(tmp_path / "lake"))


def test_written_rows_read_back_in_key_order(lake: Lake) -> None:
    """Rows come back by key, whatever order they were written in."""
    lake.write(ROWS, rows("a", "b", "c").reverse(), partition="p0", attempt=lake.claim(ROWS, "p0"))
    assert lake.read(ROWS, "p0")["word"].to_list() == ["a", "b", "c"]
    assert lake.path(ROWS, "p0").name == "p0.parquet"


def test_same_content_has_same_version(lake: Lake) -> None:
    """A version is of the content: writing the same rows again changes nothing but the attempt."""
    first = written(lake, "a", "b")
    modified_ns = lake.path(ROWS, "p0").stat().st_mtime_ns
    assert written(lake, "a", "b") == first
    assert lake.path(ROWS, "p0").stat().st_mtime_ns == modified_ns


def test_whole_table_reads_partitions_in_order(lake: Lake) -> None:
    """A table is its partitions in order of their names, and its version changes with any of them."""
    written(lake, "b", partition="p1")
    written(lake, "a", partition="p0")
    version = lake.version(ROWS)
    assert lake.read(ROWS)["word"].to_list() == ["a", "b"]
    written(lake, "c", partition="p1")
    assert lake.version(ROWS) != version


def test_uncommitted_partition_is_an_error_that_says_what_to_do(lake: Lake) -> None:
    """Reading what was never committed names the asset to materialize."""
    with pytest.raises(LakeError, match="materialize sources/rows first"):
        lake.read(ROWS, "p0")


def test_changed_bytes_are_noticed(lake: Lake) -> None:
    """A file whose bytes differ from its commit is refused."""
    written(lake, "a")
    path = lake.path(ROWS, "p0")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(LakeError, match="changed since its commit"):
        lake.read(ROWS, "p0")


def test_older_attempt_is_refused(lake: Lake) -> None:
    """Of two writers, the one that claimed later wins, whichever commits first."""
    older, newer = lake.claim(ROWS, "p0"), lake.claim(ROWS, "p0")
    lake.write(ROWS, rows("new"), partition="p0", attempt=newer)
    with pytest.raises(LakeError, match=f"attempt {older} was superseded by {newer}"):
        lake.write(ROWS, rows("old"), partition="p0", attempt=older)
    assert lake.read(ROWS, "p0")["word"].to_list() == ["new"]


def test_broken_frame_leaves_the_old_partition(lake: Lake) -> None:
    """A repeated key is refused and the partition stays as it was."""
    written(lake, "a")
    with pytest.raises(TableError, match="primary_key"):
        lake.write(ROWS, pl.concat([rows("b"), rows("c")]), partition="p0", attempt=lake.claim(ROWS, "p0"))
    assert lake.read(ROWS, "p0")["word"].to_list() == ["a"]


@pytest.mark.parametrize("partition", ["../up", "a/b", "", ".hidden", "x\n", "a" * 129])
def test_partition_names_stay_in_their_folder(lake: Lake, partition: str) -> None:
    """A partition's name can't leave the table's folder or hide in it."""
    with pytest.raises(LakeError, match="can't name a partition"):
        lake.claim(ROWS, partition)


def test_object_store_is_refused() -> None:
    """A root that is a URL is refused before anything is written."""
    with pytest.raises(LakeError, match="object stores are not supported"):
        Lake(root="s3://bucket/lake").claim(ROWS, "p0")


def test_outdated_partition_keeps_its_data(lake: Lake) -> None:
    """Outdating takes the code version from the record and leaves the rows."""
    lake.write(ROWS, rows("a"), partition="p0", attempt=lake.claim(ROWS, "p0"), origin=Origin(code_version="1"))
    lake.outdate(ROWS, "p0")
    record = lake.record(ROWS, "p0")
    assert record is not None
    assert record.origin.code_version == ""
    assert lake.read(ROWS, "p0")["word"].to_list() == ["a"]


def swept_lakes(tmp_path: Path, form: str, attempt: str) -> list[Lake]:
    """Lakes whose writers died at their 1st, 2nd, ... file-system step; the writer of the last one survived."""
    command = [sys.executable, str(Path(__file__).with_name("lake_sweep.py")), str(tmp_path), form, attempt]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, timeout=120, env=environment)
    return [Lake(root=str(folder)) for folder in sorted(tmp_path.iterdir())]


def table_word(lake: Lake) -> str:
    """The word that the partition holds."""
    return str(lake.read(ROWS, "p0")["word"].item())


def folder_word(lake: Lake) -> str:
    """The word that both files of the folder hold."""
    files = list(lake.file(FOLDER).rglob("*.txt"))
    words = {path.read_text() for path in files}
    assert len(files) == 2
    assert len(words) == 1, "a mixed folder"
    return words.pop()


@pytest.mark.parametrize(("form", "word_of"), [("table", table_word), ("folder", folder_word)])
def test_a_kill_at_any_step_leaves_old_or_new(tmp_path: Path, form: str, word_of: Callable[[Lake], str]) -> None:
    """Whatever file-system step a writer dies at, readers find the old or the new partition, whole."""
    *killed, survived = [word_of(lake) for lake in swept_lakes(tmp_path, form, "second")]
    assert len(killed) > 8
    assert set(killed) == {"old", "new"}
    assert killed == sorted(killed, reverse=True), "once the new one is committed, it stays"
    assert survived == "new"


@pytest.mark.parametrize("form", ["table", "folder"])
def test_a_rerun_after_a_kill_leaves_nothing_half_written(tmp_path: Path, form: str) -> None:
    """Whatever step the writer died at, writing again ends in the same partition and no temporary file."""
    for lake in swept_lakes(tmp_path, form, "second"):
        lake_sweep.write(lake, form, "new")
        assert (table_word(lake) if form == "table" else folder_word(lake)) == "new"
        assert not list(Path(lake.root).rglob(".tmp-*"))


def test_a_first_write_killed_at_any_step_is_absent_or_whole(tmp_path: Path) -> None:
    """A partition that never was committed is absent after a kill, never half there."""
    for lake in swept_lakes(tmp_path, "table", "first"):
        assert lake.partitions(ROWS) in ([], ["p0"])
        assert not lake.partitions(ROWS) or table_word(lake) == "new"


@pytest.mark.parametrize("longer", ["full-seed8", "full.seed8"])
def test_folders_of_a_table_are_apart(lake: Lake, longer: str) -> None:
    """A table of folders may have partitions: each is committed, read and claimed alone, whatever another's name."""

    def build(word: str) -> Callable[[Path], Made]:
        def write(folder: Path) -> Made:
            (folder / "word.txt").write_text(word)
            return Made(rows=1)

        return write

    attempts = {key: lake.claim(FOLDER, key) for key in ("full", longer)}
    for key, attempt in attempts.items():
        lake.write_folder(FOLDER, build(key), partition=key, attempt=attempt)
    assert lake.partitions(FOLDER) == ["full", longer]
    assert {key: (lake.file(FOLDER, key) / "word.txt").read_text() for key in attempts} == {
        key: key for key in attempts
    }

    other = lake.claim(FOLDER, longer)
    staged = lake._staged_path(FOLDER, longer, "0" * 32)
    staged.mkdir()
    lake.write_folder(FOLDER, build("new"), partition="full", attempt=lake.claim(FOLDER, "full"))
    assert staged.exists()
    lake.write_folder(FOLDER, build("newer"), partition=longer, attempt=other)
    assert (lake.file(FOLDER, "full") / "word.txt").read_text() == "new"
