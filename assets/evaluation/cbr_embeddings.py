"""Content-based retrieval by the vectors themselves, before they become codes: what the tokens can hope to keep.

A track's score is the weighted mean over the modalities of the cosine to the seed, 0 where either has no vector. The
catalog is read shard by shard, so that memory holds one shard's vectors, and those of some seeds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.evaluation.cbr_cases import CaseCounts, Cases, Pairs

# N tracks of a shard, U seeds, C cases, P pairs of case and target, D dimensions of all modalities together
Matrix = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

TOLERANCE = 1e-6  # scores nearer than this are equal: float32 products differ by less in another order of adding
SEEDS_HELD = 16_384  # 1.4 GB of 21,000 dimensions; for each so many the shards are read three times
SEEDS_AT_ONCE = 512
PAIRS_AT_ONCE = 4096


class Shard(NamedTuple):
    """Neighbours in the catalog: the shard's name, its first row, its tracks."""

    key: str
    first: int
    track_ids: pl.Series

    def holds(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Which of the catalog's rows are of this shard."""
        return (rows >= self.first) & (rows < self.first + len(self.track_ids))


class _Scale(NamedTuple):
    """Dimensions of a modality, and the length to which its vectors are brought: the root of its weight's share."""

    dimensions: int
    factor: np.float32


class _Vectors(NamedTuple):
    """Reads shards: `read` gives the rows of a modality, `scales` says which modalities there are."""

    read: Callable[[str, str], pl.DataFrame]
    scales: Mapping[str, _Scale]

    def of(self, shard: Shard) -> Matrix:
        """The shard's vectors, [N, D]: their products are scores."""
        parts = [self._part(shard, modality, scale) for modality, scale in self.scales.items()]
        return np.concatenate([np.zeros((len(shard.track_ids), 1), np.float32), *parts], axis=1)

    def _part(self, shard: Shard, modality: str, scale: _Scale) -> Matrix:
        tracks = shard.track_ids.to_frame("track_id")
        rows = tracks.join(self.read(modality, shard.key), on="track_id", how="left", maintain_order="left")["vector"]
        part_ND = np.zeros((len(rows), scale.dimensions), np.float32)
        if rows.null_count() < len(rows):
            present_ND = rows.drop_nulls().to_numpy().astype(np.float32)
            if present_ND.shape[1] != scale.dimensions:
                raise ValueError(
                    f"{modality} vectors of {shard.key} have {present_ND.shape[1]} dimensions, others "
                    f"{scale.dimensions}: materialize them with one encoder"
                )
            lengths_N = np.linalg.norm(present_ND, axis=1, keepdims=True)
            part_ND[rows.is_not_null().to_numpy()] = present_ND * (scale.factor / lengths_N)
        return part_ND


def embedding_counts(
    cases: Cases,
    shards: Sequence[Shard],
    read: Callable[[str, str], pl.DataFrame],
    *,
    weights: Mapping[str, int],
    seeds_held: int = SEEDS_HELD,
) -> CaseCounts:
    """The counts, [C, 1], of every case; `read` gives `track_id` and `vector` of a modality and a shard's name."""
    vectors = _Vectors(read, _scales(shards, read, weights))
    counts = CaseCounts(*(np.zeros((len(cases.seeds_C), 1), np.int64) for _ in range(3)))
    pairs = cases.pairs()
    seeds = np.unique(cases.seeds_C)
    for first in range(0, len(seeds), seeds_held):
        held_U = seeds[first : first + seeds_held]
        queries_UD = _queries(held_U, shards, vectors)
        is_chosen_P = np.isin(cases.seeds_C[pairs.cases], held_U)
        chosen = Pairs(pairs.cases[is_chosen_P], pairs.targets[is_chosen_P])
        scores_P = _target_scores(cases, chosen, held_U, queries_UD, shards, vectors)
        best_C = np.full(len(cases.seeds_C), -np.inf, np.float32)
        np.maximum.at(best_C, chosen.cases, scores_P)
        is_best_P = scores_P > best_C[chosen.cases] - TOLERANCE
        counts.good[:, 0] += np.bincount(chosen.cases[is_best_P], minlength=len(best_C))
        _count_others(cases, held_U, queries_UD, best_C, shards, vectors, counts)
    counts.ties[:] += counts.good
    return counts


def _scales(
    shards: Sequence[Shard], read: Callable[[str, str], pl.DataFrame], weights: Mapping[str, int]
) -> dict[str, _Scale]:
    """The modalities that count and have a vector in any shard."""
    scales = {}
    for modality, weight in weights.items():
        present = (read(modality, shard.key)["vector"].drop_nulls() for shard in shards)
        found = next((vectors for vectors in present if len(vectors)), None)
        if found is not None and weight:
            factor = np.sqrt(weight / sum(weights.values()))
            scales[modality] = _Scale(len(found[0]), np.float32(factor))
    return scales


def _queries(seeds_U: npt.NDArray[np.int32], shards: Sequence[Shard], vectors: _Vectors) -> Matrix:
    found = [vectors.of(shard)[seeds_U[shard.holds(seeds_U)] - shard.first] for shard in shards]
    return np.concatenate(found)  # both in order of rows


def _target_scores(
    cases: Cases,
    pairs: Pairs,
    seeds_U: npt.NDArray[np.int32],
    queries_UD: Matrix,
    shards: Sequence[Shard],
    vectors: _Vectors,
) -> npt.NDArray[np.float32]:
    """The score of each pair, [P]."""
    scores_P = np.zeros(len(pairs.cases), np.float32)
    places_P = np.searchsorted(seeds_U, cases.seeds_C[pairs.cases])
    for shard in shards:
        matrix_ND = vectors.of(shard)
        of_shard = np.flatnonzero(shard.holds(pairs.targets))
        for chosen in (of_shard[at : at + PAIRS_AT_ONCE] for at in range(0, len(of_shard), PAIRS_AT_ONCE)):
            targets_PD = matrix_ND[pairs.targets[chosen] - shard.first]
            scores_P[chosen] = np.einsum("pd,pd->p", queries_UD[places_P[chosen]], targets_PD)
    return scores_P


def _count_others(
    cases: Cases,
    seeds_U: npt.NDArray[np.int32],
    queries_UD: Matrix,
    best_C: npt.NDArray[np.float32],
    shards: Sequence[Shard],
    vectors: _Vectors,
    counts: CaseCounts,
) -> None:
    """Add the candidates that are no targets to `above` and `ties`."""
    cases_by_seed = np.argsort(cases.seeds_C, kind="stable")
    bounds_U = np.searchsorted(cases.seeds_C[cases_by_seed], seeds_U, side="left")
    ends_U = np.searchsorted(cases.seeds_C[cases_by_seed], seeds_U, side="right")
    for shard in shards:
        for seed, scores_N in _scored(queries_UD, vectors.of(shard)):
            for case in cases_by_seed[bounds_U[seed] : ends_U[seed]]:
                left_out = _left_out(cases, case, shard)
                for counted, least in ((counts.above, TOLERANCE), (counts.ties, -TOLERANCE)):
                    # Above: nearer than the tolerance is no difference. At least: the rest of these are ties.
                    is_in_N = scores_N > best_C[case] + least
                    counted[case, 0] += np.count_nonzero(is_in_N) - np.count_nonzero(is_in_N[left_out])
    chosen = np.isin(cases.seeds_C, seeds_U)
    counts.ties[chosen] -= counts.above[chosen]


def _scored(queries_UD: Matrix, matrix_ND: Matrix) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Each seed's place with its scores of a shard."""
    for first in range(0, len(queries_UD), SEEDS_AT_ONCE):
        scores_UN = queries_UD[first : first + SEEDS_AT_ONCE] @ matrix_ND.T
        for place, scores_N in enumerate(scores_UN):
            yield first + place, scores_N


def _left_out(cases: Cases, case: int, shard: Shard) -> Rows:
    """Places in the shard of the seed and its targets; the seed may be twice there."""
    start, stop = cases.starts[cases.lists_C[case]], cases.starts[cases.lists_C[case] + 1]
    rows = np.append(cases.members[start:stop], cases.seeds_C[case])
    return np.unique(rows[shard.holds(rows)]).astype(np.int64) - shard.first
