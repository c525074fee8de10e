"""What playlists are about, as tastes, and how their owners name them."""

from dataclasses import dataclass
from string import capwords

import numpy as np

from resources.sample.streams import Flags, Floats, Ints, choose
from resources.sample.taste import ERAS, TEMPO_BANDS, Taste
from resources.sample.vocabulary import GENRE_CODES, GENRES, MOODS

NO_FOCUS = -1
ERA_NAMES = ("70s", "80s", "90s", "2000s", "2010s")
TEMPO_NAMES = ("slow", "midtempo", "fast")
NEIGHBOURS = np.zeros((len(GENRES), len(GENRES)))
for _code, _genre in enumerate(GENRES):
    NEIGHBOURS[_code, [GENRE_CODES[_name] for _name in _genre.neighbours]] = 1


@dataclass(frozen=True, slots=True)
class Themes:
    """One theme a playlist: codes of genre, mood, era and tempo band, or -1 where it has no focus; and its taste."""

    genre: Ints
    mood: Ints
    era: Ints
    tempo: Ints
    taste: Taste


def draw_themes(rng: np.random.Generator, count: int) -> Themes:
    """Themes of `count` playlists: seven in ten have a genre, half a mood, a quarter an era, a sixth a tempo."""
    genre = choose(rng, 1 / (2 + np.arange(len(GENRES))) ** 0.4, count)
    has_genre = rng.random(count) < 0.7
    has_mood = ~has_genre | (rng.random(count) < 0.35)
    mood = np.where(has_mood, rng.integers(0, len(MOODS), count), NO_FOCUS)
    era = np.where(rng.random(count) < 0.25, choose(rng, np.array([0.5, 1, 1.5, 1.5, 1]), count), NO_FOCUS)
    tempo = np.where(rng.random(count) < 0.16, rng.integers(0, TEMPO_BANDS, count), NO_FOCUS)
    taste = Taste(
        genre=_genre_taste(rng, genre, has_genre),
        mood=_focused(mood, len(MOODS), 0.1),
        era=_era_taste(era),
        tempo=_focused(tempo, TEMPO_BANDS, 0.15),
    )
    return Themes(np.where(has_genre, genre, NO_FOCUS), mood, era, tempo, taste)


def playlist_name(themes: Themes, at: int, rng: np.random.Generator) -> str:
    """A name that its owner might give the playlist `at`: of its focuses' words, of an activity, or of an emoji."""
    drawn = rng.integers(0, 2**31, 6).tolist()
    genre, mood, era, tempo = (int(codes[at]) for codes in (themes.genre, themes.mood, themes.era, themes.tempo))
    words = [] if era == NO_FOCUS else [ERA_NAMES[era]]
    if tempo != NO_FOCUS and drawn[0] % 3 == 0:
        words.append(TEMPO_NAMES[tempo])
    if mood != NO_FOCUS:
        moods = MOODS[mood]
        words.append((moods.activities + moods.tags)[drawn[1] % (len(moods.activities) + len(moods.tags))])
    if genre != NO_FOCUS:
        words.append(GENRES[genre].name if drawn[2] % 4 else GENRES[genre].tags[drawn[3] % 3])
    name = " ".join(words)
    if mood != NO_FOCUS and drawn[4] % 5 == 0:
        emoji = MOODS[mood].emoji
        name = emoji[drawn[3] % len(emoji)] * (1 + drawn[2] % 3) if drawn[4] % 3 == 0 else f"{name} {emoji[0]}"
    styles = (name, name, capwords(name), capwords(name), f"my {name}", f"{name} mix", name.upper(), name.capitalize())
    return styles[drawn[5] % len(styles)]


def playlist_description(themes: Themes, at: int) -> str:
    """A sentence about the playlist `at`."""
    mood, genre, era = int(themes.mood[at]), int(themes.genre[at]), int(themes.era[at])
    kind = "music" if genre == NO_FOCUS else GENRES[genre].name
    when = "" if era == NO_FOCUS else f" from the {ERA_NAMES[era]}"
    why = "any time" if mood == NO_FOCUS else MOODS[mood].activities[0]
    return f"My favourite {kind}{when}, good for {why} &amp; more"


def _genre_taste(rng: np.random.Generator, genre: Ints, has_genre: Flags) -> Floats:
    """A theme's genre, a little of its neighbours; without one, a few genres that the owner likes."""
    count = len(genre)
    around = 0.06 + 0.14 * rng.random((count, 1))
    with_genre = 0.008 + around * NEIGHBOURS[genre]
    with_genre[np.arange(count), genre] = 1.0
    mixed = 0.01 + rng.random((count, len(GENRES))) ** 6
    return np.where(has_genre[:, None], with_genre, mixed)


def _focused(codes: Ints, width: int, rest: float) -> Floats:
    """1 at the row's code and `rest` elsewhere; all ones without a focus."""
    taste = np.full((len(codes), width), rest)
    taste[np.arange(len(codes)), codes] = 1.0
    taste[codes == NO_FOCUS] = 1.0
    return taste


def _era_taste(era: Ints) -> Floats:
    distance = np.abs(np.arange(ERAS) - era[:, None])
    return np.where((era == NO_FOCUS)[:, None], 1.0, 0.04 + np.exp(-3.0 * distance))
