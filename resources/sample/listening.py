"""The listening log in LastFM-1K's two TSV files, with their quirks; one listener in memory at a time.

Sessions have gaps under 20 minutes inside and hours between. A track that does not suit its listener is more often left
early: the next play of the session starts before its duration is over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resources.sample.latents import Latents
from resources.sample.names import Names
from resources.sample.streams import Flags, Floats, Ints, Purpose, choose, generator
from resources.sample.taste import ERAS, TEMPO_BANDS, Pools, Taste, TasteSampler
from resources.sample.vocabulary import COUNTRIES, GENRES, MOODS

PLAYS_FILE = "userid-timestamp-artid-artname-traid-traname.tsv"
PROFILES_FILE = "userid-profile.tsv"
PROFILE_HEADER = "#id\tgender\tage\tcountry\tregistered"
LOG_START_S = 1_108_339_200  # 2005-02-14
LOG_END_S = 1_241_481_600  # 2009-05-05
MISSTAMPED_S = 1_325_376_000  # 2012-01-01
MISSTAMPED_PLAYS = 3
DAY_S = 86_400
YEAR_S = 31_557_600
CONTEXTS = 6  # a listener's kinds of session
SESSION_PLAYS = 11.0
SESSION_SIGMA = 0.8
SESSION_BREAK_S = 3_600  # at least; sessions are split at 1,200 s
LONGEST_PAUSE_S = 600  # with the longest track of 540 s still under 1,200 s
SAME_ARTIST_SHARE = 0.3
FAVOURITE_SHARE = 0.3
RADIO_SHARE = 0.15
MOST_PLAYS = 120_000  # of one listener, so that the log's four years suffice
BROKEN_LISTENERS = 6


class Plays(NamedTuple):
    """A listener's plays in time order: track codes, times in seconds since 1970, whether the play was cut short."""

    track: Ints
    played_at_s: Ints
    is_partial: Flags


class Preferences(NamedTuple):
    """A listener's lasting taste: weights of genres and moods, the best of each 1."""

    genre: Floats
    mood: Floats


class Radio(NamedTuple):
    """What listeners draw their tracks from."""

    sampler: TasteSampler
    by_artist: Pools
    all_tracks: Pools


def write_log(folder: Path, seed: int, latents: Latents, names: Names, *, listeners: int, plays: int) -> Iterator[int]:
    """Write both files; yields each listener's number of plays, broken lines not counted, as they are written."""
    counts = _plays_per_listener(seed, listeners, plays)
    radio = tune_radio(latents)
    with (
        (folder / PLAYS_FILE).open("w", encoding="utf-8", newline="\n") as log,
        (folder / PROFILES_FILE).open("w", encoding="utf-8", newline="\n") as profiles,
    ):
        profiles.write(PROFILE_HEADER + "\n")
        for listener, count in enumerate(counts.tolist()):
            rng = generator(seed, Purpose.LISTENER, listener)
            name = f"user_{listener + 1:06d}"
            listened = draw_plays(rng, radio, latents, count)
            lines = list(_play_lines(name, listened, latents, names))[::-1]
            _break_some(lines, name, listener, listeners)
            log.write("".join(lines))
            profiles.write(_profile_line(rng, name, int(listened.played_at_s[0])))
            yield count


def tune_radio(latents: Latents) -> Radio:
    """Samplers of the tracks that the log may hold."""
    tracks = latents.tracks
    everything = np.zeros(len(tracks), dtype=np.int64)
    return Radio(
        TasteSampler.of(tracks, tracks.is_logged),
        Pools.of(tracks.artist, tracks.popularity, tracks.is_logged, groups=len(latents.artists.genre)),
        Pools.of(everything, tracks.popularity, tracks.is_logged, groups=1),
    )


def draw_plays(rng: np.random.Generator, radio: Radio, latents: Latents, count: int) -> Plays:
    """`count` plays of a new listener."""
    preferences, contexts = _draw_tastes(rng)
    session = _sessions(rng, count)
    context = rng.integers(0, CONTEXTS, session[-1] + 1)[session]
    track = radio.sampler.draw(rng, contexts, context)

    heard = np.flatnonzero(rng.random(count) < FAVOURITE_SHARE)
    track[heard] = track[(rng.random(len(heard)) * heard).astype(np.int64)]
    follows = np.flatnonzero((rng.random(count) < SAME_ARTIST_SHARE) & (np.roll(session, 1) == session))
    track[follows] = radio.by_artist.draw(latents.tracks.artist[track[follows - 1]], rng.random(len(follows)))
    is_radio = rng.random(count) < RADIO_SHARE
    track[is_radio] = radio.all_tracks.draw(np.zeros(is_radio.sum(), dtype=np.int64), rng.random(is_radio.sum()))

    listened_s, is_partial = _listened(rng, preferences, latents, track)
    return Plays(track, _played_at(rng, session, listened_s), is_partial)


def _plays_per_listener(seed: int, listeners: int, plays: int) -> Ints:
    """Long-tailed numbers of plays that sum to `plays`, each at least 1."""
    rng = generator(seed, Purpose.LISTENERS)
    shares = np.minimum(rng.lognormal(0, 0.9, listeners), 8.0)
    counts: Ints = 1 + np.floor((plays - listeners) * shares / shares.sum()).astype(np.int64)
    counts[: plays - counts.sum()] += 1
    if counts.sum() != plays or (counts < 1).any() or (counts > MOST_PLAYS).any():
        wanted = f"1 to {MOST_PLAYS} plays of each listener, whose numbers differ a lot"
        raise ValueError(f"{plays} plays do not suit {listeners} listeners; expected {wanted}: change one of the two")
    return counts


def _draw_tastes(rng: np.random.Generator) -> tuple[Preferences, Taste]:
    """A listener's preferences and the tastes of the kinds of session they have."""
    genre = 0.004 + rng.random(len(GENRES)) ** 9
    mood = 0.05 + rng.random(len(MOODS)) ** 3
    genre, mood = genre / genre.max(), mood / mood.max()
    era = np.exp(-0.7 * np.abs(np.arange(ERAS) - rng.uniform(0.5, ERAS - 1)))
    focus = np.full((CONTEXTS, len(GENRES)), 0.15)
    focus[np.arange(CONTEXTS), choose(rng, genre, CONTEXTS)] = 1.0
    tempo = rng.uniform(0.15, 1.0, (CONTEXTS, TEMPO_BANDS))
    contexts = Taste(
        genre * focus, mood * rng.uniform(0.2, 1, (CONTEXTS, len(MOODS))), np.tile(era, (CONTEXTS, 1)), tempo
    )
    return Preferences(genre, mood), contexts


def _sessions(rng: np.random.Generator, count: int) -> Ints:
    """Session number of each play, from 0."""
    mu = np.log(SESSION_PLAYS) - SESSION_SIGMA**2 / 2
    drawn = 8 + int(2 * count / SESSION_PLAYS)
    ends = np.cumsum(1 + np.floor(rng.lognormal(mu, SESSION_SIGMA, drawn)).astype(np.int64))
    sessions: Ints = np.searchsorted(ends, np.arange(count), side="right")
    return sessions


def _listened(
    rng: np.random.Generator, preferences: Preferences, latents: Latents, track: Ints
) -> tuple[Floats, Flags]:
    """Seconds until the next play could start, and whether the play was cut short.

    Last.fm counts a play from half of the track or 240 s on, so nothing shorter is in the log.
    """
    tracks = latents.tracks
    suits = 0.6 * preferences.genre[tracks.genre[track]] ** 0.5 + 0.4 * preferences.mood[tracks.mood[track]]
    duration_s = tracks.duration_ms[track] / 1000
    is_partial = rng.random(len(track)) < 0.75 - 0.68 * suits
    least = np.minimum(0.5, 240 / duration_s)
    ratio = least + (0.95 - least) * rng.random(len(track)) ** 1.5
    pause_s = np.where(
        rng.random(len(track)) < 0.04, rng.uniform(20, LONGEST_PAUSE_S, len(track)), rng.uniform(0, 4, len(track))
    )
    return np.where(is_partial, duration_s * ratio, duration_s + pause_s), is_partial


def _played_at(rng: np.random.Generator, session: Ints, listened_s: Floats) -> Ints:
    """Start of each play: the breaks between sessions are stretched to fill the listener's years."""
    sessions = session[-1] + 1
    start_s = LOG_START_S + rng.random() ** 2 * 2 * YEAR_S
    breaks_s = rng.exponential(1.0, sessions)
    room_s = LOG_END_S - start_s - listened_s.sum() - sessions * SESSION_BREAK_S
    assert room_s > 0  # MOST_PLAYS sees to it
    breaks_s = SESSION_BREAK_S + breaks_s * room_s / breaks_s.sum()
    before_s = np.concatenate([[0.0], np.cumsum(listened_s)[:-1]])
    played_at_s = start_s + before_s + np.cumsum(breaks_s)[session] - breaks_s[0]
    whole_s: Ints = np.floor(played_at_s).astype(np.int64)
    return whole_s


def _play_lines(name: str, plays: Plays, latents: Latents, names: Names) -> Iterator[str]:
    artists = latents.tracks.artist[plays.track].tolist()
    times = np.datetime_as_string(plays.played_at_s.astype("datetime64[s]"), unit="s").tolist()
    for track, artist, time in zip(plays.track.tolist(), artists, times, strict=True):
        yield (
            f"{name}\t{time}Z\t{names.artist_mbids[artist]}\t{names.logged_artists[track]}"
            f"\t{names.track_mbids[track]}\t{names.logged_titles[track]}\n"
        )


def _break_some(lines: list[str], name: str, listener: int, listeners: int) -> None:
    """Six listeners, evenly spread, have lines beside their plays that are broken or stamped years too late; in place.

    One has too few columns, one an impossible time, one a tab in a title, one no time, one no title; one plays of 2012.
    """
    every = max(1, listeners // BROKEN_LISTENERS)
    kind, rest = divmod(listener, every)
    if rest or kind >= BROKEN_LISTENERS:
        return
    fields = lines[len(lines) // 2].rstrip("\n").split("\t")
    if kind == 0:
        # Newest first: plays stamped too late open their listener's rows.
        days = np.datetime_as_string(np.arange(MISSTAMPED_PLAYS) * DAY_S + np.datetime64(MISSTAMPED_S, "s"), unit="s")
        lines[:0] = ["\t".join([name, f"{day}Z", *fields[2:]]) + "\n" for day in days[::-1]]
        return
    broken = (
        [name, fields[1], fields[2]],
        [name, "2007-13-45T29:61:00Z", *fields[2:]],
        [*fields[:5], "Side One\tSide Two"],
        [name, "", *fields[2:]],
        [*fields[:5], ""],
    )
    lines.insert(len(lines) // 2, "\t".join(broken[kind - 1]) + "\n")


def _profile_line(rng: np.random.Generator, name: str, first_play_s: int) -> str:
    drawn = rng.random(4)
    gender = "" if drawn[0] < 0.1 else "mf"[int(drawn[0] * 100) % 2]
    age = "" if drawn[1] < 0.7 else str(16 + int(drawn[1] * 1000) % 40)
    country = "" if drawn[2] < 0.08 else COUNTRIES[int(drawn[2] * 1000) % len(COUNTRIES)]
    signed_up = np.datetime64(first_play_s - int(drawn[3] * 30) * DAY_S, "s").item()
    registered = "" if drawn[3] < 0.02 else f"{signed_up:%b} {signed_up.day}, {signed_up.year}"
    return f"{name}\t{gender}\t{age}\t{country}\t{registered}\n"
