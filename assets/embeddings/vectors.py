"""Rows of an embeddings table."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from resources.refusals import Refusal, refused_frame
from resources.tables import Table

# N tracks, D dimensions


class Vectors(NamedTuple):
    """Rows of an embeddings table, and a refused row for each track whose input has no vector."""

    vectors: pl.DataFrame
    refused: pl.DataFrame


def encoded(
    inputs: pl.DataFrame, outcomes: Mapping[str, np.ndarray | Refusal], *, table: Table, encoder: str, dimensions: int
) -> Vectors:
    """One row per track of `inputs` (track_id, input): the unit vector that its input has in `outcomes`, else null.

    Reasons: the encoder's, and bad_embedding for a vector that is not finite or has no length.
    Raises ValueError for a vector of another length than the encoder states.
    """
    ordered = inputs.select("track_id", "input").sort("track_id")
    vectors_ND = np.zeros((ordered.height, dimensions), dtype=np.float32)
    refusals = []
    for row, (track_id, key) in enumerate(ordered.iter_rows()):
        outcome = None if key is None else outcomes.get(key)
        if isinstance(outcome, Refusal):
            refusals.append(outcome._replace(source=table.path, location=track_id))
        elif outcome is not None:
            if outcome.shape != (dimensions,):
                raise ValueError(f"{encoder}: a vector of shape {outcome.shape}; expected {dimensions}")
            vectors_ND[row] = outcome
            if not _is_good(outcome):
                refusals.append(Refusal(table.path, track_id, "bad_embedding", "not finite, or of length 0"))
    return assembled(ordered["track_id"], vectors_ND, refusals, encoder=encoder)


def assembled(track_ids: pl.Series, vectors_ND: np.ndarray, refusals: list[Refusal], *, encoder: str) -> Vectors:
    """The tracks' rows; those that are zero, or that a bad_embedding names, have no vector."""
    refused = {refusal.location for refusal in refusals if refusal.reason == "bad_embedding"}
    is_present = [bool(row.any()) and name not in refused for name, row in zip(track_ids, vectors_ND, strict=True)]
    vectors = pl.Series("vector", vectors_ND, dtype=pl.Array(pl.Float32, vectors_ND.shape[1]))
    present = pl.Series("present", is_present, dtype=pl.Boolean)
    frame = pl.DataFrame([track_ids]).with_columns(
        pl.when(present).then(vectors).alias("vector"), encoder=pl.lit(encoder)
    )
    return Vectors(frame, refused_frame(refusals))


def _is_good(vector_D: np.ndarray) -> bool:
    return bool(np.isfinite(vector_D).all() and vector_D.any())
