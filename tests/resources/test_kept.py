"""What is kept of finished work."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resources.kept import ABANDONED_S, Kept

IDENTITY = "a model, its settings"


def files_of(folder: Path) -> list[Path]:
    """The Parquet files under a folder."""
    return sorted(folder.rglob("[!.]*.parquet"))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Of several writes all keys, by another object too."""
    Kept(tmp_path, IDENTITY).write("part-1", {"b": b"\x00\xff", "a": b""})
    Kept(tmp_path, IDENTITY).write("part-1", {"c": b"3"})
    assert Kept(tmp_path, IDENTITY).read("part-1") == {"a": b"", "b": b"\x00\xff", "c": b"3"}


def test_identities_and_parts_are_apart(tmp_path: Path) -> None:
    """Another model's, or another part's, is not found."""
    Kept(tmp_path, IDENTITY).write("1", {"a": b"1"})
    assert Kept(tmp_path, "another").read("1") == Kept(tmp_path, IDENTITY).read("2") == {}


def test_the_folder_says_of_what_it_is(tmp_path: Path) -> None:
    """identity.txt holds the identity in words."""
    Kept(tmp_path, IDENTITY).write("1", {"a": b"1"})
    assert [path.read_text() for path in tmp_path.glob("*/identity.txt")] == [IDENTITY]


def test_no_damaged_bit_goes_unseen(tmp_path: Path) -> None:
    """Whichever byte of a file is changed, nothing is read of it and it is removed, and the others are read."""
    kept = Kept(tmp_path, IDENTITY)
    kept.write("1", {"a": b"payload", "b": b"other"})
    path = files_of(tmp_path)[0]
    raw = path.read_bytes()
    kept.write("1", {"c": b"3"})
    for position in range(len(raw)):
        path.write_bytes(raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :])
        assert kept.read("1") == {"c": b"3"}
        assert not path.exists()


def test_a_torn_file_counts_as_never_written(tmp_path: Path) -> None:
    """Half of a file, and an empty one."""
    kept = Kept(tmp_path, IDENTITY)
    kept.write("1", {"a": b"payload"})
    path = files_of(tmp_path)[0]
    raw = path.read_bytes()
    for size in (0, len(raw) // 2):
        path.write_bytes(raw[:size])
        assert kept.read("1") == {}


def test_merging_leaves_one_file_with_everything(tmp_path: Path) -> None:
    """Three files become one."""
    kept = Kept(tmp_path, IDENTITY)
    payloads = {"a": b"1", "b": b"2", "c": b"3"}
    for key, payload in payloads.items():
        kept.write("1", {key: payload})
    kept.merge("1")
    assert len(files_of(tmp_path)) == 1
    assert kept.read("1") == payloads


def test_merging_a_file_into_one_that_has_it_already_keeps_that(tmp_path: Path) -> None:
    """What two files hold together may be what one of them holds: its bytes and so its name are the merged file's."""
    kept = Kept(tmp_path, IDENTITY)
    kept.write("1", {"a": b"1", "b": b"2"})
    kept.write("1", {"a": b"1"})
    kept.merge("1")
    assert kept.read("1") == {"a": b"1", "b": b"2"}


def test_nothing_is_missing_while_others_write_and_merge(tmp_path: Path) -> None:
    """Two writers that merge after each write; who reads meanwhile finds at least what was there before it read."""

    def write(name: str) -> None:
        kept = Kept(tmp_path, IDENTITY)
        for number in range(20):
            kept.write("1", {f"{name}{number}": b"payload"})
            written.add(f"{name}{number}")
            kept.merge("1")

    written: set[str] = set()
    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(write, name) for name in "ab"]
        while not all(writer.done() for writer in writers):
            before = set(written)
            assert Kept(tmp_path, IDENTITY).read("1").keys() >= before
        for writer in writers:
            writer.result()
    assert len(Kept(tmp_path, IDENTITY).read("1")) == 40


def test_staged_files_are_not_read_and_abandoned_ones_removed(tmp_path: Path) -> None:
    """A killed writer's file goes with the next merge after an hour; a living one's stays."""
    kept = Kept(tmp_path, IDENTITY)
    folder = kept.write("1", {"a": b"1"}).parent
    old, new = folder / ".tmp-old", folder / ".tmp-new"
    for staged in (old, new):
        staged.write_bytes(b"torn")
    os.utime(old, (time.time() - 2 * ABANDONED_S,) * 2)
    kept.merge("1")
    assert kept.read("1") == {"a": b"1"}
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("part", ["../elsewhere", "", ".hidden", "a/b"])
def test_a_part_cannot_leave_the_folder(tmp_path: Path, part: str) -> None:
    """Names with slashes, or beginning with a dot, are refused."""
    with pytest.raises(ValueError, match="can't name a part"):
        Kept(tmp_path, IDENTITY).write(part, {"a": b"1"})
