"""Content hashes of files, folders and values."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec


def sha256_of_file(path: Path) -> str:
    """SHA-256 of the file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_folder(folder: Path) -> str:
    """SHA-256 over the relative names and hashes of the folder's files, in hex."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_of([(path.relative_to(folder).as_posix(), sha256_of_file(path)) for path in files])


def digest_of(values: object) -> str:
    """SHA-256 of a JSON-able value written with sorted keys, in hex."""
    return hashlib.sha256(msgspec.json.encode(values, order="sorted")).hexdigest()


def listing_of(folder: Path, patterns: Iterable[str] = ("**/*",)) -> str:
    """Digest of names, sizes and times of change of the folder's files: cheap, and different if any of them changed."""
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    stats = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    return digest_of([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
