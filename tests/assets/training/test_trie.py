"""The catalog's sequences as a trie, against the catalog looked through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.tokens.vocabulary import Vocabulary
from assets.training.trie import TrackTrie

VOCABULARY = Vocabulary(("a", "b", "c"), (2, 3, 2))
CODES = np.array([[1, 0, 2], [0, 3, 1], [1, 0, 2], [0, 3, 0], [2, 0, 0]])
catalogs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=20)


def test_tracks_of_one_sequence_are_its_rows() -> None:
    """Tracks 0 and 2 are equal; sequences are in the order of their codes."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    assert len(trie) == 4
    assert trie.codes_SM.tolist() == [[0, 3, 0], [0, 3, 1], [1, 0, 2], [2, 0, 0]]
    assert [trie.rows(sequence).tolist() for sequence in range(4)] == [[3], [1], [0, 2], [4]]


def test_allowed_codes_are_those_of_tracks() -> None:
    """At the root 0, 1 and 2; after code 0 only 3; after 0, 3 both 0 and 1."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    assert trie.allowed(0, np.array([0])).tolist() == [[True, True, True]]
    assert trie.allowed(1, np.array([0, 1, 0])).tolist() == [
        [False, False, False, True],
        [True, False, False, False],
        [False, False, False, True],
    ]
    assert trie.allowed(2, np.array([0])).tolist() == [[True, True, False]]
    assert [trie.nodes(depth) for depth in range(4)] == [1, 3, 3, 4]


@settings(max_examples=60, deadline=None)
@given(catalogs, st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)))
def test_walk_is_a_search_of_the_catalog(tracks: list[tuple[int, int, int]], query: tuple[int, int, int]) -> None:
    """At every depth the allowed codes are the next ones of tracks with the prefix; the end is their rows."""
    trie = TrackTrie.build(np.array(tracks), VOCABULARY)
    node = np.array([0])
    for depth, code in enumerate(query):
        following = {track[depth] for track in tracks if track[:depth] == query[:depth]}
        assert set(np.flatnonzero(trie.allowed(depth, node)[0])) == following
        node = trie.children(depth, node, np.array([code]))
        assert (node[0] >= 0) == (code in following)
        if node[0] < 0:
            break
    assert trie.find(np.array([query])).tolist() == node.tolist()
    if node[0] >= 0:
        assert trie.rows(int(node[0])).tolist() == [row for row, track in enumerate(tracks) if track == query]


@given(st.permutations(range(5)))
@settings(max_examples=20, deadline=None)
def test_order_of_tracks_does_not_matter(order: list[int]) -> None:
    """The sequences and levels are the same; the rows follow the tracks."""
    trie, shuffled = TrackTrie.build(CODES, VOCABULARY), TrackTrie.build(CODES[order], VOCABULARY)
    assert np.array_equal(trie.codes_SM, shuffled.codes_SM)
    for level, other in zip(trie.levels, shuffled.levels, strict=True):
        assert np.array_equal(level.keys, other.keys)
        assert np.array_equal(level.firsts, other.firsts)
    rows = [sorted(order[row] for row in shuffled.rows(sequence)) for sequence in range(4)]
    assert rows == [trie.rows(sequence).tolist() for sequence in range(4)]


def test_dropped_modality_is_missing_in_all() -> None:
    """Without b the five tracks are 0-0, 0-1, 1-2 (two of them) and 2-0."""
    trie = TrackTrie.build(CODES, VOCABULARY, without="b")
    assert trie.codes_SM.tolist() == [[0, 3, 0], [0, 3, 1], [1, 3, 2], [2, 3, 0]]
    assert trie.rows(2).tolist() == [0, 2]


def test_sequence_of_no_track_is_not_found() -> None:
    """-1, whether the walk ends at once or at the last code."""
    trie = TrackTrie.build(CODES, VOCABULARY)
    assert trie.find(np.array([[1, 0, 2], [1, 1, 1], [2, 0, 1]])).tolist() == [2, -1, -1]


def test_catalog_of_no_tracks_is_refused() -> None:
    """There would be nothing to decode to."""
    with pytest.raises(ValueError, match="no tracks"):
        TrackTrie.build(np.empty((0, 3), dtype=int), VOCABULARY)


def test_code_beyond_the_vocabulary_is_refused() -> None:
    """A has the codes 0, 1 and the missing 2."""
    with pytest.raises(ValueError, match="a has no code 3"):
        TrackTrie.build(np.array([[3, 0, 0]]), VOCABULARY)


def test_rows_of_a_sequence_that_is_not_there_are_refused() -> None:
    """-1, which marks no beam, is none either."""
    with pytest.raises(ValueError, match="no sequence -1"):
        TrackTrie.build(CODES, VOCABULARY).rows(-1)
