"""Retrieval by vectors, streamed by shard."""

import numpy as np
import polars as pl
import pytest

from assets.evaluation.cbr_cases import CaseCounts, Cases
from assets.evaluation.cbr_embeddings import Shard, embedding_counts

DIMENSIONS = {"ac": 3, "mc": 5, "tc": 2}
WEIGHTS = {"ac": 2, "mc": 1, "tc": 4, "sf": 7}
SHARDS = [
    Shard("s0", 0, pl.Series([f"t{n:02}" for n in range(12)])),
    Shard("s1", 12, pl.Series([], dtype=pl.String)),
    Shard("s2", 12, pl.Series([f"t{n:02}" for n in range(12, 25)])),
]
TRACKS = 25


def world(seed: int) -> tuple[dict[str, np.ndarray], Cases]:
    """Vectors with missing ones and twins (NaN: missing), and cases of three targets."""
    draws = np.random.default_rng(seed)
    vectors = {}
    for modality, dimensions in DIMENSIONS.items():
        vectors[modality] = draws.normal(size=(TRACKS, dimensions)).astype(np.float32) * 3
        vectors[modality][draws.random(TRACKS) < 0.3] = np.nan
        vectors[modality][20:24] = vectors[modality][4:8]
    seeds = draws.integers(0, TRACKS, 30).astype(np.int32)
    members = np.concatenate([draws.permutation(TRACKS)[:4] for _ in range(30)]).astype(np.int32)
    places = np.arange(30)
    return vectors, Cases(seeds, places, places.copy(), np.arange(0, 121, 4), members)


def reader(vectors: dict[str, np.ndarray]):
    """What reads a shard; a modality that has no vectors is there with nulls alone, rows come in another order."""

    def read(modality: str, key: str) -> pl.DataFrame:
        shard = next(shard for shard in SHARDS if shard.key == key)
        rows = vectors.get(modality, np.full((TRACKS, 1), np.nan))[shard.first : shard.first + len(shard.track_ids)]
        lists = [None if np.isnan(row).any() else row.tolist() for row in rows]
        dtype = pl.Array(pl.Float32, rows.shape[1])
        frame = pl.DataFrame({"track_id": shard.track_ids, "vector": pl.Series(lists, dtype=dtype)})
        return frame.sample(fraction=1, shuffle=True, seed=1)

    return read


def brute_force(vectors: dict[str, np.ndarray], cases: Cases) -> list[tuple[int, int, int]]:
    """Above, ties and good from cosines written out in float64."""
    scores = np.zeros((TRACKS, TRACKS))
    for modality, rows in vectors.items():
        units = np.nan_to_num(rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True))
        scores += WEIGHTS[modality] / sum(WEIGHTS.values()) * units @ units.T
    counted = []
    for case, seed in enumerate(cases.seeds_C):
        targets = [row for row in cases.members[4 * case : 4 * case + 4] if row != seed]
        best = max(scores[seed, targets])
        others = [row for row in range(TRACKS) if row != seed]
        ties = [row for row in others if abs(scores[seed, row] - best) < 1e-6]
        above = [row for row in others if scores[seed, row] > best and row not in ties]
        counted.append((len(above), len(ties), len(set(ties) & set(targets))))
    return counted


def rows_of(counts: CaseCounts) -> list[tuple[int, int, int]]:
    """A row a case."""
    return [tuple(int(n) for n in row) for row in np.concatenate(counts, axis=1)]


@pytest.mark.parametrize("held", [1, 4, 100])
@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_cosines(held: int, seed: int) -> None:
    """Missing vectors count 0, twins tie, lengths do not matter; the same however few seeds are held at once."""
    vectors, cases = world(seed)
    counts = embedding_counts(cases, SHARDS, reader(vectors), weights=WEIGHTS, seeds_held=held)
    assert rows_of(counts) == brute_force(vectors, cases)
    assert any(ties > 1 for _, ties, _ in rows_of(counts))


def test_no_vectors_at_all_tie_everything() -> None:
    """Without any vector each candidate is like any other."""
    _, cases = world(0)
    counts = embedding_counts(cases, SHARDS, reader({}), weights=WEIGHTS)
    assert (counts.above == 0).all()
    assert (counts.ties == TRACKS - 1).all()


def test_no_cases_have_no_counts() -> None:
    """Nothing to count gives empty columns."""
    none = np.zeros(0, np.int64)
    cases = Cases(none.astype(np.int32), none, none, np.zeros(1, np.int64), none.astype(np.int32))
    assert [column.shape for column in embedding_counts(cases, SHARDS, reader({}), weights=WEIGHTS)] == [(0, 1)] * 3


def test_shards_of_two_encoders_are_refused() -> None:
    """Vectors of another length in a later shard name modality and shard."""
    vectors, cases = world(0)
    read = reader(vectors)

    def mixed(modality: str, key: str) -> pl.DataFrame:
        dtype = pl.Array(pl.Float32, 2)
        wrong = pl.DataFrame({"track_id": SHARDS[2].track_ids, "vector": pl.Series([[1.0, 0.0]] * 13, dtype=dtype)})
        return wrong if (modality, key) == ("ac", "s2") else read(modality, key)

    with pytest.raises(ValueError, match="ac vectors of s2 have 2 dimensions, others 3: materialize"):
        embedding_counts(cases, SHARDS, mixed, weights=WEIGHTS)
