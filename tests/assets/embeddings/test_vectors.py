import numpy as np
import polars as pl
import pytest

from assets.embeddings.tables import REFUSED, VECTORS
from assets.embeddings.vectors import Vectors, encoded
from resources.refusals import Refusal

TABLE = VECTORS["audio"]


def made(outcomes: dict[str, object], **inputs: str | None) -> Vectors:
    """The rows of these tracks' inputs, of two dimensions, both frames checked."""
    frame = pl.DataFrame(list(inputs.items()), schema={"track_id": pl.String, "input": pl.String}, orient="row")
    vectors = encoded(frame, outcomes, table=TABLE, encoder="e", dimensions=2)  # type: ignore[arg-type]
    return Vectors(TABLE.checked(vectors.vectors), REFUSED.checked(vectors.refused))


def vector(*values: float) -> np.ndarray:
    """A float32 vector."""
    return np.array(values, dtype=np.float32)


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
