"""The matcher of tokens at several levels: which tracks share most with a query; in memory, exact, one query or many.

In: codes of each track in M modalities at one or more levels each, as 3MToken's nine at three; out: tracks ranked by
weighted depth. The depth of a modality is the number of its levels in which track and query are equal, counted in one
of two ways:
- hierarchical (3MToken 2.3): a level counts only if all levels before it are equal too;
- counted (TalkPlay-Tools): every equal level counts, whatever the others are.
A score is the sum over modalities of weight x depth. Weights are whole numbers, the matcher's own or a query's: how
much each modality matters to it, 0 to 10 in 3MToken. A modality of weight 0 does not count.

The order is complete: higher score first; of equal scores the lower row, which is track_id order, or, with a seed, an
order drawn from the seed and the query's codes. Query and seed give the same order alone and in any batch. Tracks
without a match come last, so that a ranking may hold the whole catalog.

A missing level has the reserved code K, one past the last. In a ranking it matches nothing, not even itself; the exact
look-up compares token sequences, where the reserved token is a token like any other.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from assets.index.ids import ascending_ids
from assets.index.level_postings import (
    BLOCK,
    CEILING,
    TAIL_BITS,
    IntArray,
    LevelPostings,
    fill_depths,
    post_levels,
    rank_queries,
    tail_of,
)
from resources.track_index import TrackIndex

# N tracks, M modalities, C codes a track (levels of all modalities), B queries, T ranked tracks a query
Counting = Literal["hierarchical", "counted"]
MOST_CODES = (1 << 16) - 1
NUMBER = "number"  # a stored index's column that tells tracks of equal codes apart


class LevelRanking(NamedTuple):
    """Ranked tracks, arrays of [T] for one query, [B, T] for a batch.

    `depths`, [T, M] or [B, T, M], are the equal levels of each modality, also of those of weight 0: why it matched.
    """

    rows: IntArray
    scores: IntArray
    depths: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LevelMatcher:
    """A catalog ready for look-ups. Rows are positions in `track_ids`, a pyarrow array."""

    track_ids: Any
    sizes: tuple[tuple[int, ...], ...]
    weights: tuple[int, ...]
    postings: LevelPostings
    numbers: IntArray | None

    @classmethod
    def build(
        cls,
        track_ids: Any,
        codes_NC: npt.NDArray[np.integer[Any]],
        *,
        sizes: Sequence[Sequence[int]],
        weights: Sequence[int] | None = None,
        counting: Counting = "hierarchical",
        numbers_N: npt.NDArray[np.integer[Any]] | None = None,
    ) -> "LevelMatcher":
        """The matcher of a catalog: ids, a sequence of strings or a pyarrow array, strictly ascending.

        Columns are the levels of the first modality, then those of the next; `sizes` are codes by modality and level.
        Codes are 0..K-1, or K where missing. Weights, by modality, are 1 unless given. `numbers_N` tell tracks of equal
        codes apart, in exact look-ups alone. Raises ValueError for ids that are null, repeated or out of order, and for
        codes out of range.
        """
        levels = tuple(tuple(map(int, modality)) for modality in sizes)
        _check_sizes(levels)
        ids, codes = ascending_ids(track_ids), _checked_codes(codes_NC, levels)
        numbers = None if numbers_N is None else np.ascontiguousarray(numbers_N, dtype=np.int32)
        for rows, what in ((codes, "codes"), (ids if numbers is None else numbers, "numbers")):
            if len(rows) != len(ids):
                raise ValueError(f"{len(ids)} track ids but {len(rows)} rows of {what}; wanted one row for each id")
        own = _checked_weights([1] * len(levels) if weights is None else weights, levels, queries=1)
        owners = [owner for owner, modality in enumerate(levels) for _ in modality]
        groups = levels if counting == "hierarchical" else [(size,) for size in chain(*levels)]
        postings = post_levels(codes, sizes=groups, owners=range(len(levels)) if groups is levels else owners)
        return cls(ids, levels, tuple(map(int, own[0])), postings, numbers)

    @property
    def nbytes(self) -> int:
        """Bytes held for matching, without the ids."""
        return sum(array.nbytes for array in self.postings) + (0 if self.numbers is None else self.numbers.nbytes)

    def exact(self, codes_C: npt.ArrayLike, *, number: int | None = None) -> IntArray:
        """Rows, ascending, of all tracks with exactly these codes and, if it is given, this number."""
        query_C = _checked_codes(np.asarray(codes_C)[None], self.sizes)[0]
        if number is not None and self.numbers is None:
            raise ValueError(f"number {number}: this catalog has no numbers; wanted None")
        rows = self._candidates(query_C)
        for column_N, code in zip(self.postings.codes, query_C, strict=True):
            rows = np.flatnonzero(column_N == code).astype(np.int32) if rows is None else rows[column_N[rows] == code]
        assert rows is not None  # there is a column
        return rows if number is None or self.numbers is None else rows[self.numbers[rows] == number]

    def exact_many(self, codes_BC: npt.ArrayLike) -> list[IntArray]:
        """`exact` for each query."""
        return [self.exact(codes_C) for codes_C in np.asarray(codes_BC)]

    def rank(
        self, codes_C: npt.ArrayLike, *, top: int, seed: int | None = None, weights_M: npt.ArrayLike | None = None
    ) -> LevelRanking:
        """The best `top` tracks of the whole catalog, or all if there are fewer, in the module's order."""
        rows, scores, depths = self.rank_many(np.asarray(codes_C)[None], top=top, seed=seed, weights_BM=weights_M)
        return LevelRanking(rows[0], scores[0], depths[0])

    def rank_many(
        self,
        codes_BC: npt.ArrayLike,
        *,
        top: int,
        seed: int | None = None,
        threads: int = 1,
        weights_BM: npt.ArrayLike | None = None,
    ) -> LevelRanking:
        """`rank` for each query; no result depends on the rest of the batch or on `threads`.

        Weights are the matcher's own, or [M] for all queries, or [B, M].
        """
        if top < 1 or threads < 1:
            raise ValueError(f"top is {top} and threads is {threads}; wanted at least 1 of each")
        queries_BC = _checked_codes(codes_BC, self.sizes).astype(self.postings.codes.dtype)
        given = self.weights if weights_BM is None else weights_BM
        weights = _checked_weights(given, self.sizes, queries=len(queries_BC))
        shape = (len(queries_BC), min(top, len(self.track_ids)))
        rows, scores = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.int32)
        depths = np.empty((*shape, len(self.sizes)), dtype=np.uint8)
        is_seeded, state = seed is not None, np.uint64((seed or 0) % 2**64)

        def rank_part(part: npt.NDArray[np.int64]) -> None:
            rank_queries(self.postings, queries_BC, weights, part, is_seeded, state, rows, scores)
            fill_depths(self.postings, queries_BC, part, rows, depths)

        every = np.arange(len(queries_BC))
        if threads == 1:
            rank_part(every)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(rank_part, np.array_split(every, threads)))
        return LevelRanking(rows, scores, depths)

    def _candidates(self, query_C: IntArray) -> IntArray | None:
        """Few rows, among them all of these codes: of the shortest list, those with its tail; None if there is none."""
        lists = self.postings
        firsts_G = query_C[lists.columns[:-1]]
        at_G = lists.firsts + np.minimum(firsts_G, lists.sizes[lists.columns[:-1]] - 1)
        lengths_G = (lists.starts[at_G, -1] - lists.starts[at_G, 0]).astype(np.int64)
        has_list_G = (firsts_G < lists.sizes[lists.columns[:-1]]) & ~lists.is_long[at_G]
        if not has_list_G.any():
            return None
        group = int(np.where(has_list_G, lengths_G, np.iinfo(np.int64).max).argmin())
        starts = lists.starts[at_G[group]].astype(np.int64)
        part = slice(starts[0], starts[-1])
        rows: IntArray = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts)) * BLOCK
        rows += lists.rows[part]
        return rows[lists.tails[part] == tail_of(lists, group, query_C)] if len(lists.tails) else rows


def level_matcher_of(
    index: TrackIndex, *, weights: Sequence[int] | None = None, counting: Counting = "hierarchical"
) -> LevelMatcher:
    """The matcher of a stored index whose code columns are named by modality and level, as `ac1`, in their order."""
    stored = index.codes()
    names = [name for name in stored.codes_per_modality if name != NUMBER]
    by_modality = groupby(names, key=lambda name: name.rstrip("0123456789"))
    sizes = [[stored.codes_per_modality[name] for name in levels] for _, levels in by_modality]
    numbers = stored.codes[:, -1] if NUMBER in stored.codes_per_modality else None
    return LevelMatcher.build(
        stored.track_ids,
        stored.codes[:, : len(names)],
        sizes=sizes,
        weights=weights,
        counting=counting,
        numbers_N=numbers,
    )


def _check_sizes(sizes: tuple[tuple[int, ...], ...]) -> None:
    if not sizes or not all(sizes):
        raise ValueError(f"sizes are {sizes}; wanted at least one modality, and at least one level of each")
    if min(map(min, sizes)) < 1 or max(map(max, sizes)) > MOST_CODES:
        raise ValueError(f"sizes are {sizes}; wanted 1 to {MOST_CODES} codes a level")
    widest = max(sum(size.bit_length() for size in modality[1:]) for modality in sizes)
    if widest > TAIL_BITS:
        raise ValueError(f"sizes are {sizes}: levels after the first need {widest} bits; wanted at most {TAIL_BITS}")


def _checked_codes(codes_BC: npt.ArrayLike, sizes: tuple[tuple[int, ...], ...]) -> IntArray:
    codes, flat = np.asarray(codes_BC), list(chain(*sizes))
    if codes.ndim != 2 or codes.shape[1] != len(flat) or codes.dtype.kind not in "iu":
        raise ValueError(f"codes are {codes.dtype} of shape {codes.shape}; wanted integers of shape (*, {len(flat)})")
    for column, (codes_B, size) in enumerate(zip(codes.T, flat, strict=True)):
        is_bad = (codes_B < 0) | (codes_B > size)
        if is_bad.any():
            row = int(is_bad.argmax())
            wanted = f"0..{size - 1}, or {size} where missing"
            raise ValueError(f"row {row}, {_place(column, sizes)}: code {codes_B[row]}; wanted {wanted}")
    return np.ascontiguousarray(codes, dtype=np.int32)


def _place(column: int, sizes: tuple[tuple[int, ...], ...]) -> str:
    places = [(m, level) for m, modality in enumerate(sizes) for level in range(1, len(modality) + 1)]
    modality, level = places[column]
    return f"modality {modality}, level {level}"


def _checked_weights(weights: npt.ArrayLike, sizes: tuple[tuple[int, ...], ...], *, queries: int) -> IntArray:
    """Weights [B, M] of each query."""
    given = np.asarray(weights)
    if given.shape not in [(len(sizes),), (queries, len(sizes))] or given.dtype.kind not in "iu":
        wanted = f"integers of shape ({len(sizes)},) or ({queries}, {len(sizes)})"
        raise ValueError(f"weights are {given.dtype} of shape {given.shape}; wanted {wanted}")
    deepest = given.astype(np.float64) @ [len(modality) for modality in sizes]
    if given.size and (given.min() < 0 or deepest.max() > CEILING):
        raise ValueError(f"weights go from {given.min()} to {given.max()}; wanted 0 or more, scores at most {CEILING}")
    return np.ascontiguousarray(np.broadcast_to(given, (queries, len(sizes))), dtype=np.int32)
