"""Names and ids of the made-up world: artists, titles, albums, people, Spotify and MusicBrainz ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from resources.sample.latents import Latents, Origin
from resources.sample.streams import Ints, Purpose, choose, generator
from resources.sample.vocabulary import GENRES, LANGUAGES, MOODS

ENGLISH = 0
SPOTIFY_ID_CHARACTERS = 22
BASE62 = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", dtype=np.uint8)
TRACK_MBID_SHARE = 0.887  # systems.md 1.3
ARTIST_MBID_SHARE = 0.9
REMASTERED = " - Remastered 2011"
# In the listening log: as published, lower case, upper case, remastered, other marks, guest or article moved.
SPELLING_SHARES = np.array([0.72, 0.09, 0.03, 0.07, 0.03, 0.06])


@dataclass(frozen=True, slots=True)
class Names:
    """What artists, albums and tracks are called in playlists and in the listening log; ids are "" where missing."""

    artists: list[str]
    artist_ids: list[str]
    artist_mbids: list[str]
    albums: list[str]
    album_ids: list[str]
    titles: list[str]
    track_ids: list[str]  # "" for tracks that only the listening log knows
    track_mbids: list[str]  # "" for tracks without one and for tracks outside the log
    logged_artists: list[str]
    logged_titles: list[str]


def draw_names(seed: int, latents: Latents) -> Names:
    """Names and ids of everything in `latents`; no two artists have one name, no artist has two tracks of one title."""
    rng = generator(seed, Purpose.NAMES)
    tracks = latents.tracks
    artists = _artist_names(rng, latents)
    albums = _titles(rng, latents, np.unique(tracks.album, return_index=True)[1])
    titles = _marked(
        rng, latents, artists, _without_repeats(tracks.artist, _titles(rng, latents, np.arange(len(tracks))))
    )
    logged_artists, logged_titles = _logged_spellings(rng, latents, artists, titles)
    has_mbid = tracks.is_logged & (rng.random(len(tracks)) < TRACK_MBID_SHARE)
    has_artist_mbid = rng.random(len(artists)) < ARTIST_MBID_SHARE
    return Names(
        artists=artists,
        artist_ids=spotify_ids(rng, len(artists)),
        artist_mbids=_kept(musicbrainz_ids(rng, len(artists)), has_artist_mbid.tolist()),
        albums=albums,
        album_ids=spotify_ids(rng, len(albums)),
        titles=titles,
        track_ids=_kept(spotify_ids(rng, len(tracks)), (tracks.origin != Origin.LASTFM_ONLY).tolist()),
        track_mbids=_kept(musicbrainz_ids(rng, len(tracks)), has_mbid.tolist()),
        logged_artists=logged_artists,
        logged_titles=logged_titles,
    )


def spotify_ids(rng: np.random.Generator, count: int) -> list[str]:
    """Random ids of 22 base-62 characters."""
    characters = BASE62[rng.integers(0, len(BASE62), (count, SPOTIFY_ID_CHARACTERS))]
    text = characters.tobytes().decode("ascii")
    return [text[at : at + SPOTIFY_ID_CHARACTERS] for at in range(0, len(text), SPOTIFY_ID_CHARACTERS)]


def musicbrainz_ids(rng: np.random.Generator, count: int) -> list[str]:
    """Random ids laid out as UUIDs of version 4."""
    digits = rng.bytes(16 * count).hex()
    raw = (digits[at : at + 32] for at in range(0, len(digits), 32))
    return [f"{d[:8]}-{d[8:12]}-4{d[13:16]}-a{d[17:20]}-{d[20:]}" for d in raw]


def person_name(rng: np.random.Generator) -> str:
    """A made-up person."""
    syllables = LANGUAGES[ENGLISH].syllables
    drawn = [syllables[at] for at in rng.integers(0, len(syllables), 4)]
    return f"{drawn[0]}{drawn[1]}".title() + " " + f"{drawn[2]}{drawn[3]}".title()


@cache
def translated(word: str, language: int) -> str:
    """The word in a made-up language: always the same one; English words stay."""
    if language == ENGLISH:
        return word
    syllables = LANGUAGES[language].syllables
    seed = int.from_bytes(word.encode(), "little") % 2**63
    drawn = np.random.default_rng((seed, language)).integers(0, len(syllables), 3)
    return "".join(syllables[at] for at in drawn[: 2 + seed % 2])


def _artist_names(rng: np.random.Generator, latents: Latents) -> list[str]:
    artists = latents.artists
    drawn = rng.integers(0, 2**31, (len(artists.genre), 6)).tolist()
    seen: set[str] = set()
    names = []
    for genre, language, is_group, numbers in zip(
        artists.genre.tolist(), artists.language.tolist(), artists.is_group.tolist(), drawn, strict=True
    ):
        name = _artist_name(numbers, genre, language, is_group)
        syllables, number = LANGUAGES[language].syllables, numbers[5]
        while name.lower() in seen:
            number, at = divmod(number, len(syllables))
            name += syllables[at]
        seen.add(name.lower())
        names.append(name)
    return names


def _artist_name(numbers: Sequence[int], genre: int, language: int, is_group: bool) -> str:
    syllables, nouns = LANGUAGES[language].syllables, GENRES[genre].nouns
    parts = [syllables[number % len(syllables)] for number in numbers[:4]]
    first, last = (parts[0] + parts[1]).capitalize(), (parts[2] + parts[3]).capitalize()
    noun = nouns[numbers[4] % len(nouns)].title()
    if not is_group:
        return (f"{first} {last}", f"{first} {parts[2].capitalize()}", f"DJ {first}", first + parts[2])[numbers[5] % 4]
    return (f"The {first} {noun}s", f"{first} & the {noun}s", f"{noun} {first}", f"{first} {last}s")[numbers[5] % 4]


def _titles(rng: np.random.Generator, latents: Latents, examples: Ints) -> list[str]:
    """Titles in the artists' languages, of words that fit the mood and genre of the tracks `examples`."""
    tracks = latents.tracks
    drawn = rng.integers(0, 2**31, (len(examples), 4)).tolist()
    genres, moods = tracks.genre[examples].tolist(), tracks.mood[examples].tolist()
    languages = latents.artists.language[tracks.artist[examples]].tolist()
    return [_title(*row) for row in zip(drawn, genres, moods, languages, strict=True)]


def _title(numbers: Sequence[int], genre: int, mood: int, language: int) -> str:
    words, other = MOODS[mood], MOODS[numbers[3] % len(MOODS)]
    nouns = words.nouns + GENRES[genre].nouns
    adjective = translated(words.adjectives[numbers[0] % len(words.adjectives)], language)
    noun = translated(nouns[numbers[1] % len(nouns)], language)
    verb = translated(words.verbs[numbers[2] % len(words.verbs)], language)
    far = translated(other.nouns[numbers[2] % len(other.nouns)], language)
    if language != ENGLISH:
        return (f"{noun} {far}", f"{adjective} {noun}", noun, f"{verb} {noun} {far}")[numbers[0] % 4].capitalize()
    patterns = (
        f"{adjective} {noun}", f"{noun} of {far}", f"{verb} the {noun}", f"the {adjective} {far}", f"{noun}",
        f"{verb} me, {noun}", f"{far} and {noun}", f"don't {verb} the {far}", f"{adjective} {far} {noun}",
    )  # fmt: skip
    return patterns[numbers[3] // 8 % len(patterns)].title().replace("'T", "'t")


def _without_repeats(artist: Ints, titles: list[str]) -> list[str]:
    """An artist's second track of one title becomes its "Pt. 2"."""
    seen: dict[tuple[int, str], int] = {}
    unique = []
    for key in zip(artist.tolist(), titles, strict=True):
        seen[key] = seen.get(key, 0) + 1
        unique.append(key[1] if seen[key] == 1 else f"{key[1]} Pt. {seen[key]}")
    return unique


def _marked(rng: np.random.Generator, latents: Latents, artists: list[str], titles: list[str]) -> list[str]:
    """Titles with guests, and now and then a quote, a 12-inch mix or an emoji, as publishers have them."""
    marks = choose(rng, np.array([0.92, 0.02, 0.01, 0.015, 0.01, 0.025]), len(titles)).tolist()
    marked = []
    for title, mark, guest in zip(titles, marks, latents.tracks.featured.tolist(), strict=True):
        first, _, rest = title.partition(" ")
        quoted = f'"{first}" {rest}'.rstrip()
        name = (title, quoted, f'{title} 12" Mix', f"{title} - Live", f"{title} 🌊", title + REMASTERED)[mark]
        marked.append(name if guest < 0 else f"{name} (feat. {artists[guest]})")
    return marked


def _logged_spellings(
    rng: np.random.Generator, latents: Latents, artists: list[str], titles: list[str]
) -> tuple[list[str], list[str]]:
    """Artist and title of each track as the listening log spells them."""
    tracks = latents.tracks
    spelling = np.where(tracks.origin == Origin.LASTFM_ONLY, 0, choose(rng, SPELLING_SHARES, len(tracks)))
    rows = zip(titles, tracks.artist.tolist(), tracks.featured.tolist(), spelling.tolist(), strict=True)
    pairs = [_logged_spelling(title, artists[a], "" if g < 0 else artists[g], s) for title, a, g, s in rows]
    return [artist for artist, _ in pairs], [title for _, title in pairs]


def _logged_spelling(title: str, artist: str, guest: str, spelling: int) -> tuple[str, str]:
    title = title.removesuffix(REMASTERED)
    if guest and spelling == len(SPELLING_SHARES) - 1:
        return f"{artist} feat. {guest}", title.removesuffix(f" (feat. {guest})")
    spellings = (
        (artist, title),
        (artist.lower(), title.lower()),
        (artist, title.upper()),
        (artist, f"{title} (Remastered 2009)"),
        (artist.replace("&", "and"), title.replace("'", "’")),
        (artist.removeprefix("The "), title),
    )
    return spellings[spelling]


def _kept(ids: list[str], is_kept: list[bool]) -> list[str]:
    return [text if kept else "" for text, kept in zip(ids, is_kept, strict=True)]
