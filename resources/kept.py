"""What is kept of finished work, by what made it and the hash of its input: a rerun repeats only what is missing.

`<folder>/<digest of identity>/<part>/<sha256 of the file>.parquet` with the columns key and payload. A file appears
whole or not at all. One that is damaged counts as never written: its name tells, since page checksums leave out the
pages' headers and the footer. Nothing but time depends on what is kept: the folder may be deleted.
"""

import re
import time
import uuid
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import polars as pl

from resources.files import STAGED, flush, remove, replace_bytes, write_parquet
from resources.hashing import digest_of, sha256_of_file

PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]{0,127}")
COLUMNS = {"key": pl.String, "payload": pl.Binary}
ABANDONED_S = 3600.0  # a staged file this old has no writer any more


class Kept:
    """Payloads by key, kept for one `identity`: the model, settings and code that made them.

    Two processes may write at once; of a key that both wrote, either payload is read.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder / digest_of(identity)[:32]
        self._identity = identity

    def read(self, part: str) -> dict[str, bytes]:
        """What was kept of the part; removes files that are damaged."""
        return self._all(part)[0]

    def write(self, part: str, payloads: Mapping[str, bytes]) -> Path:
        """Adds a file to the part, flushed to the disk."""
        folder = self._part(part)
        folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / "identity.txt").exists():
            replace_bytes(self._folder / "identity.txt", self._identity.encode())
        staged = folder / f"{STAGED}{uuid.uuid4().hex}"
        try:
            frame = pl.DataFrame({"key": list(payloads), "payload": list(payloads.values())}, schema=COLUMNS)
            write_parquet(frame.sort("key"), staged, key=list(COLUMNS))
            path = folder / f"{sha256_of_file(staged)}.parquet"
            staged.replace(path)
        finally:
            remove(staged)
        flush(folder)
        return path

    def merge(self, part: str) -> None:
        """Makes one file of the part's files. What another process adds meanwhile stays beside it."""
        if len(self._files(part)) > 1:
            payloads, files = self._all(part)
            merged = self.write(part, payloads)
            for path in files:
                if path != merged:
                    remove(path)
        for staged in self._part(part).glob(f"{STAGED}*"):
            _remove_if_abandoned(staged)

    def _all(self, part: str) -> tuple[dict[str, bytes], list[Path]]:
        """The part's payloads, and the files they are in."""
        while True:
            payloads: dict[str, bytes] = {}
            files = self._files(part)
            try:
                for path in files:
                    payloads.update(_payloads(path))
            except FileNotFoundError:
                continue  # another process merged: what was in that file is in a new one
            return payloads, files

    def _files(self, part: str) -> list[Path]:
        return sorted(self._part(part).glob("[!.]*.parquet"))

    def _part(self, part: str) -> Path:
        if not PART.fullmatch(part):
            raise ValueError(f"{part!r} can't name a part: wanted {PART.pattern}")
        return self._folder / part


def _payloads(path: Path) -> dict[str, bytes]:
    """What is in a file; nothing, and the file is removed, if it is damaged. Raises FileNotFoundError if it is gone."""
    raw = path.read_bytes()
    if sha256(raw).hexdigest() != path.stem:
        remove(path)
        return {}
    rows = pl.read_parquet(raw)
    return dict(zip(rows["key"], rows["payload"], strict=True))


def _remove_if_abandoned(staged: Path) -> None:
    try:
        changed_at = staged.stat().st_mtime
    except FileNotFoundError:
        return
    if time.time() - changed_at > ABANDONED_S:
        remove(staged)
