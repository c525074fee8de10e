"""Content hashes: equal for equal content, different for anything that matters."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from resources.hashing import digest_of, listing_of, sha256_of_file, sha256_of_folder

TIME_NS = 1_500_000_000_000_000_000


def written(path: Path, text: str) -> Path:
    """A file with a fixed time of change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    return path


def test_a_file_has_the_hash_of_its_bytes(tmp_path: Path) -> None:
    """SHA-256 in hex, as `sha256sum` prints it."""
    assert sha256_of_file(written(tmp_path / "a", "abc")) == hashlib.sha256(b"abc").hexdigest()


def test_a_folder_has_the_hash_of_names_and_bytes(tmp_path: Path) -> None:
    """Equal files under equal names hash alike wherever they lie and whenever they were written; a byte or a name
    makes another hash.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        written(folder / "x", "1")
        written(folder / "deep/y", "2")
    before = sha256_of_folder(one)
    os.utime(two / "x", ns=(0, 0))
    assert sha256_of_folder(two) == before
    written(two / "x", "3")
    assert sha256_of_folder(two) != before
    (one / "x").rename(one / "z")
    assert sha256_of_folder(one) != before


def test_a_digest_does_not_depend_on_the_order_of_names() -> None:
    """Mappings are written with sorted keys; lists keep their order."""
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_a_digest_is_the_same_in_every_process() -> None:
    """The seed of Python's own hashes changes nothing."""
    code = "from resources.hashing import digest_of; print(digest_of({'b': ['x', 1.5, None], 'a': True}))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    printed = [
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
        for seed in ("1", "2")
    ]
    assert {done.stdout.strip() for done in printed} == {digest_of({"b": ["x", 1.5, None], "a": True})}


def test_a_listing_sees_names_sizes_and_times(tmp_path: Path) -> None:
    """A new name, another size and another time of change each make another listing; an empty folder inside none."""
    path = written(tmp_path / "a", "abc")
    seen = [listing_of(tmp_path)]
    (tmp_path / "empty").mkdir()
    assert listing_of(tmp_path) == seen[0]
    os.utime(path, ns=(TIME_NS, TIME_NS + 1))
    seen.append(listing_of(tmp_path))
    written(path, "abcd")
    seen.append(listing_of(tmp_path))
    path.rename(tmp_path / "b")
    seen.append(listing_of(tmp_path))
    assert len(set(seen)) == 4


def test_a_listing_is_of_the_patterns_asked_for(tmp_path: Path) -> None:
    """Files that no pattern finds don't count, and one that two find counts once."""
    written(tmp_path / "a.txt", "abc")
    listed = listing_of(tmp_path, ["*.txt"])
    written(tmp_path / "a.mp3", "abc")
    assert listing_of(tmp_path, ["*.txt", "a.t*"]) == listed
    assert listing_of(tmp_path) != listed
