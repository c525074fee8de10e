"""A table of the lake, declared once: its stage, name, columns with meaning and unit, and key.

The declaration gives the Arrow schema on write, the Columns tab in the UI and the errors that name row and column.
"""

from dataclasses import dataclass
from typing import Literal

import dataframely as dy
import numpy as np
import polars as pl

REFUSED = "refused"
Form = Literal["parquet", "folder"]


class TableError(ValueError):
    """A frame does not fit the declaration of its table; names table, column and row."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the lake; the schema's docstring says what a row is. Keys are unique within a partition."""

    stage: str
    name: str
    schema: type[dy.Schema]
    form: Form = "parquet"

    @property
    def path(self) -> str:
        """`<stage>/<name>`, as the lake's folder and as the asset's key."""
        return f"{self.stage}/{self.name}"

    @property
    def description(self) -> str:
        """The first line of the schema's docstring: what one row is."""
        return (self.schema.__doc__ or "").strip().splitlines()[0]

    @property
    def key(self) -> list[str]:
        """The columns that identify a row."""
        return self.schema.primary_key()

    def empty(self) -> pl.DataFrame:
        """A frame without rows; vectors have no dimensions yet."""
        columns = self.schema.columns()
        types = {
            name: pl.Array(pl.Float32, 1) if is_vector(column) else column.dtype for name, column in columns.items()
        }
        return pl.DataFrame(schema=types)

    def checked(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with its columns in declared order and its rows in key order.

        Raises TableError for a missing, unknown or mistyped column, a null or repeated key, a value out of its range,
        and for NaN, infinity or a zero vector, naming the first offending row.
        """
        columns = self.schema.columns()
        if set(frame.columns) != set(columns):
            missing, unknown = sorted(set(columns) - set(frame.columns)), sorted(set(frame.columns) - set(columns))
            raise TableError(f"{self.path}: missing columns {missing}, unknown columns {unknown}")
        for name, column in columns.items():
            wanted = "a fixed-size float array" if is_vector(column) else column.dtype
            actual = frame.schema[name]
            is_fine = is_float_array(actual) if is_vector(column) else column.validate_dtype(actual)
            if not is_fine:
                raise TableError(f"{self.path}: column {name} is {actual}, wanted {wanted}")
        frame = frame.select(columns.keys())
        self._check_rows(frame)
        for name in (name for name, column in columns.items() if is_vector(column)):
            self._check_vectors(frame, name)
        return frame.sort(self.key) if self.key else frame

    def _check_rows(self, frame: pl.DataFrame) -> None:
        vectors = [name for name, column in self.schema.columns().items() if is_vector(column)]
        # Vectors are checked apart: copying them through the rules would double the memory.
        light = frame.with_columns(pl.lit(None).alias(name) for name in vectors)
        good, failures = self.schema.filter(light)
        if good.height == frame.height:
            return
        rule, rows = max(failures.counts().items(), key=lambda counted: counted[1])
        first = failures.invalid().row(0, named=True)
        shown = {name: first[name] for name in dict.fromkeys([*self.key, rule.split("|")[0]]) if name in first}
        raise TableError(f"{self.path}: {rows} rows break the rule {rule}; the first is {shown}")

    def _check_vectors(self, frame: pl.DataFrame, name: str) -> None:
        present = frame.filter(pl.col(name).is_not_null())
        if present.is_empty():
            return
        vectors_ND = present[name].to_numpy().astype(np.float32)
        norms_N = np.linalg.norm(vectors_ND, axis=1)
        bad_N = ~np.isfinite(norms_N) | (norms_N == 0)
        if bad_N.any():
            first = present.row(int(bad_N.argmax()), named=True)
            key = {column: first[column] for column in self.key}
            raise TableError(
                f"{self.path}: column {name} has {bad_N.sum()} vectors with NaN, infinity or norm 0: {key}"
            )


def vector(*, description: str) -> dy.Column:
    """A column of fixed-size float32 or float16 vectors, null where missing. Its dimensions come with the frame."""
    column: dy.Column = dy.Any(metadata={"vector": True}, description=description)  # type: ignore[dict-item]
    return column


def is_vector(column: dy.Column) -> bool:
    """Whether the column was declared with `vector`."""
    return bool((column.metadata or {}).get("vector"))


def is_float_array(dtype: pl.DataType) -> bool:
    """Whether a polars type is a one-dimensional fixed-size array of float32 or float16."""
    return isinstance(dtype, pl.Array) and dtype.inner in (pl.Float32, pl.Float16) and len(dtype.shape) == 1


class Refused(dy.Schema):
    """One row that could not be used, with its reason."""

    source = dy.String(nullable=False, description="The file or table the row came from")
    location = dy.String(nullable=False, description="Where in it: a line, an id, or the whole file")
    reason = dy.String(nullable=False, regex="^[a-z0-9_]+$", description="Why, from a fixed list of words")
    detail = dy.String(nullable=False, description="What was seen, cut to 200 characters")


def refused_table(stage: str) -> Table:
    """The table of rows that a stage could not use. One partition for each partition of each table it belongs to."""
    return Table(stage, REFUSED, Refused)
