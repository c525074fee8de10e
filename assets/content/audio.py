"""Recordings: which file is which track's, and what can be decoded of it.

A recording is named by its track (Spotify id, MusicBrainz id, or track id with '_' for ':') or tagged with the artist
and title of exactly one. Files are other people's: they are read under the folder only, through no link, and decoded
from memory by an allow-list of formats, so that a playlist with an audio suffix cannot make the decoder open files.
"""

import hashlib
import io
import os
import stat
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

import av
import mutagen
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.content.tables import AUDIO_FILES
from assets.sources.identity import normalised
from resources.refusals import Refusal, refused_frame
from resources.transcriber import open_inside

# N samples

FOLDER = "audio"
EXTENSIONS = (".flac", ".wav", ".ogg", ".mp3", ".m4a", ".opus", ".aac", ".aif", ".aiff")  # the first is preferred
OPEN_OPTIONS = {"format_whitelist": "flac,wav,ogg,mp3,mp4,aac,aiff", "protocol_whitelist": "none"}
SAMPLE_RATES_HZ = range(8_000, 192_001)
CHANNELS = range(1, 9)
LEAST_S = 1.0
MOST_PACKET_ERRORS = 0.1  # share of the packets
LEAST_DECODED = 0.95  # share of the declared length
MANIFEST_RATE_HZ = 8_000  # the manifest needs lengths, no sound: the lowest rate is the cheapest


class UndecodableError(Exception):
    """A recording that cannot be used. Reasons: empty_file, undecodable, no_audio_stream, sample_rate, channels."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Decoded:
    """What was decoded: mono samples at the rate asked for; sample_rate_hz and channels are the file's own."""

    samples_N: NDArray[np.float32]
    decoded_s: float
    declared_s: float | None
    sample_rate_hz: int
    channels: int
    packet_errors: int
    status: Literal["decoded", "truncated", "capped"]


class Recordings(NamedTuple):
    """Which file is which track's: `paths` is (track_id, path), the path relative to the raw-data folder."""

    paths: pl.DataFrame
    refused: pl.DataFrame


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


def audio_files(root: Path, tracks: pl.DataFrame, *, max_s: float) -> AudioFiles:
    """One row per track of `tracks` (track_id, path or null): its file's hash and size, and what can be decoded.

    Reasons: unreadable, and those of `decode`.
    """
    rows: list[dict[str, str | int | float | None]] = []
    refusals = []
    for track_id, path in tracks.select("track_id", "path").sort("track_id").iter_rows():
        row = {"track_id": track_id, "path": path, "status": "absent" if path is None else "refused"}
        rows.append(row)
        if path is None:
            continue
        try:
            with open_inside(root, path) as file:
                row["bytes"] = os.fstat(file.fileno()).st_size
                row["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
                heard = decode(file, sample_rate_hz=MANIFEST_RATE_HZ, max_s=max_s)
        except UndecodableError as error:
            refusals.append(Refusal(path, track_id, error.reason, error.detail))
        except OSError as error:
            refusals.append(Refusal(path, track_id, "unreadable", error.strerror or str(error)))
        else:
            row |= {name: getattr(heard, name) for name in ("decoded_s", "sample_rate_hz", "channels", "status")}
    return AudioFiles(pl.DataFrame(rows, schema=AUDIO_FILES.empty().schema, orient="row"), refused_frame(refusals))


def samples_of(
    root: Path, files: pl.DataFrame, *, sample_rate_hz: int, max_s: float
) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
    """Each track of content/audio_files with its samples, one in memory at a time; None where none can be decoded.

    Raises UndecodableError or OSError for a file that changed since the manifest: make that table again.
    """
    for track_id, path, status in files.select("track_id", "path", "status").iter_rows():
        if status in ("absent", "refused"):
            yield track_id, None
            continue
        with open_inside(root, path) as file:
            yield track_id, decode(file, sample_rate_hz=sample_rate_hz, max_s=max_s).samples_N


def decode(raw: bytes | BinaryIO, *, sample_rate_hz: int, max_s: float) -> Decoded:
    """The recording as mono float32 in -1..1 at `sample_rate_hz`, its first `max_s` seconds.

    Only what was decoded counts, never what the file declares. Status is capped when there was more than max_s,
    truncated when less than 95 % of the declared length was there. Raises UndecodableError, also below one second.
    """
    file = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    file.seek(0)
    if not file.read(1):
        raise UndecodableError("empty_file", "0 bytes")
    file.seek(0)
    try:
        container = av.open(file, mode="r", options=OPEN_OPTIONS, metadata_errors="ignore")
    except av.FFmpegError as error:
        # Not str(error): it names the file handle, another one each time.
        raise UndecodableError("undecodable", error.strerror) from error
    with container:
        stream = _audio_stream(container)
        declared_s = _declared_s(container, file)
        pcm, packets, errors = _pcm(container, stream, sample_rate_hz, max_samples=round(max_s * sample_rate_hz))
        rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels

    samples_N = np.frombuffer(pcm, dtype=np.float32)
    decoded_s = len(samples_N) / sample_rate_hz
    if decoded_s < LEAST_S or errors > MOST_PACKET_ERRORS * packets:
        raise UndecodableError("undecodable", f"{decoded_s:.2f} s decoded, {errors} of {packets} packets are damaged")
    if not np.isfinite(samples_N).all():
        raise UndecodableError("undecodable", "samples that are not numbers")
    is_capped = decoded_s > max_s
    samples_N = samples_N[: round(max_s * sample_rate_hz)]
    np.clip(samples_N, -1, 1, out=samples_N)
    is_truncated = declared_s is not None and decoded_s < LEAST_DECODED * declared_s
    status: Literal["decoded", "truncated", "capped"]
    status = "capped" if is_capped else "truncated" if is_truncated else "decoded"
    return Decoded(samples_N, len(samples_N) / sample_rate_hz, declared_s, rate_hz, channels, errors, status)


def _audio_stream(container: av.container.InputContainer) -> av.audio.AudioStream:
    if not container.streams.audio:
        raise UndecodableError("no_audio_stream", f"{len(container.streams)} streams, none of them audio")
    stream = container.streams.audio[0]
    rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    if rate_hz not in SAMPLE_RATES_HZ:
        raise UndecodableError("sample_rate", f"{rate_hz} Hz; expected 8,000 to 192,000")
    if channels not in CHANNELS:
        raise UndecodableError("channels", f"{channels} channels; expected 1 to 8")
    return stream


def _declared_s(container: av.container.InputContainer, file: BinaryIO) -> float | None:
    """The length that the file states of itself; null where it states none."""
    if container.format.name == "wav":
        # The decoder takes the length of a WAV file from its size, which hides that its end is missing.
        place = file.tell()
        file.seek(0)
        try:
            with wave.open(file) as header:
                return float(header.getnframes() / header.getframerate())
        except (wave.Error, EOFError, ZeroDivisionError):
            pass  # not plain PCM
        finally:
            file.seek(place)
    return None if container.duration is None else float(container.duration / av.time_base)


def _pcm(
    container: av.container.InputContainer, stream: av.audio.AudioStream, sample_rate_hz: int, *, max_samples: int
) -> tuple[bytearray, int, int]:
    """Mono float32 bytes, packets and damaged packets; stops with the frame that passes `max_samples`."""
    # Channels are averaged here: the resampler's own mix to mono makes floats 3 dB too loud.
    resampler = av.AudioResampler(format="fltp", rate=sample_rate_hz)
    pcm = bytearray()  # grows in place: a list of arrays would need twice the memory when joined
    packets = errors = 0
    try:
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except av.FFmpegError:
                errors += 1
                continue
            for frame in frames:
                frame.pts = None  # damaged time stamps must not stop the resampler
                for resampled in resampler.resample(frame):
                    pcm += resampled.to_ndarray().mean(axis=0).tobytes()
            if len(pcm) > max_samples * np.float32().itemsize:
                return pcm, packets, errors
    except (av.FFmpegError, ValueError):
        # The file breaks off, or changes its sample rate on the way: what came before counts.
        return pcm, packets + 1, errors + 1
    for resampled in resampler.resample(None):
        pcm += resampled.to_ndarray().mean(axis=0).tobytes()
    return pcm, packets, errors


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
