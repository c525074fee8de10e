"""Vectors that were made elsewhere: a Parquet file, or a folder of them, with columns track_id and vector.

The file is surveyed once a process: its names, the length of its vectors, its hash. Of the vectors themselves a part
is held that fits into HELD_BYTES, or that one shard needs, because each look at them decodes the whole file.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from assets.embeddings.vectors import Vectors, assembled
from assets.sources.identity import buckets_of
from resources.hashing import sha256_of_folder
from resources.refusals import Refusal, concat_refused
from resources.tables import Table

# N tracks, D dimensions

HELD_BYTES = 1 << 27  # of vectors as float32
WANTED = "expected Parquet with the columns track_id (text) and vector (a list of floats)"


class Survey(NamedTuple):
    """What is known of a file before its vectors are taken: rows (row, track_id, shard), and what goes for all."""

    rows: pl.DataFrame
    dimensions: int
    sha256: str


def brought_in(file: Path, track_ids: pl.Series, *, shard: int, shards: int, version: str, table: Table) -> Vectors:
    """The vectors that the file has of a shard's tracks, scaled to unit length; the others have none.

    `track_ids` are all tracks of the catalog that `buckets_of` puts into the shard. As a name has one shard, a row
    that names no track is refused once, with the shard that its track would be in. `version` is the file's SHA-256;
    of a folder, anything that changes with it.
    Reasons: no_such_track, bad_embedding, repeated_track (the first row counts). Raises ValueError for what is not
    Parquet, for other columns, and for vectors of several lengths anywhere in the file.
    """
    survey = _survey(file, version, shards)
    named = survey.rows.filter(pl.col("shard") == shard)
    is_known = pl.col("track_id").is_in(track_ids.implode())
    known, unknown = named.filter(is_known), named.filter(~is_known)
    repeated = known.filter(pl.col("track_id").is_duplicated())["track_id"].unique()
    refusals = [Refusal(table.path, name, "repeated_track", f"more than one row in {file.name}") for name in repeated]

    taken = _taken(file, track_ids, shard=shard, shards=shards, version=version)
    vectors_ND = taken["vector"].to_numpy()
    norms_N = np.linalg.norm(vectors_ND, axis=1)
    is_good = np.isfinite(norms_N) & (norms_N > 0)
    detail = f"{file.name}: not finite, or of length 0"
    bad = taken["track_id"].filter(pl.Series(~is_good))
    refusals += [Refusal(table.path, name, "bad_embedding", detail) for name in bad]

    ordered = track_ids.sort()
    unit_ND = np.zeros((ordered.len(), survey.dimensions), dtype=np.float32)
    places = ordered.search_sorted(taken["track_id"].filter(pl.Series(is_good))).to_numpy()
    unit_ND[places] = vectors_ND[is_good] / norms_N[is_good, None]
    made = assembled(ordered, unit_ND, refusals, encoder=f"{file.name} {survey.sha256[:12]}")
    return made._replace(refused=concat_refused(made.refused, _strangers(unknown, file, table)))


@lru_cache(maxsize=1)
def _survey(file: Path, version: str, shards: int) -> Survey:
    lengths = pl.col("vector").list.len()
    pieces = [_read(path, found.select("track_id", length=lengths)) for path, found in _found(file)]
    rows = pl.concat(pieces).with_row_index("row").with_columns(pl.col("track_id").fill_null(""))
    of_vectors: list[int] = rows["length"].drop_nulls().unique().sort().to_list() or [1]
    if len(of_vectors) > 1:
        raise ValueError(f"{file}: vectors of {of_vectors[0]} and of {of_vectors[-1]} numbers; expected one length")
    if of_vectors == [0]:
        raise ValueError(f"{file}: vectors of 0 numbers; expected at least 1")
    rows = rows.select("row", "track_id", shard=buckets_of(rows["track_id"], shards))
    return Survey(rows, of_vectors[0], sha256_of_folder(file) if file.is_dir() else version)


def _taken(file: Path, track_ids: pl.Series, *, shard: int, shards: int, version: str) -> pl.DataFrame:
    """(track_id, vector as float64) of the first row of each of the shard's tracks, unless it is null."""
    survey = _survey(file, version, shards)
    shard_bytes = survey.rows.height * survey.dimensions * np.float32().itemsize // shards
    together = max(1, HELD_BYTES // max(1, shard_bytes))
    held = _held(file, version, shards, shard // together * together, together)
    wide = pl.col("vector").cast(pl.List(pl.Float64)).list.to_array(survey.dimensions)
    return held.filter(pl.col("track_id").is_in(track_ids.implode())).with_columns(wide)


@lru_cache(maxsize=1)
def _held(file: Path, version: str, shards: int, first: int, together: int) -> pl.DataFrame:
    """(track_id, vector) of the first row of each name of some shards, unless it is null."""
    rows = _survey(file, version, shards).rows
    names = rows.filter(pl.col("shard").is_between(first, first + together - 1))["track_id"].unique()
    is_named = pl.col("track_id").is_in(names.implode())
    pieces = [_read(path, found.filter(is_named)) for path, found in _found(file)]
    rows = pl.concat(pieces, how="vertical_relaxed")
    return rows.unique("track_id", keep="first", maintain_order=True).drop_nulls("vector")


def _strangers(unknown: pl.DataFrame, file: Path, table: Table) -> pl.DataFrame:
    """Refused rows of names that no track of the catalog has: there may be millions, if the file is of another one."""
    return unknown.select(
        source=pl.lit(table.path),
        location="track_id",
        reason=pl.lit("no_such_track"),
        detail=pl.format("{}: row {}, counted from 0", pl.lit(file.name), "row"),
    )


def _found(file: Path) -> Iterator[tuple[Path, pl.LazyFrame]]:
    """Each Parquet file in order, with its rows (track_id, vector as a list)."""
    paths = sorted(file.rglob("*.parquet")) if file.is_dir() else [file]
    if not paths:
        raise ValueError(f"{file}: no .parquet file in the folder; {WANTED}")
    for path in paths:
        found = pl.scan_parquet(path, hive_partitioning=False)
        schema = _read(path, found.head(0)).schema
        kind = schema.get("vector")
        if schema.get("track_id") != pl.String or not isinstance(kind, pl.List | pl.Array) or not kind.inner.is_float():
            raise ValueError(f"{path}: columns {dict(schema)}; {WANTED}")
        yield path, found.select("track_id", pl.col("vector").cast(pl.List(kind.inner)))


def _read(path: Path, query: pl.LazyFrame) -> pl.DataFrame:
    try:
        return query.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}; {WANTED}") from error
