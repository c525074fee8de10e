"""A table's declaration: what fits it comes out in order, and what does not is refused by table, column and row."""

import dataframely as dy
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.tables import REFUSED, Table, TableError, refused_table, vector


class Rows(dy.Schema):
    """One row of a made-up table.

    What follows the first line is for readers of the code.
    """

    name = dy.String(primary_key=True)
    number = dy.Int32(primary_key=True)
    share = dy.Float64(nullable=True, min=0, max=1)
    word = dy.String(nullable=False, regex="^[a-z]+$")
    vector = vector(description="A vector")


ROWS = Table("catalog", "rows", Rows)


def vectors(*rows: list[float | None] | None, dtype: type[pl.DataType] = pl.Float32) -> pl.Series:
    """A column of vectors of two dimensions."""
    return pl.Series("vector", rows, dtype=pl.Array(dtype, 2))


GOOD = pl.DataFrame(
    {
        "vector": vectors([1.0, 0.0], None, [3.0, 4.0]),
        "word": ["one", "two", "three"],
        "share": [0.5, None, 1.0],
        "number": pl.Series([2, 1, 1], dtype=pl.Int32),
        "name": ["a", "b", "a"],
    }
)


def refusal(frame: pl.DataFrame) -> str:
    """What is said of a frame that does not fit."""
    with pytest.raises(TableError) as caught:
        ROWS.checked(frame)
    return str(caught.value)


def test_what_fits_comes_out_in_declared_and_key_order() -> None:
    """Columns come in the order of the declaration and rows in that of the key, nulls and vectors as they were."""
    checked = ROWS.checked(GOOD)
    assert checked.columns == ["name", "number", "share", "word", "vector"]
    assert checked.select("name", "number", "word").rows() == [("a", 1, "three"), ("a", 2, "one"), ("b", 1, "two")]
    assert checked["vector"].to_list() == [[3.0, 4.0], [1.0, 0.0], None]
    assert checked["share"].to_list() == [1.0, 0.5, None]


def test_a_table_names_itself() -> None:
    """Path, key and description are those of the declaration; the description is the docstring's first line."""
    assert (ROWS.path, ROWS.key, ROWS.description) == (
        "catalog/rows",
        ["name", "number"],
        "One row of a made-up table.",
    )


def test_no_rows_fit() -> None:
    """The empty frame has every declared column and fits its own table."""
    assert ROWS.checked(ROWS.empty()).shape == (0, 5)
    assert ROWS.checked(GOOD.clear()).shape == (0, 5)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (GOOD.drop("word"), "missing columns ['word'], unknown columns []"),
        (GOOD.with_columns(extra=1), "missing columns [], unknown columns ['extra']"),
        (GOOD.rename({"word": "words"}), "missing columns ['word'], unknown columns ['words']"),
    ],
)
def test_other_columns_are_refused_by_name(frame: pl.DataFrame, said: str) -> None:
    """A missing and an unknown column are named, with the table."""
    assert refusal(frame) == f"catalog/rows: {said}"


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pl.col("number").cast(pl.Int64), "column number is Int64, wanted Int32"),
        (pl.col("word").cast(pl.Categorical), "column word is Categorical, wanted String"),
        (pl.lit(None).alias("share"), "column share is Null, wanted Float64"),
        (pl.col("vector").cast(pl.Array(pl.Float64, 2)), "column vector is Array(Float64, shape=(2,)), wanted a fixed"),
        (pl.col("vector").cast(pl.List(pl.Float32)), "column vector is List(Float32), wanted a fixed-size float array"),
        (
            pl.col("vector").reshape((3, 1, 2)),
            "column vector is Array(Float32, shape=(1, 2)), wanted a fixed-size float",
        ),
        (pl.col("share").alias("vector"), "column vector is Float64, wanted a fixed-size float array"),
    ],
)
def test_another_type_is_refused_by_column(column: pl.Expr, said: str) -> None:
    """A column of another type is named with the type it has and the one it should have; nothing is cast silently."""
    assert refusal(GOOD.with_columns(column)).startswith(f"catalog/rows: {said}")


@pytest.mark.parametrize(
    ("column", "rows", "rule", "first"),
    [
        (pl.Series("name", ["a", None, "a"]), 1, "name|nullability", {"name": None, "number": 1}),
        (pl.Series("number", [1, 1, 1], pl.Int32), 2, "primary_key", {"name": "a", "number": 1}),
        (pl.Series("word", ["x", None, "y"]), 1, "word|nullability", {"name": "b", "number": 1, "word": None}),
        (pl.Series("word", ["One", "x", "Y"]), 2, "word|regex", {"name": "a", "number": 2, "word": "One"}),
        (pl.Series("share", [0.0, -0.5, 1.0]), 1, "share|min", {"name": "b", "number": 1, "share": -0.5}),
        (pl.Series("share", [0.0, 0.5, 1.5]), 1, "share|max", {"name": "a", "number": 1, "share": 1.5}),
    ],
)
def test_a_bad_row_is_named(column: pl.Series, rows: int, rule: str, first: dict[str, object]) -> None:
    """A null or repeated key, a null, a value out of pattern or range: the rule, how many break it, the first row."""
    said = f"catalog/rows: {rows} rows break the rule {rule}; the first is {first}"
    assert refusal(GOOD.with_columns(column)) == said


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused(number: float) -> None:
    """NaN and infinity are no shares; the row that has one is named."""
    said = refusal(GOOD.with_columns(share=pl.Series([0.0, number, 1.0])))
    assert said.startswith("catalog/rows: 1 rows break the rule share|")
    assert "{'name': 'b', 'number': 1, 'share': " in said


@pytest.mark.parametrize("bad", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [1.0, -np.inf], [None, 1.0]])
@pytest.mark.parametrize("dtype", [pl.Float32, pl.Float16])
def test_a_vector_without_direction_is_refused(bad: list[float | None], dtype: type[pl.DataType]) -> None:
    """A zero vector, NaN, infinity or a null within a vector is refused by the key of its row."""
    frame = GOOD.with_columns(vectors([1.0, 0.0], bad, None, dtype=dtype))
    said = "column vector has 1 vectors with NaN, infinity or norm 0: {'name': 'b', 'number': 1}"
    assert refusal(frame) == f"catalog/rows: {said}"


def test_half_precision_fits_even_where_its_squares_overflow() -> None:
    """A float16 vector fits and stays one, however long: its norm is not taken in float16."""
    checked = ROWS.checked(GOOD.with_columns(vectors([60000.0, 60000.0], None, None, dtype=pl.Float16)))
    assert checked.schema["vector"] == pl.Array(pl.Float16, 2)


def test_vectors_that_are_all_missing_fit() -> None:
    """A shard where no track has the modality fits."""
    assert ROWS.checked(GOOD.with_columns(vectors(None, None, None)))["vector"].null_count() == 3


def test_refused_rows_have_a_reason_of_one_word() -> None:
    """Each stage has one table of refused rows; a reason that is a sentence does not fit it."""
    refused = refused_table("content")
    row = {"source": ["f"], "location": ["1"], "reason": ["bad_line"], "detail": [""]}
    assert refused.path == f"content/{REFUSED}"
    assert refused.checked(pl.DataFrame(row)).height == 1
    with pytest.raises(TableError, match=r"content/refused: 1 rows break the rule reason\|regex.*A bad line"):
        refused.checked(pl.DataFrame({**row, "reason": ["A bad line"]}))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2, 2), st.none() | st.floats(width=32)), max_size=12),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_rows_are_all_kept_or_all_refused(rows: list[tuple[str, int, float | None]], random) -> None:
    """Whatever the rows: if keys are unique and shares in range all come out, in one order however they came in;
    else none does.
    """

    def framed(rows: list[tuple[str, int, float | None]]) -> pl.DataFrame:
        schema = {"name": pl.String, "number": pl.Int32, "share": pl.Float64}
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.with_columns(vectors(*[None] * len(rows)), word=pl.lit("w"))

    is_fine = len({row[:2] for row in rows}) == len(rows) and all(row[2] is None or 0 <= row[2] <= 1 for row in rows)
    shuffled = random.sample(rows, len(rows))
    if is_fine:
        checked = ROWS.checked(framed(rows))
        assert checked.rows() == [(*row, "w", None) for row in sorted(rows, key=lambda row: row[:2])]
        assert checked.equals(ROWS.checked(framed(shuffled)))
    else:
        assert refusal(framed(rows)).startswith("catalog/rows: ")
