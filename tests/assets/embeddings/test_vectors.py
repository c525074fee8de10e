from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.embeddings.tables import REFUSED, VECTORS
from assets.embeddings.vectors import Vectors, brought_in, encoded
from resources.refusals import Refusal

TABLE = VECTORS["audio"]
URI = "spotify:track:b"


def made(outcomes: dict[str, object], **inputs: str | None) -> Vectors:
    """The rows of these tracks' inputs, of two dimensions, both frames checked."""
    frame = pl.DataFrame(list(inputs.items()), schema={"track_id": pl.String, "input": pl.String}, orient="row")
    vectors = encoded(frame, outcomes, table=TABLE, encoder="e", dimensions=2)  # type: ignore[arg-type]
    return Vectors(TABLE.checked(vectors.vectors), REFUSED.checked(vectors.refused))


def vector(*values: float) -> np.ndarray:
    """A float32 vector."""
    return np.array(values, dtype=np.float32)


def file_of(folder: Path, rows: list[tuple[str, list[float] | None]], kind: pl.DataType | None = None) -> Path:
    """A Parquet file of track ids and vectors."""
    path = folder / "audio.parquet"
    schema = {"track_id": pl.String, "vector": kind or pl.List(pl.Float64)}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)
    return path


def brought(file: Path) -> Vectors:
    """The vectors of tracks a, b (also known by its URI) and c from the file, both frames checked."""
    tracks = pl.DataFrame({"track_id": ["c", "a", "b"], "track_uri": [None, "a", URI]})
    vectors = brought_in(file, tracks, table=TABLE)
    return Vectors(TABLE.checked(vectors.vectors), REFUSED.checked(vectors.refused))


def test_every_track_has_a_row_in_order() -> None:
    """Equal inputs have equal vectors; no input, or none that was encoded, is null and no refusal."""
    result = made({"x": vector(1, 0), "y": vector(0, 1)}, d="x", a="x", c=None, b="y", e="gone")
    assert result.vectors.select("track_id", "vector").rows() == [
        ("a", [1, 0]),
        ("b", [0, 1]),
        ("c", None),
        ("d", [1, 0]),
        ("e", None),
    ]
    assert set(result.vectors["encoder"]) == {"e"}
    assert result.refused.is_empty()


def test_refusals_are_of_the_table_and_track() -> None:
    """One input that was refused is one refused row for each track that has it."""
    result = made({"x": Refusal("provider", "0", "silent", "no sound")}, a="x", b="x")
    assert result.vectors["vector"].to_list() == [None, None]
    assert result.refused.rows() == [
        ("embeddings/audio_vectors", "a", "silent", "no sound"),
        ("embeddings/audio_vectors", "b", "silent", "no sound"),
    ]


@pytest.mark.parametrize("bad", [(np.nan, 1), (np.inf, 1), (0, 0)])
def test_bad_embeddings_are_refused(bad: tuple[float, float]) -> None:
    """NaN, infinity and the zero vector never reach the table."""
    result = made({"x": vector(*bad)}, a="x")
    assert result.vectors["vector"].to_list() == [None]
    assert result.refused["reason"].to_list() == ["bad_embedding"]


def test_a_vector_of_another_size_is_an_error() -> None:
    """An encoder that does not keep its word stops the run."""
    with pytest.raises(ValueError, match="expected 2"):
        made({"x": vector(1, 2, 3)}, a="x")


def test_no_tracks_are_no_vectors() -> None:
    """An empty shard has an empty table of the encoder's dimensions."""
    assert made({}).vectors.schema["vector"] == pl.Array(pl.Float32, 2)


@pytest.mark.parametrize("kind", [pl.List(pl.Float32), pl.List(pl.Float64), pl.Array(pl.Float32, 2)])
def test_vectors_made_elsewhere_are_scaled_to_unit_length(tmp_path: Path, kind: pl.DataType) -> None:
    """A track is named by its id or URI; one that the file does not name, or names with null, has none."""
    file = file_of(
        tmp_path, [(URI, [3.0, 4.0]), ("of another shard", [1.0, 1.0]), ("c", None), ("a", [0.0, 2.0])], kind
    )
    result = brought(file)
    assert dict(result.vectors.select("track_id", "vector").iter_rows()) == {
        "a": [0.0, 1.0],
        "b": pytest.approx([0.6, 0.8]),
        "c": None,
    }
    assert result.vectors["encoder"][0].startswith("audio.parquet ")
    assert result.refused.is_empty()


def test_bad_and_repeated_vectors_made_elsewhere_are_refused(tmp_path: Path) -> None:
    """Of two rows of a track, by id and by URI too, the first counts."""
    nan = float("nan")
    rows = [("b", [1.0, 0.0]), (URI, [0.0, 1.0]), ("a", [nan, 1.0]), ("c", [0.0, 0.0])]
    result = brought(file_of(tmp_path, rows))
    assert result.vectors["vector"].to_list() == [None, [1.0, 0.0], None]
    assert result.refused.select("location", "reason").rows() == [
        ("a", "bad_embedding"),
        ("b", "repeated_track"),
        ("c", "bad_embedding"),
    ]


def test_a_null_inside_a_vector_is_a_bad_embedding(tmp_path: Path) -> None:
    """It is not taken for 0."""
    result = brought(file_of(tmp_path, [("a", [1.0, None])]))  # type: ignore[list-item]
    assert result.refused["reason"].to_list() == ["bad_embedding"]


def test_vectors_of_two_lengths_are_an_error(tmp_path: Path) -> None:
    """They cannot be of one encoder."""
    with pytest.raises(ValueError, match=r"vectors of 1 and of 2 numbers; expected one length"):
        brought(file_of(tmp_path, [("a", [1.0]), ("b", [1.0, 2.0])]))


def test_a_file_of_other_columns_is_an_error(tmp_path: Path) -> None:
    """It says which columns are expected."""
    path = tmp_path / "audio.parquet"
    pl.DataFrame({"track": ["a"], "embedding": [[1.0]]}).write_parquet(path)
    with pytest.raises(ValueError, match="expected track_id"):
        brought(path)


def test_a_shard_without_rows_keeps_the_length(tmp_path: Path) -> None:
    """The vectors of all shards have one type."""
    assert brought(file_of(tmp_path, [("elsewhere", [1.0, 2.0, 3.0])])).vectors.schema["vector"] == pl.Array(
        pl.Float32, 3
    )
