"""A small catalog with content of every kind, and playlists over it."""

import random

import polars as pl
import pytest

from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import CAPTIONS, LYRICS, RHYTHM, TAGS
from assets.content.track_facts import Content
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS

CATALOG = 240
PLAYLIST_COUNT = 150
NOUNS = [
    "river",
    "mirror",
    "engine",
    "lantern",
    "winter",
    "satellite",
    "garden",
    "thunder",
    "paper",
    "ocean",
    "shadow",
    "feather",
    "copper",
    "harbour",
]
ADJECTIVES = ["silver", "broken", "quiet", "electric", "golden", "hollow", "distant", "velvet", "wild", "frozen"]
STYLES = ["rock", "hip hop", "jazz", "folk", "dream pop", "techno", "soul", "punk rock", "ambient"]
MOODS = ["happy", "calm", "dark", "melancholy", "dreamy"]
INSTRUMENTS = ["piano", "electric guitar", "double bass", "synthesizer", "violin"]
KEYS = ["C major", "F# minor", "A minor", "Eb major"]


def title_of(place: int) -> str:
    """A title that no other track has."""
    return f"{ADJECTIVES[place % 10]} {NOUNS[place % 14]} {place}".title()


def content_frames() -> Content:
    """Tracks of which every fifth lacks each kind of content, at different places."""
    draw = random.Random(5)
    ids = [f"track-{place:03}" for place in range(CATALOG)]
    tracks = pl.DataFrame(
        {
            "track_id": ids,
            "title": [title_of(place) for place in range(CATALOG)],
            "artist": [f"The {NOUNS[place // 8 % 14].title()} Ensemble {place // 8}" for place in range(CATALOG)],
            "artist_uri": [None] * CATALOG,
            "album": [None if place % 5 == 0 else f"Album {place // 4}" for place in range(CATALOG)],
            "duration_ms": [200_000] * CATALOG,
            "track_uri": ids,
            "track_mbid": [None] * CATALOG,
            "release_year": [None if place % 5 == 1 else 1960 + place % 58 for place in range(CATALOG)],
            "shard": ["shard-00"] * CATALOG,
            "is_warm": [True] * CATALOG,
            "train_appearances": [1] * CATALOG,
            "plays": [0] * CATALOG,
        },
        schema=TRACKS.empty().schema,
    )
    tags = [
        None if place % 5 == 2 else draw.sample(STYLES, 3) + draw.sample(MOODS, 2) + draw.sample(INSTRUMENTS, 2)
        for place in range(CATALOG)
    ]
    captions = [f"A {tag[3]} {tag[0]} track with {tag[5]}." if tag else None for tag in tags]
    tempos = [None if place % 5 == 3 else 60.0 + draw.random() * 110 for place in range(CATALOG)]
    keys = [None if tempo is None else draw.choice(KEYS) for tempo in tempos]
    texts = [
        None
        if place % 5 == 4
        else "\n".join(" ".join(draw.choices([*NOUNS, *ADJECTIVES, "the"], k=6)) for _ in range(8))
        for place in range(CATALOG)
    ]
    return Content(
        TRACKS.checked(tracks),
        _frame(TAGS, track_id=ids, tags=tags, origin=["facts"] * CATALOG),
        _frame(RHYTHM, track_id=ids, tempo_bpm=tempos, key=keys),
        _frame(CAPTIONS, track_id=ids, caption=captions, captioner=["tags"] * CATALOG),
        _frame(LYRICS, track_id=ids, text=texts, origin=["txt"] * CATALOG, language=["en"] * CATALOG),
    )


def playlist_frames() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Playlists of 4 to 40 positions with repeats, their tracks, and a split: each seventh is a test playlist."""
    draw = random.Random(6)
    ids = list(range(PLAYLIST_COUNT))
    positions = [
        (playlist_id, position, f"track-{draw.randrange(CATALOG):03}", "mpd.slice.0-149")
        for playlist_id in ids
        for position in range(4 + draw.randrange(37))
    ]
    playlists = pl.DataFrame(
        {
            "playlist_id": ids,
            "name": [f"{ADJECTIVES[number % 10]} mix 🎧" for number in ids],
            "description": [None] * len(ids),
            "modified_at": [None] * len(ids),
            "followers": [1] * len(ids),
            "is_collaborative": [False] * len(ids),
            "tracks": [1] * len(ids),
            "declared_tracks": [None] * len(ids),
            "slice": ["mpd.slice.0-149"] * len(ids),
        },
        schema=PLAYLISTS.empty().schema,
    )
    splits = pl.DataFrame(
        {
            "playlist_id": ids,
            "slice": ["mpd.slice.0-149"] * len(ids),
            "split": ["test" if number % 7 == 0 else "train" for number in ids],
        },
        schema=PLAYLIST_SPLITS.empty().schema,
    )
    tracks = pl.DataFrame(positions, schema=PLAYLIST_TRACKS.empty().schema, orient="row")
    return PLAYLISTS.checked(playlists), PLAYLIST_TRACKS.checked(tracks), PLAYLIST_SPLITS.checked(splits)


def _frame(table, **columns) -> pl.DataFrame:
    """A content table with these columns, a status, and nothing in the others."""
    columns["status"] = ["tagged"] * CATALOG
    held = {name: columns.get(name, [None] * CATALOG) for name in table.empty().columns}
    return table.checked(pl.DataFrame(held, schema=table.empty().schema))


@pytest.fixture(scope="session")
def content() -> Content:
    """What is known of the catalog."""
    return content_frames()


@pytest.fixture(scope="session")
def playlists() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Playlists, their tracks, their splits."""
    return playlist_frames()
