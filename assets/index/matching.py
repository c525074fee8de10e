"""The token matcher: which tracks share most with a query's codes; in memory, exact, one query or thousands at once.

In: one code a modality of each track; out: tracks ranked by the summed weights of the modalities in which they agree
with the query (TalkPlay, arXiv 2502.13713: playlist 25, semantic 16, metadata 9, lyrics 4, audio 1). A score depends
only on the match mask, so there are 2^M classes of equal tracks and nothing is sorted.

The order is complete:
1. Higher summed weight first.
2. Of equal sums (TalkPlay has four: 30, 29, 26, 25) the subset with the earlier modality first, so playlist before
   semantic + metadata: masks compare as binary numbers whose highest bit is the first modality.
3. Of equal masks the lower row, which is track_id order; or, with a seed, an order drawn from the seed and the query,
   as the published system samples among equals. Query and seed give the same order alone and in any batch.
Tracks without a match come last, so that a ranking may hold the whole catalog.

A missing modality has the reserved code K, one past the last. In a ranking it matches nothing, not even itself; the
exact look-up compares token sequences, where the reserved token is a token like any other.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from assets.index.ids import ascending_ids
from assets.index.postings import CODE_BITS, MOST_MODALITIES, IntArray, Postings, pack, post, rank_queries
from resources.track_index import TrackIndex

# N tracks, M modalities, B queries, T ranked tracks a query
WEIGHTS = (25, 16, 9, 4, 1)


class Ranking(NamedTuple):
    """Ranked tracks, arrays of [T] for one query, [B, T] for a batch. A mask's highest bit is the first modality."""

    rows: IntArray
    scores: IntArray
    masks: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Matcher:
    """A catalog ready for look-ups. Rows are positions in `track_ids`, a pyarrow array."""

    track_ids: Any
    codes_per_modality: tuple[int, ...]
    postings: Postings

    @classmethod
    def build(
        cls,
        track_ids: Any,
        codes_NM: npt.NDArray[np.integer[Any]],
        *,
        codes_per_modality: Sequence[int],
        weights: Sequence[int] = WEIGHTS,
    ) -> "Matcher":
        """The matcher of a catalog: ids, a sequence of strings or a pyarrow array, strictly ascending.

        Codes are 0..K-1, or K where missing, with K below 4096; weights are positive integers; at most five modalities.
        Raises ValueError for ids that are null, repeated or out of order, and for codes out of range.
        """
        sizes = tuple(int(size) for size in codes_per_modality)
        _check_settings(sizes, weights)
        ids, codes_NM = ascending_ids(track_ids), _checked_codes(codes_NM, sizes)
        if len(codes_NM) != len(ids):
            raise ValueError(f"{len(ids)} track ids but {len(codes_NM)} rows of codes; wanted one row for each id")
        return cls(ids, sizes, post(codes_NM, sizes=sizes, weights=weights))

    @property
    def nbytes(self) -> int:
        """Bytes held for matching, without the ids."""
        return sum(array.nbytes for array in self.postings)

    def exact(self, codes_M: npt.ArrayLike) -> IntArray:
        """Rows, ascending, of all tracks with exactly these codes."""
        query_1M = _checked_codes(np.asarray(codes_M)[None], self.codes_per_modality)
        packed, lists = pack(query_1M)[0], self.postings
        at = (lists.firsts + query_1M[0])[query_1M[0] < lists.sizes]
        if not len(at):
            return np.flatnonzero(lists.catalog == packed).astype(np.int32)
        shortest = at[np.argmin(lists.starts[at + 1] - lists.starts[at])]
        span = slice(lists.starts[shortest], lists.starts[shortest + 1])
        rows: IntArray = lists.rows[span][lists.packed[span] == packed]
        return rows

    def exact_many(self, codes_BM: npt.ArrayLike) -> list[IntArray]:
        """`exact` for each query."""
        return [self.exact(codes_M) for codes_M in np.asarray(codes_BM)]

    def rank(self, codes_M: npt.ArrayLike, *, top: int, seed: int | None = None) -> Ranking:
        """The best `top` tracks of the whole catalog, or all if there are fewer, in the module's order."""
        rows, scores, masks = self.rank_many(np.asarray(codes_M)[None], top=top, seed=seed)
        return Ranking(rows[0], scores[0], masks[0])

    def rank_many(self, codes_BM: npt.ArrayLike, *, top: int, seed: int | None = None, threads: int = 1) -> Ranking:
        """`rank` for each query; no result depends on the rest of the batch or on `threads`."""
        if top < 1 or threads < 1:
            raise ValueError(f"top is {top} and threads is {threads}; wanted at least 1 of each")
        queries_BM = _checked_codes(codes_BM, self.codes_per_modality)
        queries_B, shape = pack(queries_BM), (len(queries_BM), min(top, len(self.track_ids)))
        rows, masks = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.uint8)
        is_seeded, state = seed is not None, np.uint64((seed or 0) % 2**64)

        def rank_part(part: npt.NDArray[np.int64]) -> None:
            rank_queries(self.postings, queries_BM, queries_B, part, is_seeded, state, rows, masks)

        # Neighbours in this order share their longest list, which is then still in the cache.
        order_B = np.argsort(queries_B)
        if threads == 1:
            rank_part(order_B)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(rank_part, np.array_split(order_B, threads)))
        return Ranking(rows, self.postings.scores[masks], masks)


def matcher_of(index: TrackIndex, *, weights: Sequence[int] = WEIGHTS) -> Matcher:
    """The matcher of a stored token index; its code columns, in their order, are the modalities."""
    stored = index.codes()
    sizes = tuple(stored.codes_per_modality.values())
    return Matcher.build(stored.track_ids, stored.codes, codes_per_modality=sizes, weights=weights)


def _check_settings(sizes: tuple[int, ...], weights: Sequence[int]) -> None:
    if not 1 <= len(sizes) <= MOST_MODALITIES or len(weights) != len(sizes):
        raise ValueError(
            f"{len(sizes)} modalities and {len(weights)} weights; wanted 1 to {MOST_MODALITIES} and as many weights"
        )
    if any(weight < 1 or weight != int(weight) for weight in weights):
        raise ValueError(f"weights are {tuple(weights)}; wanted positive integers")
    if min(sizes) < 1 or max(sizes) >= 1 << CODE_BITS:
        raise ValueError(f"codes per modality are {sizes}; wanted 1 to {(1 << CODE_BITS) - 1}")


def _checked_codes(codes_BM: npt.ArrayLike, sizes: tuple[int, ...]) -> IntArray:
    codes = np.asarray(codes_BM)
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or codes.dtype.kind not in "iu":
        raise ValueError(f"codes are {codes.dtype} of shape {codes.shape}; wanted integers of shape (*, {len(sizes)})")
    is_bad = (codes < 0) | (codes > np.asarray(sizes))
    if is_bad.any():
        row, modality = (int(at) for at in np.argwhere(is_bad)[0])
        wanted = f"0..{sizes[modality] - 1}, or {sizes[modality]} where missing"
        raise ValueError(f"row {row}, modality {modality}: code {codes[row, modality]}; wanted {wanted}")
    return np.ascontiguousarray(codes, dtype=np.int32)
