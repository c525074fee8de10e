"""The lyrics of a recording: the contract, and the embedded provider that reads lyric files and lyric tags."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, Protocol

import mutagen
import numpy as np
from mutagen.id3 import ID3
from numpy.typing import NDArray

from resources.inside import open_inside
from resources.refusals import Refusal

LYRIC_SUFFIXES = (".lrc", ".lyrics.txt", ".txt")  # the first that says something counts
LYRIC_TAGS = ("lyrics", "unsyncedlyrics", "\N{COPYRIGHT SIGN}lyr")  # Vorbis comments, Vorbis comments, MP4
MAX_CHARACTERS = 20_000
MAX_FILE_BYTES = 1 << 20
INSTRUMENTAL = re.compile(r"[\[(]?\s*instrumental\s*[\])]?", re.IGNORECASE)
TIME_STAMP = re.compile(r"[\[<]\d{1,3}:\d{1,2}(?:[.:]\d{1,3})?[\]>]")
LRC_METADATA = re.compile(r"\[(?:ar|ti|al|au|by|re|ve|la|length|offset|#)\s*:[^\]]*\]", re.IGNORECASE)
CONTROL_OR_SURROGATE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")

# N samples


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording: the file `path` under `root`; samples mono float32 in -1..1 where the provider asks for them."""

    track_id: str
    root: Path
    path: str
    samples_N: NDArray[np.float32] | None = None


class Segment(NamedTuple):
    """What is sung between two moments of a recording; times and statistics are null where the origin has none.

    mean_logprob is that of its tokens, temperature that of their sampling (openai-whisper's names and meanings).
    """

    text: str
    start_s: float | None = None
    end_s: float | None = None
    mean_logprob: float | None = None
    no_speech_probability: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None


class Transcript(NamedTuple):
    """What is sung in one recording, unfiltered; origin is lrc, txt, tag or a provider's name.

    Instrumental: no voice; silent: no sound; absent: nobody wrote it down. Only sung ones have segments.
    """

    segments: tuple[Segment, ...]
    origin: str | None
    status: Literal["sung", "instrumental", "silent", "absent"]
    language: str | None = None
    language_probability: float | None = None


class Transcriber(Protocol):
    """Writes down what is sung."""

    @property
    def name(self) -> str:
        """The provider and its settings."""
        ...

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate of the samples it needs, or None if it needs no samples."""
        ...

    def transcribe(self, recordings: Sequence[Recording]) -> list[Transcript | Refusal]:
        """One result per recording, in order; a refusal's location is the track.

        Raises ConnectionError when the provider cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class LyricFiles:
    """Lyrics from `.lrc` and `.txt` files beside the recording, else from a lyric tag inside it.

    Reasons: not_utf8, too_large, unreadable.
    """

    name: str = "lyric files"
    sample_rate_hz: int | None = None

    def transcribe(self, recordings: Sequence[Recording]) -> list[Transcript | Refusal]:
        """One result per recording, in order."""
        return [_from_files(recording) for recording in recordings]


def plain_lyrics(text: str) -> str:
    """The lines of a text without time stamps, LRC metadata and control characters, at most 20,000 characters."""
    lines: list[str] = []
    for line in text.splitlines():
        if LRC_METADATA.fullmatch(line.strip()):
            continue
        sung = CONTROL_OR_SURROGATE.sub(" ", TIME_STAMP.sub("", line)).strip()
        if sung or (lines and lines[-1]):
            lines.append(sung)
    plain = "\n".join(lines).strip()
    if len(plain) <= MAX_CHARACTERS:
        return plain
    cut = plain[:MAX_CHARACTERS]
    return cut[: cut.rfind("\n")].strip() if "\n" in cut else cut


def _from_files(recording: Recording) -> Transcript | Refusal:
    stem = str(Path(recording.path).with_suffix(""))
    for suffix in LYRIC_SUFFIXES:
        try:
            with open_inside(recording.root, stem + suffix) as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            return Refusal(stem + suffix, recording.track_id, "unreadable", error.strerror or str(error))
        if len(raw) > MAX_FILE_BYTES:
            return Refusal(stem + suffix, recording.track_id, "too_large", f"more than {MAX_FILE_BYTES} bytes")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            return Refusal(stem + suffix, recording.track_id, "not_utf8", str(error))
        if plain := plain_lyrics(text):
            return _transcript(plain, "lrc" if suffix == ".lrc" else "txt")
    try:
        with open_inside(recording.root, recording.path) as file:
            plain = plain_lyrics(_lyric_tag(file))
    except OSError as error:
        return Refusal(recording.path, recording.track_id, "unreadable", error.strerror or str(error))
    return _transcript(plain, "tag") if plain else Transcript((), None, "absent")


def _transcript(plain: str, origin: str) -> Transcript:
    if INSTRUMENTAL.fullmatch(plain):
        return Transcript((), origin, "instrumental")
    return Transcript((Segment(plain),), origin, "sung")


def _lyric_tag(file: BinaryIO) -> str:
    """The lyric tag of a recording; empty where it has none or its tags are damaged."""
    try:
        parsed = mutagen.File(file)
    except Exception:  # damaged tags raise IndexError and others beside mutagen's own error
        return ""
    tags = None if parsed is None else parsed.tags
    if tags is None:
        return ""
    if isinstance(tags, ID3):
        return next((str(frame.text) for frame in tags.getall("USLT")), "")
    by_key = {str(key).lower(): str(value[0]) for key, value in dict(tags).items() if value}
    return next((by_key[key] for key in LYRIC_TAGS if key in by_key), "")
