"""The listening log: its layout and quirks, sessions, and partial listens that follow the listener's taste."""

import itertools
from datetime import datetime

import numpy as np
import pytest

from resources.sample.latents import draw_latents
from resources.sample.listening import PLAYS_FILE, PROFILES_FILE, draw_plays, tune_radio, write_log
from resources.sample.names import draw_names
from resources.sample.streams import Purpose, generator


@pytest.fixture(scope="module")
def latents():
    """Hidden truth of a middling world."""
    return draw_latents(5, tracks=1_500)


@pytest.fixture(scope="module")
def plays(latents):
    """Four thousand plays of one listener."""
    return draw_plays(generator(1, Purpose.LISTENER), tune_radio(latents), latents, 4_000)


@pytest.fixture(scope="module")
def rows(world):
    """The log's lines, split at tabs."""
    text = (world.folder / "lastfm" / PLAYS_FILE).read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()]


def is_whole(row):
    """Six columns and a time that can be read."""
    try:
        datetime.strptime(row[1], "%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        return False
    return len(row) == 6


def test_whole_rows_are_the_plays_asked_for_and_four_more(rows):
    """3,000 plays, three stamped 2012 and one without a title; four lines are broken."""
    assert sum(map(is_whole, rows)) == 3_000 + 3 + 1
    assert sum(not is_whole(row) for row in rows) == 4


def test_broken_lines_are_of_four_kinds(rows):
    """Too few columns, too many, an impossible time, and no time."""
    broken = [(len(row), row[1]) for row in rows if not is_whole(row)]
    assert sorted(columns for columns, _ in broken) == [3, 6, 6, 7]
    assert {time for columns, time in broken if columns == 6} == {"", "2007-13-45T29:61:00Z"}


def test_three_plays_are_stamped_2012_and_open_their_listener(rows):
    """Newest first: what is stamped too late comes before the listener's other plays."""
    late = [at for at, row in enumerate(rows) if row[1].startswith("2012")]
    assert late == [0, 1, 2]
    assert all(row[1] < "2009-06" for row in rows[3:] if is_whole(row))


def test_rows_are_by_listener_and_newest_first(rows):
    """user_000001 and on, without a header; times fall within a listener."""
    whole = [row for row in rows if is_whole(row)]
    listeners = [name for name, _ in itertools.groupby(row[0] for row in whole)]
    assert listeners == [f"user_{number:06d}" for number in range(1, 15)]
    for _, group in itertools.groupby(whole, key=lambda row: row[0]):
        times = [row[1] for row in group]
        assert times == sorted(times, reverse=True)


def test_one_track_in_nine_has_no_mbid(latents):
    """Track ids are missing at the published rate, on both sides of the log."""
    names = draw_names(5, latents)
    logged = [mbid for mbid, is_logged in zip(names.track_mbids, latents.tracks.is_logged, strict=True) if is_logged]
    assert 0.08 < logged.count("") / len(logged) < 0.145
    assert 0.03 < names.artist_mbids.count("") / len(names.artist_mbids) < 0.2


def test_names_hold_quotes(latents):
    """Some titles hold a pair of quotes, some a lone one."""
    titles = draw_names(5, latents).logged_titles
    assert {title.count('"') for title in titles} == {0, 1, 2}


def test_profiles_have_the_published_header_and_blanks(world):
    """One line a listener, sign-up as month, day, year; some ages are missing."""
    lines = (world.folder / "lastfm" / PROFILES_FILE).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#id\tgender\tage\tcountry\tregistered"
    rows = [line.split("\t") for line in lines[1:]]
    assert len(rows) == 14
    assert {len(row) for row in rows} == {5}
    assert "" in {row[2] for row in rows}
    assert all(datetime.strptime(row[4], "%b %d, %Y") for row in rows if row[4])


def test_gaps_are_under_20_minutes_within_sessions_and_over_an_hour_between(plays):
    """No gap lies between the two; sessions have about eleven plays."""
    gaps_s = np.diff(plays.played_at_s)
    assert (gaps_s > 0).all()
    assert ((gaps_s < 1_200) | (gaps_s >= 3_600)).all()
    assert 7 < len(plays.track) / (1 + (gaps_s >= 3_600).sum()) < 16


def test_no_track_is_heard_before_its_release(latents, plays):
    """The first play of every track is later than its release day."""
    assert (plays.played_at_s >= 86_400 * latents.tracks.released_day[plays.track]).all()


def test_partial_plays_end_before_the_track_does(latents, plays):
    """Within a session the next play starts early after a partial play, from half of the track on, and never else."""
    gaps_s = np.diff(plays.played_at_s)
    is_within = gaps_s < 1_200
    ratio = gaps_s[is_within] / (latents.tracks.duration_ms[plays.track[:-1]][is_within] / 1_000)
    is_partial = plays.is_partial[:-1][is_within]
    assert ratio[is_partial].max() < 0.97
    assert ratio[is_partial].min() > 0.4
    assert ratio[~is_partial].min() > 0.98  # whole seconds
    assert 0.1 < is_partial.mean() < 0.6


def test_what_the_listener_plays_most_is_cut_short_least(latents, plays):
    """Tracks of the listener's three most played genres are left early less often than those of the rest."""
    genres = latents.tracks.genre[plays.track]
    favourites = np.argsort(np.bincount(genres))[-3:]
    is_favourite = np.isin(genres, favourites)
    assert plays.is_partial[is_favourite].mean() < plays.is_partial[~is_favourite].mean() - 0.1


def test_log_is_written_listener_by_listener(latents, tmp_path):
    """Writing is a generator: the first listener is there before the second is drawn."""
    writing = write_log(tmp_path, 2, latents, draw_names(2, latents), listeners=1_000, plays=5_000_000)
    assert next(writing) > 0


def test_more_plays_than_listeners_can_play_are_refused(latents, tmp_path):
    """The error says what would do."""
    with pytest.raises(ValueError, match="120000 plays of each listener"):
        next(write_log(tmp_path, 2, latents, draw_names(2, latents), listeners=2, plays=1_000_000))
