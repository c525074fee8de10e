import random

import pytest

from resources.answer_facts import Track, known_facts, relations
from resources.answer_grammar import Writer, fitting, grammar
from resources.answer_query import SPEECHES
from tests.resources.known_track import FULL


@pytest.mark.parametrize(
    ("symbol", "facts"),
    [
        *[(f"{part}_audio", {slot}) for part in ("ask", "answer") for slot in ("pace,pulse,bpm", "key,mode,shade")],
        *[(f"{part}_lyrics", {"theme"}) for part in ("ask", "answer")],
        *[(f"{part}_metadata", {"artist"}) for part in ("ask", "answer")],
        *[(f"{part}_semantic", {slot}) for part in ("ask", "answer") for slot in ("style", "mood", "instrument")],
        *[
            ("query_AC", {"artist"}),
            ("query_BM", {"title"}),
            *[("query_SC", {slot}) for slot in ("instrument", "timbre")],
        ],
        *[("query_RI", {slot}) for slot in ("year", "decade")],
        *[("query_AB", {slot}) for slot in ("origin", "singer")],
        *[("query_TC", {slot}) for slot in ("artist", "style", "occasion")],
        *[
            (symbol, {""})
            for symbol in grammar()
            if not symbol.startswith(("ask_", "answer_", "query_")) and symbol != "caption"
        ],
    ],
)
def test_every_symbol_has_a_phrase_for_the_least_that_is_known(symbol, facts):
    """No combination of known facts leaves the grammar without words."""
    names = [name for fact in facts for name in fact.split(",") if name]
    assert fitting(symbol, dict.fromkeys(names, "x"))


def test_every_slot_is_a_fact_that_exists():
    """The grammar asks for no fact that nobody provides; a query for none beside those of its modality."""
    draw = random.Random(1)
    full, other = (
        Track(**FULL),
        Track(**FULL | {"tempo_bpm": 150.0, "key": "C major", "tags": ["metal"], "artist": "X"}),
    )
    said = [(full, known_facts(full, draw)), (other, known_facts(other, draw))]
    facts = known_facts(full, draw)
    known = facts | relations(full, facts, said, draw) | {"playlist": "mix"}
    reverse = relations(other, said[1][1], said[:1], draw)
    slots = {symbol: {slot for phrase in phrases for slot in phrase.slots} for symbol, phrases in grammar().items()}
    queries = {speech.symbol: speech.slots for speech in SPEECHES.values() if speech.symbol.startswith("query_")}
    assert all(slots[symbol] <= queries.get(symbol, {*known, *reverse}) for symbol in slots)


def test_facts_are_filled_in_literally():
    """Grammar marks inside a fact stay text."""
    text = Writer(random.Random(1)).phrase("caption", {"caption": "[thing] {artist} [want]"}).text
    assert text.endswith("[thing] {artist} [want]")
