"""The folder of published data: `mpd/`, `lastfm/`, `audio/`, `facts/`, `cpcd/`, each optional. It is never written."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import dagster as dg

from resources.hashing import digest_of, listing_of, sha256_of_file

SLICE_FILE = re.compile(r"mpd\.slice\.\d+-\d+\.json")


class RawFolder(dg.ConfigurableResource[None]):
    """Published data as its publishers lay it out."""

    root: str

    @property
    def mpd(self) -> Path:
        """Million Playlist Dataset slices, at any depth."""
        return Path(self.root) / "mpd"

    @property
    def lastfm(self) -> Path:
        """The LastFM-1K log and profiles."""
        return Path(self.root) / "lastfm"

    @property
    def audio(self) -> Path:
        """Recordings and lyric files, at any depth."""
        return Path(self.root) / "audio"

    @property
    def facts(self) -> Path:
        """Facts about artists, releases and tracks, as JSONL."""
        return Path(self.root) / "facts"

    @property
    def cpcd(self) -> Path:
        """Conversations of people who look for music: `conversations.jsonl` and the `tracks.jsonl` that they name."""
        return Path(self.root) / "cpcd"

    @property
    def mgphot(self) -> Path:
        """The user's own MGPHot annotations, which may not be handed on."""
        return Path(self.root) / "mgphot"

    def vectors(self, modality: str) -> Path:
        """Vectors of a modality that were made elsewhere, `embeddings/<modality>.parquet`."""
        return Path(self.root) / "embeddings" / f"{modality}.parquet"

    def slices(self) -> dict[str, Path]:
        """Slice files by name without `.json`, in numeric order.

        Raises ValueError if two files have one name, because a slice is known by its name.
        """
        found: dict[str, Path] = {}
        for path in self.mpd.rglob("*.json"):
            if not SLICE_FILE.fullmatch(path.name):
                continue
            if path.stem in found:
                raise ValueError(f"{path} and {found[path.stem]} have one name: a slice must be there once")
            found[path.stem] = path
        return {name: found[name] for name in sorted(found, key=slice_order)}

    def version(self, path: Path) -> str:
        """Content version of a file (SHA-256) or folder (names, sizes, times); empty if it is not there."""
        if path.is_file():
            stat = path.stat()
            return _sha256(path, stat.st_size, stat.st_mtime_ns)
        return listing_of(path) if path.is_dir() else ""

    def stats(self, paths: Iterable[str]) -> str:
        """Digest of names, sizes and times of change of some files; a missing one counts as size 0."""
        found = [(path, Path(self.root) / path) for path in paths]
        stats = [(name, path.stat() if path.exists() else None) for name, path in found]
        return digest_of([(name, stat.st_size, stat.st_mtime_ns) if stat else (name, 0, 0) for name, stat in stats])

    def relative(self, path: Path) -> str:
        """The path within the folder, as recorded in commit records."""
        return path.relative_to(self.root).as_posix()


def slice_order(name: str) -> tuple[int, str]:
    """Sort key of a slice's name: by its first playlist number."""
    return int(name.split(".")[2].split("-", maxsplit=1)[0]), name


@lru_cache(maxsize=8192)
def _sha256(path: Path, size: int, modified_ns: int) -> str:  # noqa: ARG001 - part of the cache's key
    return sha256_of_file(path)
