"""Facts: fields, broken lines, and tags from which the genre can be told."""

import json
import re
from collections import Counter

import pytest

from resources.sample.facts import write_facts
from resources.sample.latents import draw_latents
from resources.sample.names import draw_names
from resources.sample.vocabulary import GENRES


def read_lines(path):
    """Decoded whole lines, and the number of broken ones."""
    whole, broken = [], 0
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            whole.append(json.loads(line))
        except json.JSONDecodeError:
            broken += 1
    return whole, broken


@pytest.mark.parametrize("name", ["artists", "releases", "tracks"])
def test_each_file_has_one_broken_line(world, name):
    """All other lines decode, as many as the summary counts."""
    whole, broken = read_lines(world.folder / "facts" / f"{name}.jsonl")
    assert broken == 1
    counts = {
        "artists": world.summary.artist_facts,
        "releases": world.summary.release_facts,
        "tracks": world.summary.track_facts,
    }
    assert len(whole) == counts[name]


def test_artists_have_roles_and_a_biography(world):
    """The uri is sometimes absent; a group has no gender or birth year, but several people."""
    artists, _ = read_lines(world.folder / "facts" / "artists.jsonl")
    fields = {"artist", "roles", "gender", "birth_year", "origin", "biography"}
    assert all(fields <= artist.keys() <= fields | {"artist_uri"} for artist in artists)
    assert {"artist_uri" in artist for artist in artists} == {True, False}
    assert all(role.keys() == {"name", "role"} for artist in artists for role in artist["roles"])
    assert all(artist["birth_year"] is None or 1900 < artist["birth_year"] < 2000 for artist in artists)


def test_release_dates_are_days_or_years(world):
    """YYYY-MM-DD for most, YYYY for some; a uri where the playlists know the track."""
    releases, _ = read_lines(world.folder / "facts" / "releases.jsonl")
    forms = Counter(len(release["release_date"]) for release in releases)
    assert set(forms) == {4, 10}
    assert forms[10] > 3 * forms[4]
    assert all(re.fullmatch(r"\d{4}(-\d\d-\d\d)?", release["release_date"]) for release in releases)
    assert {"track_uri" in release for release in releases} == {True, False}


def test_tags_tell_the_genre(tmp_path):
    """Four tracks in five have tags; the genre with most of its tags among them is right for over 80 % of these."""
    latents = draw_latents(5, tracks=800)
    write_facts(tmp_path, 5, latents, draw_names(5, latents))
    tracks, _ = read_lines(tmp_path / "tracks.jsonl")
    right = 0
    tagged = [at for at, track in enumerate(tracks) if track["tags"]]
    for at in tagged:
        hits = [len({*genre.tags, *genre.instruments} & set(tracks[at]["tags"])) for genre in GENRES]
        right += hits.index(max(hits)) == latents.tracks.genre[at]
    assert 0.74 < len(tagged) / 800 < 0.86
    assert 0.8 < right / len(tagged) < 1
