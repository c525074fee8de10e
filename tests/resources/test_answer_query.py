import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.answer_query import SPEECHES
from resources.answer_rules import answer_text
from resources.outside_text import has_special_token, marked
from resources.title_leaks import title_leaks

FULL = {
    "title": "Golden Ship (feat. Oona Vale)",
    "artist": "The Weavers of Dawn",
    "album": "North Pier",
    "year": 1987,
    "tags": ["folk", "sad", "banjo", "british", "acoustic", "workout", "female vocalists"],
    "tempo_bpm": 92.4,
    "key": "F# minor",
    "caption": "A sad folk track with banjo.",
    "lyrics_excerpt": "lantern on the river / lantern on the river / copper morning",
}
# Words of which a query of the modality holds one; MC's are many, so its tempo in words is not among them.
TOLD = {
    "AC": ["Weavers", "Oona Vale"],
    "BM": ["Golden Ship"],
    "ST": ["folk", "sad", "acoustic"],
    "SC": ["banjo", "acoustic"],
    "RI": ["1987", "1980s", "eighties"],
    "SF": ["lantern", "river", "copper", "morning"],
    "AB": ["British", "woman"],
    "TC": ["Weavers", "folk", "acoustic", "a workout"],
}


def asked(track: dict, *, queries: int = 9, identity: str = "a") -> list[dict]:
    """The queries written for one track."""
    payload = {"track": track, "queries": queries}
    return json.loads(answer_text("query", payload, seed=7, identity=identity))["queries"]


def modalities(track: dict) -> set[str]:
    """What many queries for a track speak of."""
    return {query["modality"] for query in asked(track, queries=18)}


def test_a_track_of_which_all_is_known_is_asked_for_in_all_nine_modalities():
    """Nine queries speak of nine things; of fewer queries no two speak of the same."""
    assert {query["modality"] for query in asked(FULL)} == set(SPEECHES)
    assert len({query["modality"] for query in asked(FULL, queries=4)}) == 4


@pytest.mark.parametrize("queries", [1, 2, 10, 25])
def test_there_are_as_many_queries_as_wanted_all_different(queries):
    """Also where there are more queries than modalities."""
    written = asked(FULL, queries=queries)
    assert len(written) == queries
    assert len({query["query"] for query in written}) == queries


def test_ten_queries_are_different_where_next_to_nothing_is_known():
    """Title and artist alone are enough for ten."""
    written = asked({"title": "Golden Ship", "artist": "The Weavers of Dawn"}, queries=10)
    assert len({query["query"] for query in written}) == 10


def test_a_query_speaks_of_what_is_true_of_its_track():
    """Each query holds a fact of the track that belongs to its modality."""
    for identity in range(60):
        for query in asked(FULL, identity=str(identity)):
            told = TOLD.get(query["modality"], [""])
            assert any(word in query["query"] for word in told), query


def test_no_query_speaks_of_what_is_unknown():
    """A modality comes up only where the payload has facts of it; the artist is basic data, a role and company."""
    bare = {"title": "Golden Ship", "artist": "The Weavers of Dawn"}
    assert modalities(bare) == {"AC", "BM", "TC"}
    assert modalities(bare | {"year": 1987}) == {"AC", "BM", "TC", "RI"}
    assert modalities(bare | {"key": "C major"}) == {"AC", "BM", "TC", "MC"}
    assert modalities(bare | {"tags": ["90s"]}) == {"AC", "BM", "TC", "RI"}
    assert modalities(bare | {"tags": ["banjo"]}) == {"AC", "BM", "TC", "SC"}
    assert modalities(bare | {"tags": ["Swedish"]}) == {"AC", "BM", "TC", "AB"}
    assert modalities(bare | {"artist": "unknown"}) == {"BM"}


def test_only_a_query_for_the_title_holds_it():
    """Of the others none gives it away, even where artist and album are called the same."""
    for track in (FULL, FULL | {"title": "The Weavers of Dawn", "album": "The Weavers of Dawn"}):
        for identity in range(40):
            for query in asked(track, identity=str(identity)):
                assert title_leaks(track["title"], query["query"]) == (query["modality"] == "BM"), query


def test_company_is_wished_and_not_claimed():
    """What others play together is not in the payload, so no query says that they do."""
    texts = [query["query"] for n in range(60) for query in asked(FULL, identity=str(n)) if query["modality"] == "TC"]
    assert len(texts) >= 60
    assert not any(word in text for text in texts for word in ("people", "listeners", "others", "popular", "often"))


def test_queries_of_long_names_are_short_enough():
    """Title, artist and album of 70 characters each do not come in one query of more than 200."""
    long = FULL | {name: f"{name} with many words " * 3 for name in ("title", "artist", "album")}
    assert all(len(query["query"]) <= 200 for n in range(60) for query in asked(long, identity=str(n)))


def test_queries_are_varied():
    """Queries for a thousand tracks of the same facts are mostly different."""
    texts = [query["query"] for identity in range(250) for query in asked(FULL, queries=4, identity=str(identity))]
    assert len(set(texts)) > 0.8 * len(texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=30) | st.just("{title} [want] <|x|>"), min_size=6, max_size=6))
def test_whatever_stands_in_names_there_are_queries_without_tokens(texts):
    """Names, tags and lyrics of any kind: as many queries as wanted, no token, the title where it may be."""
    title, artist, album, tag, caption, lyrics = (marked(text) for text in texts)
    track = FULL | {"title": title, "artist": artist, "album": album, "tags": [tag], "caption": caption}
    written = asked(track | {"lyrics_excerpt": lyrics})
    assert len(written) == 9
    assert not any(has_special_token(query["query"]) for query in written)
    assert not any(title_leaks(title, query["query"]) for query in written if query["modality"] != "BM")
