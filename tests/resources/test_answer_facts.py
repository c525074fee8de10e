import random

from resources.answer_facts import PACES, Track, known_facts, modalities_of, relations
from tests.resources.known_track import FULL


def test_slower_and_faster_are_true():
    """A comparison with the last track follows the sign of the tempo step, and is left out for equal tempos."""
    draw = random.Random(1)
    slow, fast = Track(**FULL | {"tempo_bpm": 70.0}), Track(**FULL | {"tempo_bpm": 150.0})
    facts = {id(track): known_facts(track, draw) for track in (slow, fast)}
    assert relations(fast, facts[id(fast)], [(slow, facts[id(slow)])], draw)["shift"] in (
        "faster", "quicker", "livelier", "more energetic", "speedier",
    )  # fmt: skip
    assert relations(slow, facts[id(slow)], [(fast, facts[id(fast)])], draw)["dropped_pace"] in PACES[1000]
    assert "shift" not in relations(slow, facts[id(slow)], [(slow, facts[id(slow)])], draw)


def test_lyrics_in_another_script_have_no_theme():
    """Their words have no place in an English sentence; Latin ones with accents have."""
    track = Track(**FULL | {"lyrics_excerpt": "полрилели остьвенвен / corazón"})
    assert known_facts(track, random.Random(1))["theme"] == "corazón"


def test_what_is_unknown_has_no_fact():
    """A track with a title and an artist alone can be spoken of by metadata alone."""
    facts = known_facts(Track(title="Golden Ship", artist="Weavers"), random.Random(1))
    assert facts == {"title": "Golden Ship", "artist": "Weavers"}
    assert modalities_of(facts) == ["metadata"]


def test_themes_are_the_frequent_words_but_the_title():
    """Words of the title, short words and idle words are no themes."""
    facts = known_facts(Track(**FULL), random.Random(1))
    assert {facts["theme"], facts["second_theme"], facts["third_theme"]} <= {"lantern", "river", "copper", "morning"}
