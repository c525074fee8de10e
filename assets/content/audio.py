"""Recordings: which file is which track's, and what is known of each file.

A recording is named by its track (Spotify id, MusicBrainz id, or track id with '_' for ':') or tagged with the artist
and title of exactly one. Files are other people's: they are read under the folder only, through no link.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import mutagen
import polars as pl

from assets.content.hearing import Facts
from assets.content.tables import AUDIO_FILES, RHYTHM
from assets.content.tempo import Rhythm
from assets.sources.identity import normalised
from resources.inside import open_inside
from resources.refusals import Refusal, refused_frame

FOLDER = "audio"
EXTENSIONS = (".flac", ".wav", ".ogg", ".mp3", ".m4a", ".opus", ".aac", ".aif", ".aiff")  # the first is preferred
FILES = {"track_id": pl.String, "path": pl.String, "bytes": pl.Int64, "sha256": pl.String}


class Recordings(NamedTuple):
    """Which file is which track's: `paths` is (track_id, path), the path relative to the raw-data folder."""

    paths: pl.DataFrame
    refused: pl.DataFrame


class Files(NamedTuple):
    """(track_id, path, bytes, sha256) of each track, null without a recording, and the files that cannot be read."""

    files: pl.DataFrame
    refused: list[Refusal]


class AudioFiles(NamedTuple):
    """Rows of content/audio_files, and a refused row for each recording that cannot be decoded."""

    files: pl.DataFrame
    refused: pl.DataFrame


def find_recordings(root: Path, tracks: pl.DataFrame) -> Recordings:
    """The recording of each track that has one, among the files under `<root>/audio`.

    tracks has track_id, track_uri, track_mbid, artist, title. Of two files of a track the first in order of EXTENSIONS
    and name counts. Reasons: no_such_track, second_recording, not_a_file (a link, FIFO or device), bad_name.
    """
    paths, refusals = _scan(root)
    by_name = _tracks_by_name(tracks)
    by_tags = _tracks_by_tags(tracks)
    chosen: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (EXTENSIONS.index(Path(path).suffix.lower()), path)):
        track_id = by_name.get(Path(path).stem)
        if track_id is None:
            tagged = by_tags.get(_tagged_key(root, path), [])
            if len(tagged) != 1:
                detail = f"neither its name nor its tags name one track; its tags fit {len(tagged)}"
                refusals.append(Refusal(path, "whole file", "no_such_track", detail))
                continue
            track_id = tagged[0]
        if track_id in chosen:
            refusals.append(Refusal(path, track_id, "second_recording", f"{chosen[track_id]} is used"))
            continue
        chosen[track_id] = path
    found = pl.DataFrame(sorted(chosen.items()), schema={"track_id": pl.String, "path": pl.String}, orient="row")
    return Recordings(found, refused_frame(refusals))


def hashed_files(root: Path, tracks: pl.DataFrame) -> Files:
    """Hash and size of the file of each track of `tracks` (track_id, path or null). Reason: unreadable."""
    rows: list[tuple[str, str | None, int | None, str | None]] = []
    refusals = []
    for track_id, path in tracks.select("track_id", "path").sort("track_id").iter_rows():
        size, sha256 = None, None
        try:
            if path is not None:
                with open_inside(root, path) as file:
                    size = os.fstat(file.fileno()).st_size
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            refusals.append(Refusal(path, track_id, "unreadable", error.strerror or str(error)))
        rows.append((track_id, path, size, sha256))
    return Files(pl.DataFrame(rows, schema=FILES, orient="row"), refusals)


def audio_files(hashed: Files, heard: Mapping[str, Facts | Refusal]) -> AudioFiles:
    """One row per track of `hashed`: its file, and what can be decoded of it, as `heard` says by track.

    Reasons: unreadable, and those of `assets.content.decoding`.
    """
    rows: list[tuple[object, ...]] = []
    refusals = list(hashed.refused)
    for track_id, path, size, sha256 in hashed.files.iter_rows():
        facts = heard.get(track_id)
        if isinstance(facts, Facts):
            rows.append((track_id, path, size, sha256, *facts))
            continue
        rows.append((track_id, path, size, sha256, None, None, None, "absent" if path is None else "refused"))
        if facts is not None:
            refusals.append(facts._replace(source=path, location=track_id))
    return AudioFiles(pl.DataFrame(rows, schema=AUDIO_FILES.empty().schema, orient="row"), refused_frame(refusals))


def rhythm_frame(tracks: pl.DataFrame, heard: Mapping[str, Rhythm | Refusal]) -> pl.DataFrame:
    """Rows of content/rhythm for the tracks; absent where nothing was heard."""
    absent = Rhythm(None, None, None, None, "absent")
    rhythms = ((track_id, heard.get(track_id, absent)) for track_id in tracks["track_id"].sort())
    rows = [(track_id, *(absent if isinstance(rhythm, Refusal) else rhythm)) for track_id, rhythm in rhythms]
    return pl.DataFrame(rows, schema=RHYTHM.empty().schema, orient="row")


def _scan(root: Path) -> tuple[list[str], list[Refusal]]:
    """The regular files with an audio suffix under the folder, and refusals for what is in their place."""
    paths: list[str] = []
    refusals: list[Refusal] = []
    folders = [FOLDER] if (root / FOLDER).is_dir() else []
    while folders:
        folder = folders.pop()
        for entry in os.scandir(root / folder):
            path = f"{folder}/{entry.name}"
            is_audio = Path(entry.name).suffix.lower() in EXTENSIONS
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                folders.append(path)
            elif is_audio or stat.S_ISLNK(mode):
                shown = os.fsencode(path).decode("utf-8", "backslashreplace")
                if not stat.S_ISREG(mode):
                    refusals.append(Refusal(shown, "whole file", "not_a_file", "expected a regular file, not a link"))
                elif shown != path:
                    refusals.append(Refusal(shown, "whole file", "bad_name", "its name is not UTF-8"))
                else:
                    paths.append(path)
    return paths, refusals


def _tracks_by_name(tracks: pl.DataFrame) -> dict[str, str]:
    """Track by the stem a file of it may have; Spotify ids before MusicBrainz ids before track ids."""
    rows = tracks.select("track_id", "track_uri", "track_mbid").sort("track_id").rows()
    named = [
        *((track_uri.rsplit(":", 1)[-1], track_id) for track_id, track_uri, _ in rows if track_uri),
        *((track_mbid, track_id) for track_id, _, track_mbid in rows if track_mbid),
        *((track_id.replace(":", "_"), track_id) for track_id, _, _ in rows),
    ]
    return dict(reversed(named))


def _tracks_by_tags(tracks: pl.DataFrame) -> dict[tuple[str, str], list[str]]:
    by_tags: dict[tuple[str, str], list[str]] = {}
    for track_id, artist, title in tracks.select("track_id", "artist", "title").sort("track_id").iter_rows():
        key = (normalised(artist), normalised(title))
        if all(key):
            by_tags.setdefault(key, []).append(track_id)
    return by_tags


def _tagged_key(root: Path, path: str) -> tuple[str, str]:
    """Artist and title as the file's own tags state them, normalised; empty where they do not."""
    try:
        with open_inside(root, path) as file:
            parsed = mutagen.File(file, easy=True)
    except Exception:  # damaged tags raise IndexError and others beside mutagen's own error
        return "", ""
    tags = {} if parsed is None or parsed.tags is None else parsed.tags
    artist, title = (next(iter(tags.get(name, [])), "") for name in ("artist", "title"))
    return normalised(str(artist)), normalised(str(title))
