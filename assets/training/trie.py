"""The token sequences of a catalog as a trie, so that decoding writes nothing but real tracks.

The distinct sequences are sorted; a node at depth d is a run of sequences that agree in their first d codes, and nodes
are numbered in that order. The children of a node follow each other, so a trie is M sorted arrays of (parent, code)
keys: built by one sort, asked by binary search for as many prefixes at once as one likes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from assets.tokens.vocabulary import Vocabulary
from assets.training.prompts import blanked_codes

# N catalog tracks, S distinct sequences, M modalities, P prefixes, K codes of a place, B queries
IntArray = npt.NDArray[np.int32]
LongArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Level(NamedTuple):
    """The nodes of one depth: their key is parent x size + code; `firsts` is where each parent's children begin."""

    keys: LongArray
    firsts: LongArray


@dataclass(frozen=True, slots=True)
class TrackTrie:
    """A catalog's sequences. A track's row is its position in the codes that it was built of."""

    vocabulary: Vocabulary
    without: str
    codes_SM: IntArray
    levels: tuple[Level, ...]
    starts: LongArray
    catalog_rows: IntArray

    @classmethod
    def build(cls, codes_NM: npt.NDArray[np.integer[Any]], vocabulary: Vocabulary, *, without: str = "") -> "TrackTrie":
        """The trie of a catalog's codes; without a modality all tracks have its missing code.

        Raises ValueError for no tracks, and for codes that the vocabulary does not have.
        """
        vocabulary.token_ids(codes_NM, 0)  # checks them
        if not len(codes_NM):
            raise ValueError("the catalog has no tracks; wanted at least one with tokens")
        codes = blanked_codes(codes_NM, vocabulary, without=without)
        order = np.lexsort(codes.T[::-1]).astype(np.int32)
        sorted_NM = codes[order]
        is_new_N, levels = np.append(True, np.zeros(len(codes) - 1, dtype=np.bool_)), []
        for codes_N, size in zip(np.ascontiguousarray(sorted_NM.T), vocabulary.sizes, strict=True):
            is_parent_N = is_new_N.copy()
            is_new_N[1:] |= codes_N[1:] != codes_N[:-1]
            parents = np.cumsum(is_parent_N)[is_new_N] - 1
            firsts = np.append(np.flatnonzero(is_parent_N[is_new_N]), len(parents))
            levels.append(Level(parents * size + codes_N[is_new_N], firsts))
        starts = np.append(np.flatnonzero(is_new_N), len(codes))
        return cls(vocabulary, without, sorted_NM[is_new_N], tuple(levels), starts, order)

    def __len__(self) -> int:
        """How many distinct sequences there are."""
        return len(self.codes_SM)

    def rows(self, sequence: int) -> IntArray:
        """Catalog rows, ascending, of the tracks with a sequence."""
        if not 0 <= sequence < len(self):
            raise ValueError(f"no sequence {sequence}; wanted 0 to {len(self) - 1}")
        return self.catalog_rows[self.starts[sequence] : self.starts[sequence + 1]]

    def nodes(self, depth: int) -> int:
        """How many nodes there are at a depth: 1 at depth 0, all sequences at depth M."""
        return len(self.levels[depth - 1].keys) if depth else 1

    def allowed(self, depth: int, nodes_P: LongArray) -> BoolArray:
        """For each node at a depth which codes may come next: bool [P, K], at least one in each row."""
        size, level = self.vocabulary.sizes[depth], self.levels[depth]
        counts = level.firsts[nodes_P + 1] - level.firsts[nodes_P]
        shifts = np.repeat(level.firsts[nodes_P] - np.cumsum(counts) + counts, counts)
        keys = level.keys[shifts + np.arange(counts.sum())]
        keys += np.repeat((np.arange(len(nodes_P)) - nodes_P) * size, counts)
        is_allowed_P = np.zeros(len(nodes_P) * size, dtype=np.bool_)
        is_allowed_P[keys] = True
        return is_allowed_P.reshape(len(nodes_P), size)

    def children(self, depth: int, nodes_P: LongArray, codes_P: npt.NDArray[np.integer[Any]]) -> LongArray:
        """The node that each node at a depth has under a code; -1 where it has none. At depth M they are sequences."""
        level = self.levels[depth]
        keys_P = nodes_P * self.vocabulary.sizes[depth] + codes_P
        found_P = np.searchsorted(level.keys, keys_P)
        is_found_P = level.keys[np.minimum(found_P, len(level.keys) - 1)] == keys_P
        return np.where(is_found_P, found_P, -1)

    def find(self, codes_BM: npt.NDArray[np.integer[Any]]) -> LongArray:
        """The sequence of each row of codes, -1 where no track has it."""
        self.vocabulary.token_ids(codes_BM, 0)  # a code of no token could be mistaken for a neighbour's child
        nodes_B = np.zeros(len(codes_BM), dtype=np.int64)
        for depth, codes_B in enumerate(np.asarray(codes_BM).T):
            children_B = self.children(depth, np.maximum(nodes_B, 0), codes_B)
            nodes_B = np.where(nodes_B < 0, -1, children_B)
        return nodes_B
