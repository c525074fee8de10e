"""Rows of an embeddings table: of what an encoder made, or of a file that was made elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from resources.files import bytes_sha256
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
    return _table(ordered["track_id"], vectors_ND, refusals, encoder=encoder)


def brought_in(file: Path, tracks: pl.DataFrame, *, table: Table) -> Vectors:
    """The tracks' vectors of a Parquet file (track_id, vector) that was made elsewhere, scaled to unit length.

    Tracks have track_id and track_uri; the file may name a track by either. Tracks that it does not name have none.
    Reasons: bad_embedding, repeated_track (the first counts). Raises ValueError for a file of other columns, or of
    vectors of several lengths.
    """
    by_name = pl.concat(
        [
            tracks.select("track_id", name="track_id"),
            tracks.filter(pl.col("track_uri") != pl.col("track_id")).select("track_id", name="track_uri"),
        ]
    )
    rows = _rows(file).join(by_name.lazy(), on="name").sort("track_id", "row").collect()
    lengths = rows["vector"].list.len().drop_nulls().unique().sort().to_list()
    if len(lengths) > 1:
        raise ValueError(f"{file}: vectors of {lengths[0]} and of {lengths[-1]} numbers; expected one length")
    dimensions = lengths[0] if lengths else _length(file)
    first = rows.unique("track_id", keep="first", maintain_order=True)
    repeated = rows.filter(pl.col("track_id").is_duplicated())["track_id"].unique().sort()
    refusals = [Refusal(table.path, name, "repeated_track", f"more than one row in {file.name}") for name in repeated]

    present = first.drop_nulls("vector")
    vectors_ND = present["vector"].list.to_array(dimensions).to_numpy()
    norms_N = np.linalg.norm(vectors_ND, axis=1)
    is_good = np.isfinite(norms_N) & (norms_N > 0)
    detail = f"{file.name}: not finite, or of length 0"
    bad = present["track_id"].filter(pl.Series(~is_good))
    refusals += [Refusal(table.path, name, "bad_embedding", detail) for name in bad]
    unit_ND = np.zeros((tracks.height, dimensions), dtype=np.float32)
    track_ids = tracks["track_id"].sort()
    places = track_ids.search_sorted(present["track_id"].filter(pl.Series(is_good))).to_numpy()
    unit_ND[places] = vectors_ND[is_good] / norms_N[is_good, None]
    return _table(track_ids, unit_ND, refusals, encoder=f"{file.name} {bytes_sha256(file)[:12]}")


def _table(track_ids: pl.Series, vectors_ND: np.ndarray, refusals: list[Refusal], *, encoder: str) -> Vectors:
    """Rows that are zero, or that a refusal names, have no vector."""
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


def _rows(file: Path) -> pl.LazyFrame:
    """(name, vector as a list, row) of the file, whatever the width of its floats and the form of its lists."""
    found = pl.scan_parquet(file)
    schema = found.collect_schema()
    kind = schema.get("vector")
    if schema.get("track_id") != pl.String or not isinstance(kind, pl.List | pl.Array) or not kind.inner.is_float():
        raise ValueError(f"{file}: columns {dict(schema)}; expected track_id (text) and vector (a list of floats)")
    return found.select(name="track_id", vector=pl.col("vector").cast(pl.List(pl.Float64))).with_row_index("row")


def _length(file: Path) -> int:
    """The length of the file's first vector; 1 if it has none."""
    first = _rows(file).select("vector").drop_nulls().head(1).collect()
    return int(first["vector"].list.len()[0]) if first.height else 1
