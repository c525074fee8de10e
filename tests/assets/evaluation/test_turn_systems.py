"""TalkPlay's rivals."""

from collections.abc import Sequence
from math import log

import numpy as np
import polars as pl
import pytest

from assets.evaluation import turn_counts
from assets.evaluation.turn_cases import ChatTurn, Prompt, TurnCases
from assets.evaluation.turn_counts import TurnCounts
from assets.evaluation.turn_systems import (
    aligned_vectors,
    bm25_counts,
    chance_counts,
    clap_counts,
    dense_counts,
    id_only_counts,
    popularity_counts_of_turns,
    rival_counts,
)
from resources.refusals import Refusal
from resources.text_encoder import HashedNgramEncoder, Vector

WAYS = {"east": (1, 0), "north": (0, 1), "west": (-1, 0)}
NONE = np.full(2, np.nan, np.float32)


class Compass:
    """Points a text to where its first word says; refuses other texts."""

    name = "compass"
    dimensions = 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[Vector | Refusal]:
        """One vector or refusal per text."""
        self.asked += texts
        ways = [WAYS.get(text.split(" ")[0]) for text in texts]
        return [np.array(way, np.float32) if way else Refusal(self.name, "0", "empty_text", "") for way in ways]


def cases(*targets: int, past: Sequence[Sequence[int]] = ()) -> TurnCases:
    """A case for each target, after turns that recommended the past tracks."""
    chats = past or [()] * len(targets)
    return TurnCases(
        [Prompt(tuple(ChatTurn("", track, "") for track in chat), "") for chat in chats],
        [np.array([target], np.int32) for target in targets],
        [np.array([track for track in chat if track >= 0], np.int32) for chat in chats],
        np.array([len(chat) + 1 for chat in chats], np.int32),
        np.arange(len(targets)),
        np.ones(len(targets), np.bool_),
    )


def lists(counts: TurnCounts) -> list[tuple[int, int, int]]:
    """Above, ties and good of each case."""
    return list(zip(*(numbers.tolist() for numbers in counts), strict=True))


def bm25_score(query: str, text: str, texts: Sequence[str]) -> float:
    """Lucene's BM25 written out: k1 = 1.5, b = .75."""
    length = len(text.split()) / (sum(len(other.split()) for other in texts) / len(texts))
    score = 0.0
    for word in query.split():
        holds = sum(word in other.split() for other in texts)
        times = text.split().count(word)
        score += log(1 + (len(texts) - holds + 0.5) / (holds + 0.5)) * times / (times + 1.5 * (0.25 + 0.75 * length))
    return score


def test_bm25_ranks_as_its_formula_does() -> None:
    """Every track as the target of every query: as many above and beside it as by the written-out score."""
    texts = ["calm sea", "calm calm sea song by the sea", "loud song", "the song", "song the", "a b c d loud"]
    for query in ("calm", "loud song", "song song calm", "the sea a"):
        scores = [round(bm25_score(query, text, texts), 5) for text in texts]
        expected = [(sum(other > score for other in scores), scores.count(score), 1) for score in scores]
        assert lists(bm25_counts(cases(*range(6)), texts, [query] * 6)) == expected


def test_bm25_knows_words_by_lower_case() -> None:
    """Punctuation parts words; a word nobody knows, or no word at all, finds all alike."""
    texts = ["Calm: Sea", "LOUD-song", "other"]
    queries = ["sea!", "Loud", "unheard", "..."]
    assert lists(bm25_counts(cases(0, 1, 2, 2), texts, queries)) == [(0, 1, 1), (0, 1, 1), (0, 3, 1), (0, 3, 1)]


def test_dense_ranks_by_cosine() -> None:
    """To the east: what lies there, then north, then west, then the text that has no vector."""
    texts = ["north one", "east", "west", "?", "north two", "east"]
    counts = dense_counts(cases(1, 0, 2, 3), texts, ["east"] * 4, Compass())
    assert lists(counts) == [(0, 2, 1), (2, 2, 1), (4, 1, 1), (5, 1, 1)]


def test_a_refused_query_finds_all_with_a_vector_alike() -> None:
    """Of three tracks one has no vector and stays last."""
    assert lists(dense_counts(cases(0, 2), ["north", "east", "?"], ["?", "?"], Compass())) == [(0, 2, 1), (2, 1, 1)]


def test_bm25_without_a_word_finds_all_alike() -> None:
    """Titles may be of signs alone."""
    assert lists(bm25_counts(cases(0), ["!!!", ""], ["!!!"])) == [(0, 2, 1)]


def test_dense_encodes_a_text_once() -> None:
    """Equal texts of tracks, and equal queries."""
    encoder = Compass()
    dense_counts(cases(0, 1, 2), ["north", "east", "north"], ["west", "west", "east"], encoder)
    assert encoder.asked == ["north", "east", "west", "east"]


def test_equal_texts_tie_to_the_bit() -> None:
    """However many tracks: a text's score does not depend on its row."""
    texts = [f"track {place % 7} of many" for place in range(70)]
    counts = dense_counts(cases(*range(70)), texts, ["one of the tracks"] * 70, HashedNgramEncoder())
    assert set(counts.ties_C.tolist()) == {10}


def test_clap_ranks_recordings() -> None:
    """Tracks without a recording come last."""
    vectors_ND = np.array([[0, 1], NONE, [1, 0]], np.float32)
    assert lists(clap_counts(cases(2, 0, 1), vectors_ND, ["east"] * 3, Compass())) == [
        (0, 1, 1),
        (1, 1, 1),
        (2, 1, 1),
    ]


def test_clap_needs_vectors_of_its_own() -> None:
    """Recordings of another encoder can't be compared."""
    with pytest.raises(ValueError, match="3 dimensions, compass 2"):
        clap_counts(cases(0), np.zeros((1, 3), np.float32), ["east"], Compass())


def test_popularity_ranks_by_appearances() -> None:
    """Appearances 3 9 3 0; what the chat has shown is no candidate."""
    popularity_N = np.array([3, 9, 3, 0])
    assert lists(popularity_counts_of_turns(cases(0, 1, 3), popularity_N)) == [(1, 2, 1), (0, 1, 1), (3, 1, 1)]
    assert lists(popularity_counts_of_turns(cases(0, past=[[1]]), popularity_N)) == [(0, 2, 1)]


def test_chance_ties_all_candidates() -> None:
    """Four tracks, less those that the chat has shown."""
    assert lists(chance_counts(cases(0, 1, past=[[], [2, 3]]), tracks=4)) == [(0, 4, 1), (0, 2, 1)]


def test_id_only_ranks_by_nearness_to_the_mean() -> None:
    """After east and north the mean lies between; cold tracks come last; seen ones are no candidates."""
    root = np.sqrt(0.5)
    vectors_ND = np.array([[1, 0], [0, 1], [root, root], [-1, 0], NONE], np.float32)
    chats = [[0, 1], [0, 1], [0, 1], [0, 4, -1]]
    counts = id_only_counts(cases(2, 3, 4, 1, past=chats), vectors_ND, np.zeros(5, np.int64))
    assert lists(counts) == [(0, 1, 1), (1, 1, 1), (2, 1, 1), (1, 1, 1)]


def test_id_only_begins_with_what_is_popular() -> None:
    """In a first turn, and where no track so far has a vector."""
    vectors_ND = np.array([[1, 0], [0, 1], NONE], np.float32)
    counts = id_only_counts(cases(0, 1, 0, past=[[], [2], [-1]]), vectors_ND, np.array([1, 5, 3]))
    assert lists(counts) == [(2, 1, 1), (0, 1, 1), (2, 1, 1)]


def test_vectors_are_brought_to_the_catalogs_rows() -> None:
    """At unit length; NaN where there is none."""
    rows = pl.DataFrame(
        {"track_id": ["c", "a", "b"], "vector": [[3.0, 4.0], None, [0.0, 2.0]]},
        schema={"track_id": pl.String, "vector": pl.Array(pl.Float32, 2)},
    )
    vectors_ND = aligned_vectors(pl.Series(["a", "b", "c", "d"]), rows)
    np.testing.assert_array_equal(vectors_ND, np.array([NONE, [0, 1], [0.6, 0.8], NONE], np.float32))


def test_all_rivals_judge_the_same_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of one case as in one block; bm25 reads the chat, bm25_last the query alone."""
    catalog = pl.DataFrame(
        {
            "track_id": ["a", "b", "c"],
            "title": ["Copper Ship", "Tin Boat", "Rain"],
            "artist": ["The Pelthows"] * 3,
            "album": ["Pier", None, None],
            "tags": [["folk"], ["rock"], None],
            "release_year": [1998, None, None],
            "train_appearances": [2, 1, 0],
        }
    )
    vectors = pl.DataFrame(
        {"track_id": ["a", "b"], "vector": [[1.0, 0.0], [0.0, 1.0]]},
        schema={"track_id": pl.String, "vector": pl.Array(pl.Float32, 2)},
    )
    two = cases(0, 2, past=[[], [0]])
    two.prompts[:] = [Prompt((), "folk"), Prompt((ChatTurn("folk", 0, "a boat of tin"),), "rain")]
    whole = {name: lists(counts) for name, counts in rival_counts(two, catalog, vectors, HashedNgramEncoder()).items()}
    monkeypatch.setattr(turn_counts, "SCORES_AT_ONCE", 1)
    parts = {name: lists(counts) for name, counts in rival_counts(two, catalog, vectors, HashedNgramEncoder()).items()}
    assert parts == whole
    assert list(whole) == ["bm25", "bm25_last", "dense", "dense_last", "popularity", "id_only", "chance"]
    assert (whole["bm25"], whole["bm25_last"]) == ([(0, 1, 1), (1, 1, 1)], [(0, 1, 1), (0, 1, 1)])


def test_rivals_encode_the_tracks_texts_once() -> None:
    """Though dense text is asked with chats and with last queries; so are queries that are a whole chat."""
    catalog = pl.DataFrame({"track_id": ["a", "b"], "title": ["north", "west"], "train_appearances": [2, 1]})
    catalog = catalog.with_columns(artist=None, album=None, tags=None, release_year=None).cast(
        {"artist": pl.String, "album": pl.String, "tags": pl.List(pl.String), "release_year": pl.Int32}
    )
    vectors = pl.DataFrame(schema={"track_id": pl.String, "vector": pl.Array(pl.Float32, 2)})
    of, encoder = cases(0, 1), Compass()
    of.prompts[:] = [Prompt((), "east"), Prompt((ChatTurn("east", 0, ""),), "west")]
    rival_counts(of, catalog, vectors, encoder)
    assert sorted(encoder.asked) == ["east", "north", "west", "west", "west\neast\nnorth"]
