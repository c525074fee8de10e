"""The hidden truth of the made-up world: what every artist and track is like. All written data follow from it."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from resources.sample.streams import Flags, Floats, Ints, Purpose, choose, generator
from resources.sample.vocabulary import GENRE_CODES, GENRES, MOOD_CODES, MOODS

TRACKS_PER_ARTIST = 8
LASTFM_ONLY_SHARE = 0.12
COLD_SHARE = 0.025
SHARED_SHARE = 0.9  # of the playlist tracks old enough for the listening log
LAST_LOG_YEAR = 2004  # the log begins in 2005: no track is heard before it exists
LAST_YEAR = 2017
MODERN_SHARE = 0.35  # of the artists began in the modern years, whatever their genre
MODERN_YEARS = (1998, 2015)
FEATURED_SHARE = 0.07
TEMPO_RANGE_BPM = (60.0, 180.0)
DURATION_RANGE_S = (75.0, 540.0)
MAJOR_KEYS = 12  # keys 0-11 are major on C, C#, ...; 12-23 are minor
ERA_YEARS = (1980, 1990, 2000, 2010)  # five eras: before the first, then from each on
TEMPO_BANDS_BPM = (92.0, 122.0)


class Origin(IntEnum):
    """Where a track occurs: in playlists, in playlists of the last day only, or in the listening log only."""

    WARM = 0
    COLD = 1
    LASTFM_ONLY = 2


@dataclass(frozen=True, slots=True)
class Artists:
    """One value an artist: codes of genre, language and favourite mood; first year; is_group; popularity (weight)."""

    genre: Ints
    language: Ints
    mood: Ints
    debut_year: Ints
    is_group: Flags
    popularity: Floats


@dataclass(frozen=True, slots=True)
class Tracks:
    """One value a track; codes count from 0, `album` counts over all artists, `featured` is an artist or -1."""

    artist: Ints
    album: Ints
    featured: Ints
    genre: Ints
    mood: Ints
    tempo_bpm: Floats
    key: Ints
    energy: Floats
    is_vocal: Flags
    released_day: Ints  # days since 1970-01-01
    year: Ints
    duration_ms: Ints
    popularity: Floats
    origin: Ints
    is_logged: Flags  # occurs in the listening log

    def __len__(self) -> int:
        return len(self.artist)

    @property
    def era(self) -> Ints:
        """Code of the era, 0-4."""
        return np.searchsorted(ERA_YEARS, self.year, side="right")

    @property
    def tempo_band(self) -> Ints:
        """Slow, middling or fast: 0-2."""
        return np.searchsorted(TEMPO_BANDS_BPM, self.tempo_bpm, side="right")


@dataclass(frozen=True, slots=True)
class Latents:
    """The artists and the tracks of one world."""

    artists: Artists
    tracks: Tracks

    @property
    def albums(self) -> int:
        """Number of albums."""
        return int(self.tracks.album[-1]) + 1


def draw_latents(seed: int, *, tracks: int) -> Latents:
    """The world's hidden truth; tracks are ordered by artist, then album."""
    rng = generator(seed, Purpose.LATENTS)
    artists = _draw_artists(rng, max(12, tracks // TRACKS_PER_ARTIST))
    return Latents(artists, _draw_tracks(rng, artists, tracks))


def _draw_artists(rng: np.random.Generator, count: int) -> Artists:
    genre = choose(rng, 1 / (2 + np.arange(len(GENRES))) ** 0.5, count)
    moods_of_genres = np.array([[MOOD_CODES[name] for name in (*g.moods, *g.moods)[:3]] for g in GENRES])
    usual = np.array([g.debut_year for g in GENRES])[genre] + rng.normal(0, 10, count)
    debut = np.where(rng.random(count) < MODERN_SHARE, rng.integers(*MODERN_YEARS, count), usual)
    return Artists(
        genre=genre,
        language=choose(rng, np.array([0.7, 0.14, 0.1, 0.06]), count),
        mood=moods_of_genres[genre, choose(rng, np.array([0.5, 0.3, 0.2]), count)],
        debut_year=np.clip(debut, 1955, 2014).astype(np.int64),
        is_group=rng.random(count) < 0.55,
        popularity=1 / (3 + rng.permutation(count)) ** 0.75,
    )


def _draw_tracks(rng: np.random.Generator, artists: Artists, count: int) -> Tracks:
    artist = np.sort(choose(rng, artists.popularity**0.7, count))
    number = np.arange(count) - np.searchsorted(artist, artist)  # the artist's first track is 0
    album, album_number = _albums(rng, artist, number)
    year = np.minimum(artists.debut_year[artist] + (1.8 * album_number).astype(np.int64), LAST_YEAR - 1)
    origin = _origins(rng, album, year)
    year = np.where(origin == Origin.COLD, LAST_YEAR, year)
    genre, mood = _genres_and_moods(rng, artists, artist)
    tempo_bpm, energy, key = _sounds(rng, artists, artist, genre, mood)
    first_day = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    day_of_year = rng.integers(0, 250, album[-1] + 1)[album]
    is_old = (year <= LAST_LOG_YEAR) & (rng.random(count) < SHARED_SHARE)
    return Tracks(
        artist=artist,
        album=album,
        featured=np.where(rng.random(count) < FEATURED_SHARE, choose(rng, artists.popularity, count), -1),
        genre=genre,
        mood=mood,
        tempo_bpm=tempo_bpm,
        key=key,
        energy=energy,
        is_vocal=rng.random(count) < np.array([g.vocal_share for g in GENRES])[genre],
        released_day=first_day + np.where(origin == Origin.COLD, 273 + day_of_year % 28, day_of_year),
        year=year,
        duration_ms=_durations_ms(rng, tempo_bpm),
        popularity=artists.popularity[artist] * rng.lognormal(0, 0.5, count) / (1 + rng.permutation(count) % 12) ** 0.7,
        origin=origin,
        is_logged=(origin == Origin.LASTFM_ONLY) | ((origin == Origin.WARM) & is_old),
    )


def _albums(rng: np.random.Generator, artist: Ints, number: Ints) -> tuple[Ints, Ints]:
    """Album of each track over all artists, and within its artist; an artist's albums are of one length, 1 to 7."""
    length = rng.integers(1, 8, artist[-1] + 1)[artist]
    is_first = (number % length) == 0
    return np.cumsum(is_first) - 1, number // length


def _origins(rng: np.random.Generator, album: Ints, year: Ints) -> Ints:
    """Whole albums are cold or known to the listening log alone, so that one album keeps one release date."""
    sizes = np.bincount(album)
    order = rng.permutation(len(sizes))
    filled = np.empty(len(sizes), dtype=np.float64)
    filled[order] = np.cumsum(sizes[order])
    origins = np.where(filled - sizes < COLD_SHARE * len(album), Origin.COLD, Origin.WARM)[album]

    is_candidate = (origins == Origin.WARM) & (year <= LAST_LOG_YEAR)
    share = min(1.0, LASTFM_ONLY_SHARE / max(float(is_candidate.mean()), 1e-9))
    is_lastfm_only = is_candidate & (rng.random(len(sizes)) < share)[album]
    return np.where(is_lastfm_only, Origin.LASTFM_ONLY, origins).astype(np.int64)


def _genres_and_moods(rng: np.random.Generator, artists: Artists, artist: Ints) -> tuple[Ints, Ints]:
    """Nine tracks in ten keep the artist's genre, six in ten its favourite mood; others take what fits the genre."""
    neighbours = np.array([[GENRE_CODES[name] for name in (*g.neighbours, *g.neighbours)[:2]] for g in GENRES])
    home = artists.genre[artist]
    strayed = neighbours[home, rng.integers(0, 2, len(artist))]
    genre = np.where(rng.random(len(artist)) < 0.9, home, strayed)

    moods = np.array([[MOOD_CODES[name] for name in (*g.moods, *g.moods)[:3]] for g in GENRES])
    usual = moods[genre, rng.integers(0, 3, len(artist))]
    drawn = rng.random(len(artist))
    other = np.where(drawn < 0.92, usual, rng.integers(0, len(MOODS), len(artist)))
    return genre, np.where(drawn < 0.6, artists.mood[artist], other)


def _sounds(
    rng: np.random.Generator, artists: Artists, artist: Ints, genre: Ints, mood: Ints
) -> tuple[Floats, Floats, Ints]:
    """Tempo (bpm), energy (0-1) and key (0-23) of each track."""
    count = len(artist)
    tempo = np.array([g.tempo_bpm for g in GENRES])[genre] + np.array([m.tempo_shift_bpm for m in MOODS])[mood]
    energy = np.array([g.energy for g in GENRES])[genre] + np.array([m.energy_shift for m in MOODS])[mood]
    major = np.array([g.major_share for g in GENRES])[genre] + np.array([m.major_shift for m in MOODS])[mood]
    home_tonic = rng.integers(0, 12, len(artists.genre))[artist]
    tonic = (home_tonic + rng.choice([0, 5, 7, 2, 10], count)) % 12
    is_minor = rng.random(count) >= major
    return (
        np.clip(tempo + rng.normal(0, 9, count), *TEMPO_RANGE_BPM),
        np.clip(energy + rng.normal(0, 0.08, count), 0.02, 1.0),
        tonic + MAJOR_KEYS * is_minor,
    )


def _durations_ms(rng: np.random.Generator, tempo_bpm: Floats) -> Ints:
    """Around 100 bars of four beats, give or take: slow tracks last longer."""
    seconds = 390 * 60 / tempo_bpm * rng.lognormal(0, 0.22, len(tempo_bpm))
    return (np.clip(seconds, *DURATION_RANGE_S) * 1000).astype(np.int64)
