"""Playlists as MPD slices: written slice by slice, each from its own seeded stream, so that memory stays flat."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from resources.sample.latents import Latents, Origin
from resources.sample.names import Names
from resources.sample.streams import Flags, Ints, Purpose, generator
from resources.sample.taste import Pools, TasteSampler
from resources.sample.themes import Themes, draw_themes, playlist_description, playlist_name

DAY_S = 86_400
FIRST_DAY = 17_167  # 2017-01-01, in days since 1970-01-01
LAST_DAY = 17_471  # 2017-11-01
LAST_DAY_SHARE = 0.05
LENGTH_SIGMA = 0.65
LENGTH_RANGE = (5, 250)  # the publisher's own limits
OVERDRAW = 1.6  # repeated draws are dropped
BLOCK_PLAYLISTS = 500  # bounds the tastes x cells matrix
SAME_ARTIST_SHARE = 0.2
POPULAR_SHARE = 0.06
COLD_SHARE = 0.12  # of the draws of playlists of the last day
REPEAT_SHARE = 0.06  # of the playlists hold a track twice
DESCRIPTION_SHARE = 0.02
COLLABORATIVE_SHARE = 0.025
INDENT = 4  # as published


class MpdTrack(msgspec.Struct, gc=False):
    """A playlist's track, fields in the published order."""

    pos: int
    artist_name: str
    track_uri: str
    artist_uri: str
    track_name: str
    album_uri: str
    duration_ms: int
    album_name: str


class MpdPlaylist(msgspec.Struct, omit_defaults=True):
    """A playlist, fields in the published order."""

    name: str
    collaborative: str
    pid: int
    modified_at: int
    num_tracks: int
    num_albums: int
    num_followers: int
    tracks: list[MpdTrack]
    num_edits: int
    duration_ms: int
    num_artists: int
    description: str | None = None


class MpdInfo(msgspec.Struct):
    """A slice's head."""

    generated_on: str
    slice: str
    version: str


class MpdSlice(msgspec.Struct):
    """A slice file."""

    info: MpdInfo
    playlists: list[MpdPlaylist]


class Block(NamedTuple):
    """Some consecutive playlists; `tracks` holds their track codes one after the other, `offsets` where each starts."""

    themes: Themes
    day: Ints
    tracks: Ints
    offsets: Ints


@dataclass(frozen=True, slots=True)
class Shelf:
    """What playlists draw their tracks from."""

    warm: TasteSampler
    cold: TasteSampler
    by_artist: Pools
    all_warm: Pools


def write_slices(
    folder: Path, seed: int, latents: Latents, names: Names, *, playlists: int, slice_size: int, mean_length: float
) -> Iterator[Ints]:
    """Write one slice file at a time and yield its track codes, playlist after playlist."""
    shelf = stock_shelf(latents)
    for number, first in enumerate(range(0, playlists, slice_size)):
        rng = generator(seed, Purpose.SLICE, number)
        count = min(slice_size, playlists - first)
        blocks = list(draw_blocks(rng, shelf, latents, count=count, mean_length=mean_length))
        rows: list[MpdPlaylist] = []
        for block in blocks:
            rows += _block_rows(rng, block, latents, names, first_pid=first + len(rows))
        label = f"{first}-{first + count - 1}"
        content = MpdSlice(MpdInfo("2017-12-03 08:41:42.057563", label, "v1"), rows)
        encoded = msgspec.json.format(msgspec.json.encode(content), indent=INDENT)
        (folder / f"mpd.slice.{label}.json").write_bytes(encoded)
        yield np.concatenate([block.tracks for block in blocks])


def stock_shelf(latents: Latents) -> Shelf:
    """Samplers of the tracks that playlists may hold."""
    tracks = latents.tracks
    is_warm = tracks.origin == Origin.WARM
    return Shelf(
        warm=TasteSampler.of(tracks, is_warm),
        cold=TasteSampler.of(tracks, tracks.origin == Origin.COLD),
        by_artist=Pools.of(tracks.artist, tracks.popularity, is_warm, groups=len(latents.artists.genre)),
        all_warm=Pools.of(np.zeros(len(tracks), dtype=np.int64), tracks.popularity, is_warm, groups=1),
    )


def draw_blocks(
    rng: np.random.Generator, shelf: Shelf, latents: Latents, *, count: int, mean_length: float
) -> Iterator[Block]:
    """The playlists of one slice, block by block; a fixed share of them, at least one, is of the last day."""
    day = FIRST_DAY + ((LAST_DAY - FIRST_DAY) * rng.random(count) ** 0.6).astype(np.int64)
    day[rng.permutation(count)[: max(1, int(np.ceil(LAST_DAY_SHARE * count)))]] = LAST_DAY
    longest = min(LENGTH_RANGE[1], len(shelf.warm.pools.tracks) // 3)
    mu = np.log(mean_length) - LENGTH_SIGMA**2 / 2
    length = np.clip(np.rint(rng.lognormal(mu, LENGTH_SIGMA, count)), LENGTH_RANGE[0], longest).astype(np.int64)
    for start in range(0, count, BLOCK_PLAYLISTS):
        rows = slice(start, start + BLOCK_PLAYLISTS)
        themes = draw_themes(rng, len(day[rows]))
        tracks, offsets = _draw_tracks(rng, shelf, latents, themes, day[rows] == LAST_DAY, length[rows])
        yield Block(themes, day[rows], tracks, offsets)


def _draw_tracks(
    rng: np.random.Generator, shelf: Shelf, latents: Latents, themes: Themes, is_last_day: Flags, length: Ints
) -> tuple[Ints, Ints]:
    """Track codes and offsets: drawn by theme, some by the same artist as the one before, none twice but for a few."""
    drawn = (OVERDRAW * length).astype(np.int64) + 6
    row = np.repeat(np.arange(len(length)), drawn)
    tracks = shelf.warm.draw(rng, themes.taste, row)

    is_popular = rng.random(len(row)) < POPULAR_SHARE
    tracks[is_popular] = shelf.all_warm.draw(np.zeros(is_popular.sum(), dtype=np.int64), rng.random(is_popular.sum()))
    follows = np.flatnonzero((rng.random(len(row)) < SAME_ARTIST_SHARE) & (np.roll(row, 1) == row))
    previous_artist = latents.tracks.artist[tracks[follows - 1]]
    tracks[follows] = shelf.by_artist.draw(previous_artist, rng.random(len(follows)))
    is_cold = np.flatnonzero(is_last_day[row] & (rng.random(len(row)) < COLD_SHARE))
    tracks[is_cold] = shelf.cold.draw(rng, themes.taste, row[is_cold])

    first_seen = np.unique(row * len(latents.tracks) + tracks, return_index=True)[1]
    kept = np.sort(first_seen)
    starts = np.searchsorted(row[kept], np.arange(len(length) + 1))
    kept = kept[np.arange(len(kept)) - starts[row[kept]] < length[row[kept]]]
    offsets = np.searchsorted(row[kept], np.arange(len(length) + 1))
    chosen = tracks[kept]
    _repeat_some(rng, chosen, offsets)
    return chosen, offsets


def _repeat_some(rng: np.random.Generator, tracks: Ints, offsets: Ints) -> None:
    """In a few playlists the last track becomes a copy of an earlier one, in place."""
    length = np.diff(offsets)
    repeats = np.flatnonzero((rng.random(len(length)) < REPEAT_SHARE) & (length > LENGTH_RANGE[0]))
    source = offsets[repeats] + (rng.random(len(repeats)) * (length[repeats] - 1)).astype(np.int64)
    tracks[offsets[repeats + 1] - 1] = tracks[source]


def _block_rows(
    rng: np.random.Generator, block: Block, latents: Latents, names: Names, *, first_pid: int
) -> Iterator[MpdPlaylist]:
    count = len(block.day)
    has_description = rng.random(count) < DESCRIPTION_SHARE
    is_collaborative = rng.random(count) < COLLABORATIVE_SHARE
    followers = np.minimum(1 + np.floor(rng.pareto(1.6, count)), 50_000).astype(np.int64).tolist()
    edits = (1 + rng.geometric(0.08, count)).tolist()
    for at in range(count):
        codes = block.tracks[block.offsets[at] : block.offsets[at + 1]]
        tracks = _track_rows(codes, latents, names)
        yield MpdPlaylist(
            name=playlist_name(block.themes, at, rng),
            collaborative="true" if is_collaborative[at] else "false",
            pid=first_pid + at,
            modified_at=int(block.day[at]) * DAY_S,
            num_tracks=len(tracks),
            num_albums=len({track.album_uri for track in tracks}),
            num_followers=followers[at],
            tracks=tracks,
            num_edits=edits[at],
            duration_ms=sum(track.duration_ms for track in tracks),
            num_artists=len({track.artist_uri for track in tracks}),
            description=playlist_description(block.themes, at) if has_description[at] else None,
        )


def _track_rows(codes: Ints, latents: Latents, names: Names) -> list[MpdTrack]:
    tracks = latents.tracks
    columns = zip(
        codes.tolist(),
        tracks.artist[codes].tolist(),
        tracks.album[codes].tolist(),
        tracks.duration_ms[codes].tolist(),
        strict=True,
    )
    return [
        MpdTrack(
            pos,
            names.artists[artist],
            "spotify:track:" + names.track_ids[track],
            "spotify:artist:" + names.artist_ids[artist],
            names.titles[track],
            "spotify:album:" + names.album_ids[album],
            duration_ms,
            names.albums[album],
        )
        for pos, (track, artist, album, duration_ms) in enumerate(columns)
    ]
