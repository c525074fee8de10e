"""Slices: the publisher's layout, the last day, streaming, and themes that show in what is listed together."""

import itertools
import re
from collections import Counter

import msgspec
import numpy as np
import pytest

from resources.sample.latents import Origin, draw_latents
from resources.sample.names import draw_names
from resources.sample.playlists import LAST_DAY, MpdSlice, draw_blocks, stock_shelf, write_slices
from resources.sample.streams import Purpose, generator

PLAYLIST_FIELDS = [
    "name", "collaborative", "pid", "modified_at", "num_tracks", "num_albums", "num_followers",
    "tracks", "num_edits", "duration_ms", "num_artists",
]  # fmt: skip
TRACK_FIELDS = [
    "pos", "artist_name", "track_uri", "artist_uri", "track_name", "album_uri", "duration_ms", "album_name",
]  # fmt: skip
LAST_MODIFIED_AT = 1_509_494_400  # 2017-11-01


@pytest.fixture(scope="module")
def latents():
    """Hidden truth of a middling world."""
    return draw_latents(5, tracks=1_500)


def test_slices_are_named_and_headed_by_their_pids(world):
    """130 playlists in slices of 50: the last is short."""
    assert sorted(path.name for path in (world.folder / "mpd").iterdir()) == [
        "mpd.slice.0-49.json",
        "mpd.slice.100-129.json",
        "mpd.slice.50-99.json",
    ]
    assert [content["info"] for content in world.slices()] == [
        {"generated_on": "2017-12-03 08:41:42.057563", "slice": label, "version": "v1"}
        for label in ("0-49", "50-99", "100-129")
    ]
    assert [playlist["pid"] for playlist in world.playlists()] == list(range(130))


def test_fields_are_the_published_ones_in_their_order(world):
    """A playlist has eleven fields and maybe a description; a track eight."""
    for playlist in world.playlists():
        assert [field for field in playlist if field != "description"] == PLAYLIST_FIELDS
        assert all(list(track) == TRACK_FIELDS for track in playlist["tracks"])


def test_types_are_the_published_ones(world):
    """Strict decoding accepts every slice; collaborative is a string."""
    for path in (world.folder / "mpd").iterdir():
        decoded = msgspec.json.decode(path.read_bytes(), type=MpdSlice, strict=True)
        assert {playlist.collaborative for playlist in decoded.playlists} <= {"true", "false"}


def test_uris_have_22_character_ids(world):
    """Track, artist and album uris look like Spotify's."""
    tracks = [track for playlist in world.playlists() for track in playlist["tracks"]]
    for kind in ("track", "artist", "album"):
        pattern = re.compile(rf"spotify:{kind}:[0-9A-Za-z]{{22}}")
        assert all(pattern.fullmatch(track[f"{kind}_uri"]) for track in tracks)


def test_totals_agree_with_the_tracks(world):
    """num_tracks, num_albums, num_artists, duration_ms and pos say what the list holds."""
    for playlist in world.playlists():
        tracks = playlist["tracks"]
        assert playlist["num_tracks"] == len(tracks) >= 5
        assert playlist["num_albums"] == len({track["album_uri"] for track in tracks})
        assert playlist["num_artists"] == len({track["artist_uri"] for track in tracks})
        assert playlist["duration_ms"] == sum(track["duration_ms"] for track in tracks)
        assert [track["pos"] for track in tracks] == list(range(len(tracks)))


def test_dates_are_utc_midnights_of_2017_up_to_the_last_day(world):
    """modified_at lies between 2017-01-01 and 2017-11-01, which at least one playlist in 25 has."""
    dates = [playlist["modified_at"] for playlist in world.playlists()]
    assert all(date % 86_400 == 0 for date in dates)
    assert min(dates) >= 1_483_228_800
    assert max(dates) == LAST_MODIFIED_AT
    assert dates.count(LAST_MODIFIED_AT) >= 0.04 * len(dates)


def test_cold_tracks_are_in_playlists_of_the_last_day_alone(latents):
    """Playlists before the last day hold no cold track; those of the last day hold some, and many more warm ones."""
    block = next(draw_blocks(generator(1, Purpose.SLICE), stock_shelf(latents), latents, count=400, mean_length=24))
    origins = latents.tracks.origin[block.tracks]
    is_last_day = np.repeat(block.day == LAST_DAY, np.diff(block.offsets))
    assert not (origins[~is_last_day] == Origin.COLD).any()
    cold = (origins[is_last_day] == Origin.COLD).sum()
    assert 0 < cold < 0.3 * is_last_day.sum()
    assert not (origins == Origin.LASTFM_ONLY).any()


def test_quirks_are_there_now_and_then(latents, tmp_path):
    """Some playlists repeat a track, a few are described or collaborative, some are named by emoji; most are not."""
    list(write_slices(tmp_path, 2, latents, draw_names(2, latents), playlists=600, slice_size=600, mean_length=24))
    playlists = msgspec.json.decode((tmp_path / "mpd.slice.0-599.json").read_bytes(), type=MpdSlice).playlists
    repeated = sum(len({track.track_uri for track in p.tracks}) < len(p.tracks) for p in playlists)
    assert 0.02 < repeated / 600 < 0.12
    assert 0.005 < sum(p.description is not None for p in playlists) / 600 < 0.05
    assert 0.005 < sum(p.collaborative == "true" for p in playlists) / 600 < 0.06
    assert 0.005 < sum(not p.name.isascii() for p in playlists) / 600 < 0.25
    assert 20 < np.mean([len(p.tracks) for p in playlists]) < 28


def test_tracks_of_one_genre_are_listed_together(latents):
    """Two tracks of a playlist share their genre at least twice as often as two tracks of different playlists."""
    block = next(draw_blocks(generator(1, Purpose.SLICE), stock_shelf(latents), latents, count=300, mean_length=24))
    genres = latents.tracks.genre[block.tracks]
    lists = [genres[start:stop] for start, stop in itertools.pairwise(block.offsets)]
    together = np.mean([(row[:, None] == row).sum() - len(row) for row in lists]) / np.mean(
        [len(row) * (len(row) - 1) for row in lists]
    )
    shares = np.bincount(genres) / len(genres)
    assert together > 2 * (shares**2).sum()


def test_popularity_is_long_tailed(latents):
    """The most listed tenth of the tracks fills over a third of the playlists."""
    block = next(draw_blocks(generator(1, Purpose.SLICE), stock_shelf(latents), latents, count=500, mean_length=24))
    counts = sorted(Counter(block.tracks.tolist()).values(), reverse=True)
    assert sum(counts[: len(latents.tracks) // 10]) > len(block.tracks) / 3


def test_slices_are_written_one_at_a_time(latents, tmp_path):
    """Writing is a generator: after the first slice there is one file, however many playlists were asked for."""
    writing = write_slices(tmp_path, 2, latents, draw_names(2, latents), playlists=10**9, slice_size=20, mean_length=24)
    next(writing)
    assert [path.name for path in tmp_path.iterdir()] == ["mpd.slice.0-19.json"]


def test_a_slice_does_not_depend_on_how_many_follow(latents, tmp_path):
    """The first slice of a long run has the bytes of the first slice of a short one."""
    names = draw_names(2, latents)
    for name, playlists in (("short", 20), ("long", 60)):
        (tmp_path / name).mkdir()
        list(write_slices(tmp_path / name, 2, latents, names, playlists=playlists, slice_size=20, mean_length=24))
    short, long = ((tmp_path / name / "mpd.slice.0-19.json").read_bytes() for name in ("short", "long"))
    assert short == long
