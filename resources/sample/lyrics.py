"""Made-up lyrics whose words follow a track's mood and genre, in its artist's language; plain, or timed as LRC."""

import numpy as np

from resources.sample.latents import Latents
from resources.sample.names import translated
from resources.sample.vocabulary import GENRES, MOODS

VERSES = 3
VERSE_LINES = 4
STRAY_SHARE = 0.15  # of the words come from another mood
PATTERNS = (
    ("i", "VERB", "the", "ADJECTIVE", "NOUN"),
    ("we", "VERB", "and", "VERB", "in", "the", "NOUN"),
    ("ADJECTIVE", "NOUN", "and", "ADJECTIVE", "PLACE"),
    ("oh", "the", "NOUN", "is", "ADJECTIVE", "tonight"),
    ("you", "VERB", "me", "like", "a", "PLACE"),
    ("no", "more", "NOUN", "no", "more", "NOUN"),
    ("under", "the", "PLACE", "i", "VERB"),
)


def lyric_lines(rng: np.random.Generator, latents: Latents, track: int) -> list[str]:
    """Lines of three verses with a chorus after each; verses are apart by an empty line."""
    tracks = latents.tracks
    genre, mood = int(tracks.genre[track]), int(tracks.mood[track])
    language = int(latents.artists.language[tracks.artist[track]])
    chorus = [_line(rng, genre, mood, language) for _ in range(2)] * 2
    lines: list[str] = []
    for _ in range(VERSES):
        lines += [_line(rng, genre, mood, language) for _ in range(VERSE_LINES)]
        lines += ["", *chorus, ""]
    return lines[:-1]


def timed_lines(lines: list[str], duration_s: float) -> list[str]:
    """The lines as LRC, sung evenly from a tenth to nine tenths of the whole track; a recording may be an excerpt."""
    sung = [line for line in lines if line]
    times_s = np.linspace(0.1 * duration_s, 0.9 * duration_s, len(sung)).tolist()
    return [f"[{int(at_s // 60):02d}:{at_s % 60:05.2f}]{line}" for at_s, line in zip(times_s, sung, strict=True)]


def _line(rng: np.random.Generator, genre: int, mood: int, language: int) -> str:
    pattern = PATTERNS[rng.integers(len(PATTERNS))]
    words = [translated(_word(rng, slot, genre, mood), language) for slot in pattern]
    return " ".join(words).capitalize()


def _word(rng: np.random.Generator, slot: str, genre: int, mood: int) -> str:
    if slot.islower():
        return slot
    if slot == "PLACE":
        return _one_of(rng, GENRES[genre].nouns)
    words = MOODS[rng.integers(len(MOODS)) if rng.random() < STRAY_SHARE else mood]
    return _one_of(rng, {"NOUN": words.nouns, "VERB": words.verbs, "ADJECTIVE": words.adjectives}[slot])


def _one_of(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[rng.integers(len(words))]
