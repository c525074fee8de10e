import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.content.mgphot_attributes import COLUMNS, SCALE
from resources.answer_mgphot import EVIDENCE, HIGHEST, TELLING, TEMPO, TONALITY
from resources.answer_rules import answer_text
from resources.outside_text import marked

BARE = {"title": "Golden Ship", "artist": "The Weavers of Dawn"}
LYRICS = "the lantern on the river and the morning that you were with me / we will be there by the water"


def ratings(attributes: tuple[str, ...] = COLUMNS, *, reading: int = 1, **facts: object) -> dict[str, int | None]:
    """The ratings of a track with these facts."""
    payload = {"track": BARE | facts, "attributes": list(attributes), "reading": reading}
    return json.loads(answer_text("mgphot", payload, seed=7, identity=str(reading)))


def told(**facts: object) -> dict[str, int]:
    """The ratings that are not null."""
    return {attribute: rating for attribute, rating in ratings(**facts).items() if rating is not None}


def test_exactly_the_attributes_asked_for_are_answered():
    """In their order; one that there is no rule for is null."""
    assert list(ratings(("tempo", "piano", "moonlight"), tags=["piano"]).items()) == [
        ("tempo", None),
        ("piano", 4),
        ("moonlight", None),
    ]


def test_every_rule_is_for_an_attribute_of_mgphot():
    """No rating goes to a name that nobody asks for, and 5 is the scale's end."""
    assert {*re.findall(r"(\w+) [0-5]\b", EVIDENCE), *TELLING, TONALITY, TEMPO} <= set(COLUMNS)
    assert HIGHEST == SCALE


def test_nothing_is_said_of_which_nothing_is_known():
    """A title and an artist rate nothing."""
    assert told() == {}


@pytest.mark.parametrize(
    ("tempo_bpm", "rating"), [(59.9, 0), (60, 1), (79.9, 1), (80, 2), (105, 3), (122, 4), (140, 5), (220, 5)]
)
def test_tempo_is_rated_by_its_bounds(tempo_bpm, rating):
    """Bounds are 60, 80, 105, 122 and 140 beats a minute."""
    assert told(tempo_bpm=tempo_bpm) == {"tempo": rating}


@pytest.mark.parametrize(
    ("key", "rating"), [("F# minor", {"minor_major_key_tonality": 0}), ("C major", None), ("?", {})]
)
def test_tonality_is_the_keys(key, rating):
    """Minor is 0, major 5; what is no key says nothing."""
    assert told(key=key) == ({"minor_major_key_tonality": 5} if rating is None else rating)


def test_an_instrument_that_is_tagged_is_present():
    """Case and hyphens don't matter."""
    assert told(tags=["Piano"]) == {"piano": 4}
    assert told(tags=["rhodes"]) == told(tags=["Electric-Piano"]) == {"rhodes": 4}


def test_a_longer_phrase_hides_those_in_it():
    """An electric piano is no piano, and to be seen live is no recording."""
    assert told(tags=["electric piano"]) == {"rhodes": 4}
    assert told(tags=["seen live"]) == {}


def test_the_strongest_word_counts():
    """Ambient music has no drums (0) unless they are named (4), whichever tag is first."""
    assert told(tags=["ambient", "drums"])["drum_set"] == told(tags=["drums", "ambient"])["drum_set"] == 4
    assert told(tags=["ambient"])["drum_set"] == 0


def test_a_caption_counts_but_not_what_it_denies():
    """An organ that is there is rated, drums that are not there are not."""
    assert told(caption="A slow track with an organ and no drums or piano.") == {"organ": 4}


@pytest.mark.parametrize("title", ["Golden Ship - Live", "Golden Ship (Live at North Pier)", "Golden Ship [live]"])
def test_a_live_recording_says_so_behind_its_title(title):
    """As a tag or a suffix, not as a word of the title proper."""
    assert told(title=title) == told(tags=["live"]) == {"live_recording": 5}
    assert told(title="Live Wire") == {}


@pytest.mark.parametrize(("loves", "rating"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (7, 4), (8, 5), (20, 5)])
def test_lyrics_are_rated_by_their_telling_words(loves, rating):
    """One, two, three, five and eight words of love make 1 to 5; where there is none the rating is 0."""
    assert told(lyrics_excerpt=f"{LYRICS} {'love ' * loves}")["love_romance_lyrics"] == rating


def test_lyrics_that_are_short_or_foreign_say_nothing():
    """Fewer than 12 words, or too few of those that every English text has, leave the lyrics unrated."""
    assert told(lyrics_excerpt="love and tears and a kiss") == {}
    assert told(lyrics_excerpt="resi tela corr iza pasi quel mira anzo " * 4) == {}


def test_a_tag_says_more_than_the_lyrics():
    """An excerpt without coarse words does not outweigh a tag that says there are some."""
    assert told(lyrics_excerpt=LYRICS, tags=["explicit"])["explicit_lyrics"] == 5


def test_a_second_reading_agrees():
    """Rules read the same words the same way."""
    facts = {"tags": ["metal", "calm"], "lyrics_excerpt": LYRICS, "tempo_bpm": 150.0}
    assert ratings(reading=2, **facts) == ratings(reading=1, **facts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=40) | st.sampled_from(["piano", "live", "no drums"]), min_size=5, max_size=5))
def test_ratings_are_whole_numbers_from_0_to_5_or_null(texts):
    """For any words in title, tags, caption, lyrics and key."""
    title, tag, caption, lyrics, key = (marked(text) for text in texts)
    found = ratings(title=title, tags=[tag], caption=caption, lyrics_excerpt=lyrics, key=key)
    assert list(found) == list(COLUMNS)
    assert all(rating is None or (type(rating) is int and 0 <= rating <= 5) for rating in found.values())
