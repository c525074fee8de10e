"""Recordings with lyrics beside or inside them, named by Spotify id or MBID, and a few files that are spoilt."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from mutagen.flac import FLAC
from mutagen.id3 import ID3, TIT2, TPE1, USLT
from mutagen.oggvorbis import OggVorbis

from resources.sample.latents import Latents
from resources.sample.lyrics import lyric_lines, timed_lines
from resources.sample.names import Names
from resources.sample.ogg import with_serial
from resources.sample.streams import Ints, Purpose, choose, generator
from resources.sample.synthesis import SAMPLE_RATE_HZ, Samples, Score, synthesise
from resources.sample.vocabulary import GENRES

AUDIO_SHARE = 0.85
LYRICS_SHARE = 0.7  # of the vocal tracks that have audio
TIMED_SHARE = 0.4  # of these are .lrc, the rest plain .txt
EMBEDDED_SHARE = 0.08  # of the tracks with lyrics carry them as a tag instead
TAGGED_SHARE = 0.1  # of the recordings carry title and artist as tags
SUFFIX_SHARES = {".ogg": 0.5, ".flac": 0.22, ".wav": 0.12, ".mp3": 0.16}
SUFFIXES = tuple(SUFFIX_SHARES)
SUBTYPES = {".ogg": "VORBIS", ".flac": "PCM_16", ".wav": "PCM_16", ".mp3": "MPEG_LAYER_III"}
IN_TAG = "tag"
LYRICS_SUFFIXES = (".txt", ".lrc")
SPOILT = {"truncated": ".flac", "random": ".mp3", "playlist": ".ogg", "empty": ".ogg"}


class Plan(NamedTuple):
    """Which recordings there are: track codes, suffix codes, and where lyrics go: "", ".txt", ".lrc" or "tag"."""

    tracks: Ints
    suffixes: Ints
    lyrics: list[str]
    is_tagged: list[bool]


class Recording(NamedTuple):
    """One written recording; `lyrics` as in `Plan`, `spoilt` one of SPOILT or ""."""

    path: Path
    lyrics: str
    spoilt: str


def write_recordings(
    folder: Path, seed: int, latents: Latents, names: Names, *, duration_s: float
) -> Iterator[Recording]:
    """Write each planned recording and its lyrics, some at a time; yields in the plan's order. The last are spoilt."""
    plan = plan_recordings(seed, latents, names)
    good = len(plan.tracks) - len(SPOILT)

    def write(at: int) -> Recording:
        track = int(plan.tracks[at])
        stem = folder / (names.track_ids[track] or names.track_mbids[track])
        path = stem.with_suffix(SUFFIXES[plan.suffixes[at]])
        if at >= good:
            return _write_spoilt(generator(seed, Purpose.RECORDING, track), path, list(SPOILT)[at - good])
        is_tagged = plan.is_tagged[at] or plan.lyrics[at] == IN_TAG
        lines = lyric_lines(generator(seed, Purpose.LYRICS, track), latents, track) if plan.lyrics[at] else []
        samples = synthesise(generator(seed, Purpose.RECORDING, track), score_of(latents, track), duration_s=duration_s)
        tags = _tags(names, latents, track, lines if plan.lyrics[at] == IN_TAG else []) if is_tagged else {}
        encoded = _with_tags(encode(samples, path.suffix), path.suffix, tags)
        path.write_bytes(with_serial(encoded, track) if path.suffix == ".ogg" else encoded)
        if plan.lyrics[at] in LYRICS_SUFFIXES:
            _write_lyrics(path.with_suffix(plan.lyrics[at]), lines, latents.tracks.duration_ms[track] / 1000)
        return Recording(path, plan.lyrics[at], "")

    # Encoders release the interpreter's lock; every recording has its own random stream.
    with ThreadPoolExecutor() as pool:
        yield from pool.map(write, range(len(plan.tracks)))


def plan_recordings(seed: int, latents: Latents, names: Names) -> Plan:
    """What to record. Tracks without any id that could name a file have no recording."""
    rng = generator(seed, Purpose.RECORDINGS)
    count = len(latents.tracks)
    has_id = np.array(
        [bool(track_id or mbid) for track_id, mbid in zip(names.track_ids, names.track_mbids, strict=True)]
    )
    tracks = rng.permutation(np.flatnonzero(has_id))[: int(AUDIO_SHARE * count)]
    has_lyrics = latents.tracks.is_vocal[tracks] & (rng.random(len(tracks)) < LYRICS_SHARE)
    suffixes = choose(rng, np.array(list(SUFFIX_SHARES.values())), len(tracks))
    suffixes[-len(SPOILT) :] = [SUFFIXES.index(suffix) for suffix in SPOILT.values()]
    is_embedded = (rng.random(len(tracks)) < EMBEDDED_SHARE) & (suffixes != SUFFIXES.index(".wav"))
    is_timed = rng.random(len(tracks)) < TIMED_SHARE
    where = np.where(is_embedded, IN_TAG, np.where(is_timed, ".lrc", ".txt"))
    return Plan(
        tracks, suffixes, np.where(has_lyrics, where, "").tolist(), (rng.random(len(tracks)) < TAGGED_SHARE).tolist()
    )


def score_of(latents: Latents, track: int) -> Score:
    """What to play for a track."""
    tracks = latents.tracks
    return Score(
        tempo_bpm=float(tracks.tempo_bpm[track]),
        key=int(tracks.key[track]),
        energy=float(tracks.energy[track]),
        is_vocal=bool(tracks.is_vocal[track]),
        sound=GENRES[tracks.genre[track]].sound,
    )


def encode(samples: Samples, suffix: str) -> bytes:
    """The samples as a file of this kind; Ogg with libsndfile's own serial number."""
    file = io.BytesIO()
    kind = suffix.removeprefix(".").upper()
    soundfile.write(file, samples, SAMPLE_RATE_HZ, format=kind, subtype=SUBTYPES[suffix])
    return file.getvalue()


def _tags(names: Names, latents: Latents, track: int, lines: list[str]) -> dict[str, str]:
    tags = {"title": names.titles[track], "artist": names.artists[latents.tracks.artist[track]]}
    return tags | {"lyrics": "\n".join(lines)} if lines else tags


def _with_tags(encoded: bytes, suffix: str, tags: dict[str, str]) -> bytes:
    """The file with these tags in its own kind of them; WAV stays as it is."""
    if not tags or suffix == ".wav":
        return encoded
    file = io.BytesIO(encoded)
    if suffix == ".mp3":
        frames = {"title": TIT2, "artist": TPE1, "lyrics": USLT}
        id3 = ID3()
        for name, text in tags.items():
            id3.add(frames[name](encoding=3, text=text))
        id3.save(file)
        return file.getvalue()
    comments = OggVorbis(file) if suffix == ".ogg" else FLAC(file)
    comments.update(tags)
    file.seek(0)
    comments.save(file)
    return file.getvalue()


def _write_lyrics(path: Path, lines: list[str], duration_s: float) -> None:
    text = timed_lines(lines, duration_s) if path.suffix == ".lrc" else lines
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def _write_spoilt(rng: np.random.Generator, path: Path, kind: str) -> Recording:
    """Write what is no whole recording: one cut off, random bytes, a list of other files, or nothing."""
    noise = rng.standard_normal(4 * SAMPLE_RATE_HZ, dtype=np.float32) * np.float32(0.1)
    content = {
        "truncated": encode(noise, ".flac")[:60_000],
        "random": rng.bytes(40_000),
        "playlist": b"#EXTM3U\n#EXTINF:6,Elsewhere\nelsewhere.ogg\n",
        "empty": b"",
    }[kind]
    path.write_bytes(content)
    return Recording(path, "", kind)
