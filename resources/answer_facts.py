"""What is truly known of a track, in words: the slots of the rule answerer's phrases."""

import random
import re
from bisect import bisect
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice

from pydantic import BaseModel

from resources.answer_phrases import (
    DECADES,
    FASTER,
    IDLE_WORDS,
    INSTRUMENTS,
    MOODS,
    PACES,
    PULSES,
    SHADES,
    SLOWER,
)
from resources.title_leaks import words

TEMPO_STEP_BPM = 10  # nearer tempos are neither slower nor faster
THEMES = 8  # a query's themes are among so many of the most frequent words
TAGS = 8  # of each kind, strongest first
TAG_CHARACTERS = 30
CAPTION_WORDS = 16
THEME_WORD = re.compile(r"\b[a-zß-öø-ɏ]{4,14}(?:['’][a-zß-öø-ɏ]{1,3})?")  # Latin: it is said in English
# What a query can speak of, and the facts of which it needs one.
NEEDED = {
    "audio": frozenset({"pace", "key"}),
    "lyrics": frozenset({"theme"}),
    "metadata": frozenset({"artist"}),
    "semantic": frozenset({"style", "mood", "instrument"}),
}
PACE_BOUNDS_BPM = tuple(PACES)

Facts = dict[str, str]


class Track(BaseModel):
    """A track as the payload states it; what is missing is unknown."""

    title: str
    artist: str
    album: str | None = None
    year: int | None = None
    tags: tuple[str, ...] = ()
    tempo_bpm: float | None = None
    key: str | None = None
    caption: str | None = None
    lyrics_excerpt: str | None = None


def known_facts(track: Track, draw: random.Random) -> Facts:
    """The facts of one track, each in one of its wordings; a fact that the data lack has no entry."""
    facts = {"title": track.title, "artist": track.artist}
    if track.album:
        facts["album"] = track.album
    if track.year is not None:
        start = track.year // 10 * 10
        facts |= {"year": str(track.year), "decade": draw.choice((f"{start}s", DECADES.get(start, f"{start}s")))}
    if track.caption and len(track.caption.split()) <= CAPTION_WORDS:
        facts["caption"] = track.caption
    return facts | _sound_facts(track, draw) | _tag_facts(track, draw) | _theme_facts(track, draw)


def modalities_of(facts: Mapping[str, str]) -> list[str]:
    """What a query can speak of, given the facts; the artist is always known."""
    return [modality for modality, slots in NEEDED.items() if not slots.isdisjoint(facts)]


def relations(track: Track, facts: Facts, said: Sequence[tuple[Track, Facts]], draw: random.Random) -> Facts:
    """The facts that tie a track to those recommended before it, the last of which may have been turned down.

    `last_...` describes the last one, `dropped_...` only what it had and the new one has not.
    """
    if not said:
        return {}
    last_track, last = said[-1]
    ties = {f"last_{name}": fact for name, fact in last.items()}
    ties |= {
        f"dropped_{name}": last[name] for name in ("style", "mood") if name in last and last[name] not in track.tags
    }
    if last_track.artist != track.artist:
        ties["dropped_artist"] = last_track.artist
    if any(earlier.artist == track.artist for earlier, _ in said):
        ties["same_artist"] = track.artist
    if "mode" in facts and last.get("mode", facts["mode"]) != facts["mode"]:
        ties["dropped_shade"] = last["shade"]
    if track.tempo_bpm is not None and last_track.tempo_bpm is not None:
        step_bpm = track.tempo_bpm - last_track.tempo_bpm
        if abs(step_bpm) >= TEMPO_STEP_BPM:
            ties["shift"] = draw.choice(FASTER if step_bpm > 0 else SLOWER)
            if _band(track.tempo_bpm) != _band(last_track.tempo_bpm):
                ties["dropped_pace"] = last["pace"]
    if len(said) > 1:
        earlier = draw.choice(said[:-1])[0]
        ties |= {"earlier_title": earlier.title, "earlier_artist": earlier.artist}
    return ties


def _sound_facts(track: Track, draw: random.Random) -> Facts:
    facts: Facts = {}
    if track.tempo_bpm is not None:
        band = _band(track.tempo_bpm)
        near_bpm = draw.choice((round(track.tempo_bpm), 5 * round(track.tempo_bpm / 5)))
        facts = {"bpm": str(near_bpm), "pace": draw.choice(PACES[band]), "pulse": draw.choice(PULSES[band])}
    mode = (track.key or "").rpartition(" ")[2]
    if track.key and mode in SHADES:
        facts |= {"key": track.key, "mode": mode, "shade": draw.choice(SHADES[mode])}
    return facts


def _band(tempo_bpm: float) -> int:
    return PACE_BOUNDS_BPM[min(bisect(PACE_BOUNDS_BPM, tempo_bpm), len(PACE_BOUNDS_BPM) - 1)]


def _tag_facts(track: Track, draw: random.Random) -> Facts:
    kinds: dict[str, list[str]] = {"mood": [], "instrument": [], "style": []}
    for tag in track.tags:
        if 0 < len(tag) <= TAG_CHARACTERS:
            kinds[_kind(tag)].append(tag)
    facts = {kind: draw.choice(tags[:TAGS]) for kind, tags in kinds.items() if tags}
    others = [tag for tag in kinds["style"][:TAGS] if tag != facts["style"]]
    if others:
        facts["second_style"] = draw.choice(others)
    return facts


@lru_cache(maxsize=4096)
def _kind(tag: str) -> str:
    folded = tag.casefold()
    if folded in MOODS:
        return "mood"
    return "instrument" if INSTRUMENTS.intersection(folded.split()) else "style"


def _theme_facts(track: Track, draw: random.Random) -> Facts:
    themes = _themes(track.lyrics_excerpt, track.title) if track.lyrics_excerpt else ()
    chosen = draw.sample(themes, min(3, len(themes)))
    return dict(zip(("theme", "second_theme", "third_theme"), chosen, strict=False))


# A playlist's dialogues share tracks.
@lru_cache(maxsize=4096)
def _themes(lyrics: str, title: str) -> tuple[str, ...]:
    """The most frequent words that are neither idle nor of the title, ties in order of first appearance."""
    hidden = set(words(title))
    counts = Counter(THEME_WORD.findall(lyrics.casefold().replace("’", "'")))
    telling = (
        word for word, _ in counts.most_common() if word not in IDLE_WORDS and word.replace("'", "") not in hidden
    )
    return tuple(islice(telling, THEMES))
