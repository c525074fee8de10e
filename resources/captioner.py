"""A sentence about a track: the contract, and the embedded provider that writes it from tags, tempo, key and year."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from resources.refusals import Refusal

# N samples


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of one track; tags strongest first, samples mono in -1..1 where the provider asks for them."""

    track_id: str
    tags: tuple[str, ...] = ()
    tempo_bpm: float | None = None
    key: str | None = None
    release_year: int | None = None
    samples_N: NDArray[np.float32] | None = None


class Captioner(Protocol):
    """Describes how a track sounds."""

    @property
    def name(self) -> str:
        """The provider and its settings."""
        ...

    @property
    def sample_rate_hz(self) -> int | None:
        """The rate of the samples it needs, or None if it needs no samples."""
        ...

    def caption(self, tracks: Sequence[Heard]) -> list[str | Refusal]:
        """One caption or refusal per track, in order; a refusal's location is the track.

        Raises ConnectionError when the provider cannot be reached.
        """
        ...


class Words(NamedTuple):
    """Tags by their part in a sentence."""

    moods: list[str]
    genres: list[str]
    instruments: list[str]
    voices: list[str]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MOODS = _words("""
    aggressive angry atmospheric beautiful bittersweet bright calm cheerful chill dark dreamy eerie emotional energetic
    epic ethereal fun funny gentle gloomy groovy happy haunting hypnotic intense intimate joyful laid-back lonely loud
    lush melancholic melancholy mellow mysterious nostalgic party peaceful playful powerful quiet raw rebellious
    relaxing romantic sad sensual smooth sentimental soft soothing spiritual summery tender tense upbeat uplifting warm
    wistful
""")
INSTRUMENTS = _words("""
    accordion banjo bass bassoon bells bongos brass cello clarinet congas drums fiddle flute guitar harmonica harp
    harpsichord horns kick keyboard machine mandolin marimba oboe orchestra organ pads percussion piano recordings
    sampler saxophone sequencer sitar steel strings synth synthesizer tabla trombone trumpet turntables ukulele viola
    violin xylophone
""")
VOICES = _words("choir rapping singer singing vocal vocalist vocalists vocals voice voices")
DECADE = re.compile(r"(?:19|20)?\d0s")  # an adjective, as a mood is
MOST_MOODS, MOST_GENRES, MOST_PLAYED = 2, 2, 3
PACES = ((76, "slow"), (104, "mid-tempo"), (132, "lively"), (1_000, "fast"))
OPENINGS = (
    "{article} {sound} track{key}{played}{tempo}{year}.",
    "{article} {sound} recording{played}{key}{tempo}{year}.",
    "This is {article_low} {sound} piece{key}{tempo}{played}{year}.",
    "Here is {article_low} {sound} track{played}{tempo}{key}{year}.",
)


@dataclass(frozen=True, slots=True)
class SentenceCaptioner:
    """One sentence from tags, tempo and key; a track always gets the same wording. Reason: nothing_known."""

    name: str = "sentences from tags"
    sample_rate_hz: int | None = None

    def caption(self, tracks: Sequence[Heard]) -> list[str | Refusal]:
        """One caption or refusal per track, in order."""
        return [
            _sentence(track)
            if track.tags or track.tempo_bpm or track.key
            else Refusal(self.name, track.track_id, "nothing_known", "no tags, no tempo, no key")
            for track in tracks
        ]


def _sentence(track: Heard) -> str:
    words = _sorted_by_part(track.tags)
    pace = next((word for most_bpm, word in PACES if track.tempo_bpm and track.tempo_bpm < most_bpm), None)
    adjectives = ", ".join(([pace] if pace else []) + words.moods[:MOST_MOODS])
    sound = " ".join(filter(None, [adjectives, " and ".join(words.genres[:MOST_GENRES])])) or "tuneful"
    played = [*words.instruments[: MOST_PLAYED - 1], *words.voices[:1]]
    article = "An" if sound[0] in "aeiou" else "A"
    choice = hashlib.blake2b(track.track_id.encode(), digest_size=2).digest()[0] % len(OPENINGS)
    return OPENINGS[choice].format(
        article=article,
        article_low=article.lower(),
        sound=sound,
        key=f" in {track.key}" if track.key else "",
        played=f" with {_listed(played)}" if played else "",
        tempo=f" at around {track.tempo_bpm:.0f} BPM" if track.tempo_bpm else "",
        year=f", released in {track.release_year}" if track.release_year else "",
    )


def _sorted_by_part(tags: Sequence[str]) -> Words:
    """A tag's last word tells its part; what is no mood, instrument or voice is a genre."""
    words = Words([], [], [], [])
    for tag in tags:
        last = tag.rsplit(" ", 1)[-1]
        part = (
            words.moods
            if tag in MOODS or DECADE.fullmatch(tag)
            else words.instruments
            if last in INSTRUMENTS
            else words.voices
            if last in VOICES
            else words.genres
        )
        part.append(tag)
    return words


def _listed(words: Sequence[str]) -> str:
    """Words as prose: 'a, b and c'."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
