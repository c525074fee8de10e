"""A whole made-up world on disk, laid out as `MUSIC_RAW` wants it: mpd/, lastfm/, audio/, facts/.

Beside them `latent.parquet` holds the hidden truth for tests and evaluation; the pipeline never reads it.
`world.json` states the settings and the counts.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from resources.sample.facts import write_facts
from resources.sample.latents import Latents, Origin, draw_latents
from resources.sample.listening import write_log
from resources.sample.names import Names, draw_names
from resources.sample.playlists import write_slices
from resources.sample.recordings import Recording, write_recordings
from resources.sample.vocabulary import GENRES, LANGUAGES, MOODS

FORMAT = 2  # raise it when the same settings come to give other bytes
WORLD_FILE = "world.json"
LEAST_TRACKS = 60


class SliceCounts(NamedTuple):
    """What the slice files hold."""

    files: int
    playlist_tracks: int
    distinct_tracks: int


class WorldFile(msgspec.Struct):
    """What world.json holds: the settings that made the world, and its counts."""

    settings: dict[str, int | float | bool]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class WorldSize:
    """How large a world is. `plays` are over all listeners; `audio_s` is the length of one recording."""

    playlists: int = 1_200
    tracks: int = 1_500
    listeners: int = 60
    plays: int = 60_000
    playlist_length: float = 24.0  # mean; 66.3 in the Million Playlist Dataset
    slice_size: int = 100  # 1,000 in the Million Playlist Dataset
    audio_s: float = 6.0
    with_audio: bool = True

    def __post_init__(self) -> None:
        least = {
            "playlists": 1,
            "tracks": LEAST_TRACKS,
            "listeners": 0,
            "playlist_length": 5,
            "slice_size": 1,
            "audio_s": 1,
        }
        for name, wanted in least.items():
            if getattr(self, name) < wanted:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {wanted}")


@dataclass(frozen=True, slots=True)
class WorldSummary:
    """What a world holds; lines that are broken or stamped years too late are in no count."""

    playlists: int
    slices: int
    playlist_tracks: int
    tracks: int
    distinct_playlist_tracks: int
    listeners: int
    plays: int
    recordings: int
    spoilt_recordings: int
    lyrics: int
    artist_facts: int
    release_facts: int
    track_facts: int
    is_new: bool = True


def make_world(out: Path, *, size: WorldSize | None = None, seed: int = 7) -> WorldSummary:
    """Write the world into the folder `out`; one that is there already with the same settings stays as it is.

    The same size and seed give the same bytes. A sibling folder is filled that takes the name `out` at the end, so that
    a killed run leaves nothing half-written. Raises FileExistsError if `out` holds something that is not a world.
    """
    size, out = size or WorldSize(), out.absolute()
    settings = {"format": FORMAT, "seed": seed, **asdict(size)}
    if out.exists() and any(out.iterdir()):
        found = read_world_file(out)
        if found.settings == settings:
            return WorldSummary(**found.counts, is_new=False)
    partial, replaced = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.replaced")
    for stale in (partial, replaced):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir(parents=True)
    summary = _write(partial, size, seed)
    counts = {name: count for name, count in asdict(summary).items() if name != "is_new"}
    (partial / WORLD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(WorldFile(settings, counts))))
    if out.exists():
        out.rename(replaced)
    partial.rename(out)
    shutil.rmtree(replaced, ignore_errors=True)
    return summary


def read_world_file(out: Path) -> WorldFile:
    """Settings and counts of the world in `out`."""
    path = out / WORLD_FILE
    if not path.is_file():
        raise FileExistsError(
            f"{out} holds files but no {WORLD_FILE}; expected an empty folder or a sample world: choose another"
        )
    return msgspec.json.decode(path.read_bytes(), type=WorldFile)


def latent_frame(latents: Latents, names: Names) -> pl.DataFrame:
    """The hidden truth, one row a track; track_uri and mbid are null where a track has none."""
    tracks = latents.tracks
    uris = [f"spotify:track:{track_id}" if track_id else None for track_id in names.track_ids]
    languages = latents.artists.language[tracks.artist]
    return pl.DataFrame(
        {
            "track_uri": pl.Series(uris, dtype=pl.String),
            "mbid": pl.Series([mbid or None for mbid in names.track_mbids], dtype=pl.String),
            "artist": [names.artists[artist] for artist in tracks.artist.tolist()],
            "title": names.titles,
            "logged_artist": names.logged_artists,
            "logged_title": names.logged_titles,
            "is_logged": tracks.is_logged,
            "origin": [Origin(code).name.lower() for code in tracks.origin.tolist()],
            "genre": [GENRES[code].name for code in tracks.genre.tolist()],
            "mood": [MOODS[code].name for code in tracks.mood.tolist()],
            "language": [LANGUAGES[code].name for code in languages.tolist()],
            "tempo_bpm": tracks.tempo_bpm,
            "key": tracks.key,
            "energy": tracks.energy,
            "vocal": tracks.is_vocal,
            "year": tracks.year,
            "popularity": tracks.popularity,
        }
    )


def _write(folder: Path, size: WorldSize, seed: int) -> WorldSummary:
    for name in ("mpd", "lastfm", "facts", *(["audio"] if size.with_audio else [])):
        (folder / name).mkdir()
    latents = draw_latents(seed, tracks=size.tracks)
    names = draw_names(seed, latents)
    latent_frame(latents, names).write_parquet(folder / "latent.parquet")
    facts = write_facts(folder / "facts", seed, latents, names)
    slices = _write_playlists(folder / "mpd", size, seed, latents, names)
    plays = list(write_log(folder / "lastfm", seed, latents, names, listeners=size.listeners, plays=size.plays))
    recordings: list[Recording] = []
    if size.with_audio:
        recordings = list(write_recordings(folder / "audio", seed, latents, names, duration_s=size.audio_s))
    return WorldSummary(
        playlists=size.playlists,
        slices=slices.files,
        playlist_tracks=slices.playlist_tracks,
        tracks=size.tracks,
        distinct_playlist_tracks=slices.distinct_tracks,
        listeners=len(plays),
        plays=sum(plays),
        recordings=sum(not recording.spoilt for recording in recordings),
        spoilt_recordings=sum(bool(recording.spoilt) for recording in recordings),
        lyrics=sum(bool(recording.lyrics) for recording in recordings),
        artist_facts=facts["artists"],
        release_facts=facts["releases"],
        track_facts=facts["tracks"],
    )


def _write_playlists(folder: Path, size: WorldSize, seed: int, latents: Latents, names: Names) -> SliceCounts:
    files, playlist_tracks = 0, 0
    is_used = np.zeros(size.tracks, dtype=np.bool_)
    for tracks in write_slices(
        folder,
        seed,
        latents,
        names,
        playlists=size.playlists,
        slice_size=size.slice_size,
        mean_length=size.playlist_length,
    ):
        files += 1
        playlist_tracks += len(tracks)
        is_used[tracks] = True
    return SliceCounts(files, playlist_tracks, int(is_used.sum()))
