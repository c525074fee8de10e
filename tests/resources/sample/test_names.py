"""Names and ids: unique where they must be, spelled otherwise in the log."""

import re

import numpy as np
import pytest

from resources.sample.latents import Origin, draw_latents
from resources.sample.names import draw_names, musicbrainz_ids, spotify_ids, translated


@pytest.fixture(scope="module")
def latents():
    """Hidden truth of a middling world."""
    return draw_latents(5, tracks=2_000)


@pytest.fixture(scope="module")
def names(latents):
    """Its names."""
    return draw_names(5, latents)


def test_artists_have_different_names(names):
    """Upper and lower case aside."""
    assert len({name.lower() for name in names.artists}) == len(names.artists)


def test_an_artists_tracks_have_different_titles(latents, names):
    """Artist and title name one track."""
    pairs = set(zip(latents.tracks.artist.tolist(), names.titles, strict=True))
    assert len(pairs) == 2_000


def test_shared_tracks_are_mostly_spelled_alike_and_sometimes_not(latents, names):
    """Between 15 and 45 % of the tracks in both sources have another spelling in the log."""
    is_shared = latents.tracks.is_logged & (latents.tracks.origin == Origin.WARM)
    published = [
        (names.artists[artist], title) for artist, title in zip(latents.tracks.artist, names.titles, strict=True)
    ]
    logged = list(zip(names.logged_artists, names.logged_titles, strict=True))
    differs = np.array([one != other for one, other in zip(published, logged, strict=True)])
    assert 0.15 < differs[is_shared].mean() < 0.45
    assert any(title.endswith("(Remastered 2009)") for title in names.logged_titles)
    assert any(" feat. " in artist for artist in names.logged_artists)


def test_names_are_of_many_scripts(names):
    """Latin with accents, Cyrillic and kana occur."""
    text = "".join(names.artists)
    assert all(re.search(letters, text) for letters in ("[ñéáó]", "[а-я]", "[ぁ-ん]"))


def test_ids_have_their_publishers_form():
    """22 base-62 characters; a UUID of version 4."""
    rng = np.random.default_rng(0)
    assert all(re.fullmatch("[0-9A-Za-z]{22}", text) for text in spotify_ids(rng, 50))
    pattern = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(pattern, text) for text in musicbrainz_ids(rng, 50))


def test_a_word_has_one_translation():
    """English stays; another language always has the same other word."""
    assert translated("river", 0) == "river"
    assert translated("river", 1) == translated("river", 1) != "river"
