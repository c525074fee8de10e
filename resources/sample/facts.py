"""Facts as JSON lines: artists with roles and biographies, release dates, and tracks with tags, writers and remarks."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np

from resources.sample.latents import MAJOR_KEYS, Latents
from resources.sample.names import Names, person_name
from resources.sample.streams import Purpose, generator
from resources.sample.vocabulary import COUNTRIES, GENRES, JUNK_TAGS, MOODS, ROLES

TAGGED_SHARE = 0.8
GENRE_TAG_SHARE = 0.9
WRONG_GENRE_SHARE = 0.06
MOOD_TAG_SHARE = 0.65
INSTRUMENT_TAG_SHARE = 0.5
VOCAL_TAG_SHARE = 0.4
DECADE_TAG_SHARE = 0.3
JUNK_TAG_SHARE = 0.25
YEAR_ONLY_SHARE = 0.15
KEY_NAMES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")


class ArtistRole(msgspec.Struct):
    """A person and what they do."""

    name: str
    role: str


class ArtistFacts(msgspec.Struct, omit_defaults=True):
    """A line of artists.jsonl; gender and birth year are null for groups and where unknown."""

    artist: str
    roles: list[ArtistRole]
    gender: str | None
    birth_year: int | None
    origin: str
    biography: str
    artist_uri: str | msgspec.UnsetType = msgspec.UNSET


class ReleaseFacts(msgspec.Struct, omit_defaults=True):
    """A line of releases.jsonl; the date is a day or only a year."""

    artist: str
    title: str
    album: str
    release_date: str
    track_uri: str | msgspec.UnsetType = msgspec.UNSET


class TrackFacts(msgspec.Struct, omit_defaults=True):
    """A line of tracks.jsonl."""

    artist: str
    title: str
    facts: str
    tags: list[str]
    writers: list[str]
    track_uri: str | msgspec.UnsetType = msgspec.UNSET


def write_facts(folder: Path, seed: int, latents: Latents, names: Names) -> dict[str, int]:
    """Write the three files; returns the number of whole lines of each. One line of each file is broken JSON."""
    rng = generator(seed, Purpose.FACTS)
    return {
        "artists": _write_lines(folder / "artists.jsonl", _artist_facts(rng, latents, names)),
        "releases": _write_lines(folder / "releases.jsonl", _release_facts(rng, latents, names)),
        "tracks": _write_lines(folder / "tracks.jsonl", _track_facts(rng, latents, names)),
    }


def _write_lines(path: Path, facts: Iterable[msgspec.Struct]) -> int:
    encoder = msgspec.json.Encoder()
    count = 0
    with path.open("wb") as file:
        for count, row in enumerate(facts, start=1):
            line = encoder.encode(row)
            file.write(line + b"\n")
            if count == 7:
                file.write(line[: len(line) // 2] + b"\n")
    return count


def _artist_facts(rng: np.random.Generator, latents: Latents, names: Names) -> Iterator[ArtistFacts]:
    artists = latents.artists
    has_uri = rng.random(len(names.artists)) < 0.9
    for code, artist in enumerate(names.artists):
        genre, mood = GENRES[artists.genre[code]], MOODS[artists.mood[code]]
        is_group, debut = bool(artists.is_group[code]), int(artists.debut_year[code])
        people = [person_name(rng) for _ in range(int(rng.integers(2, 5)))] if is_group else [artist]
        origin = str(rng.choice(COUNTRIES))
        who = "group" if is_group else "artist"
        yield ArtistFacts(
            artist=artist,
            roles=[ArtistRole(name, str(role)) for name, role in zip(people, rng.permutation(ROLES), strict=False)],
            gender=None if is_group else str(rng.choice(["female", "male", "nonbinary"], p=[0.46, 0.48, 0.06])),
            birth_year=None if is_group or rng.random() < 0.2 else debut - int(rng.integers(17, 35)),
            origin=origin,
            biography=f"{artist}: {genre.name} {who} from {origin}, active since {debut}, known for {mood.tags[0]} "
            f"recordings built on {genre.instruments[0]} and {genre.instruments[1]}.",
            artist_uri=f"spotify:artist:{names.artist_ids[code]}" if has_uri[code] else msgspec.UNSET,
        )


def _release_facts(rng: np.random.Generator, latents: Latents, names: Names) -> Iterator[ReleaseFacts]:
    tracks = latents.tracks
    is_year_only = rng.random(len(tracks)) < YEAR_ONLY_SHARE
    dates = np.datetime_as_string(tracks.released_day.astype("datetime64[D]")).tolist()
    for code, title in enumerate(names.titles):
        yield ReleaseFacts(
            artist=names.artists[tracks.artist[code]],
            title=title,
            album=names.albums[tracks.album[code]],
            release_date=dates[code][:4] if is_year_only[code] else dates[code],
            track_uri=_track_uri(names, code),
        )


def _track_facts(rng: np.random.Generator, latents: Latents, names: Names) -> Iterator[TrackFacts]:
    tracks = latents.tracks
    is_tagged = rng.random(len(tracks)) < TAGGED_SHARE
    for code, title in enumerate(names.titles):
        key = int(tracks.key[code])
        mode = "major" if key < MAJOR_KEYS else "minor"
        writers = [person_name(rng) for _ in range(int(rng.integers(1, 4)))]
        yield TrackFacts(
            artist=names.artists[tracks.artist[code]],
            title=title,
            facts=f"Recorded in {int(tracks.year[code])} for the album {names.albums[tracks.album[code]]}, "
            f"in {KEY_NAMES[key % 12]} {mode} at about {5 * round(tracks.tempo_bpm[code] / 5)} beats per minute.",
            tags=_tags(rng, latents, code) if is_tagged[code] else [],
            writers=writers,
            track_uri=_track_uri(names, code),
        )


def _tags(rng: np.random.Generator, latents: Latents, code: int) -> list[str]:
    """Noisy tags as listeners give them: most of the genre, many of the mood, some of no use."""
    tracks = latents.tracks
    genre, mood = GENRES[tracks.genre[code]], MOODS[tracks.mood[code]]
    drawn = rng.random(7)
    pick = rng.integers(0, 2**31, 6).tolist()
    tags = []
    if drawn[0] < GENRE_TAG_SHARE:
        tags += [genre.tags[0]] if pick[0] % 3 else list(genre.tags[pick[0] % 2 : 2 + pick[0] % 2])
    if drawn[1] < WRONG_GENRE_SHARE:
        tags.append(GENRES[pick[1] % len(GENRES)].tags[0])
    if drawn[2] < MOOD_TAG_SHARE:
        tags.append(mood.tags[pick[2] % len(mood.tags)])
    if drawn[3] < INSTRUMENT_TAG_SHARE:
        tags.append(genre.instruments[pick[3] % len(genre.instruments)])
    if drawn[4] < VOCAL_TAG_SHARE:
        tags.append(
            ("female vocalists", "male vocalists")[tracks.artist[code] % 2] if tracks.is_vocal[code] else "instrumental"
        )
    if drawn[5] < DECADE_TAG_SHARE:
        tags.append(f"{int(tracks.year[code]) // 10 % 10}0s")
    if drawn[6] < JUNK_TAG_SHARE:
        tags.append(JUNK_TAGS[pick[4] % len(JUNK_TAGS)])
    return list(dict.fromkeys(tags))


def _track_uri(names: Names, code: int) -> str | msgspec.UnsetType:
    return f"spotify:track:{names.track_ids[code]}" if names.track_ids[code] else msgspec.UNSET
