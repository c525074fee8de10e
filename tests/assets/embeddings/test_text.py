from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from assets.embeddings.tables import REFUSED, VECTORS
from assets.embeddings.text import encode_documents, lyrics_documents, metadata_documents, semantic_documents
from resources.refusals import Refusal
from resources.text_encoder import HashedNgramEncoder, Vector


@dataclass
class Scripted:
    """An encoder that answers from a script and remembers what it was asked."""

    answers: dict[str, Vector]
    name: str = "scripted"
    dimensions: int = 2
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> list[Vector | Refusal]:
        """The scripted vector of each text."""
        self.asked += texts
        return [self.answers[text] for text in texts]


def documents(**texts: str | None) -> pl.DataFrame:
    """The text of each track."""
    return pl.DataFrame(list(texts.items()), schema={"track_id": pl.String, "text": pl.String}, orient="row")


def test_metadata_says_title_artist_album_and_year() -> None:
    """What is unknown is left out."""
    tracks = pl.DataFrame(
        [("a", "Rain", "Ann", "Weather", 1999), ("b", "Sun", "Bo", None, None)],
        schema={
            "track_id": pl.String,
            "title": pl.String,
            "artist": pl.String,
            "album": pl.String,
            "release_year": pl.Int32,
        },
        orient="row",
    )
    assert metadata_documents(tracks)["text"].to_list() == ["Rain by Ann from Weather 1999", "Sun by Bo"]


def test_semantic_is_tags_then_caption() -> None:
    """Either may be missing; without both there is no document."""
    tags = pl.DataFrame(
        {"track_id": ["a", "b", "c", "d"], "tags": [["folk", "sad"], None, ["jazz"], None]},
        schema_overrides={"tags": pl.List(pl.String)},
    )
    captions = pl.DataFrame({"track_id": ["a", "b", "c", "d"], "caption": ["A song.", "Slow.", None, None]})
    texts = semantic_documents(tags, captions)["text"].to_list()
    assert texts == ["folk, sad. A song.", "Slow.", "jazz", None]


def test_lyrics_are_their_text() -> None:
    """Tracks without lyrics have no document."""
    lyrics = pl.DataFrame({"track_id": ["a", "b"], "text": ["la", None], "status": ["sung", "absent"]})
    assert lyrics_documents(lyrics).rows() == [("a", "la"), ("b", None)]


def test_missing_text_is_a_null_vector_and_no_refusal() -> None:
    """Every track has a row that fits the table."""
    result = encode_documents(documents(b=None, a="slow folk"), HashedNgramEncoder(16))
    frame = VECTORS["metadata"].checked(result.vectors)
    assert frame["vector"].is_null().to_list() == [False, True]
    assert frame.schema["vector"] == pl.Array(pl.Float32, 16)
    assert set(frame["encoder"]) == {HashedNgramEncoder(16).name}
    assert result.refused.is_empty()


def test_equal_texts_are_encoded_once() -> None:
    """Three tracks of two texts make two requests, and equal vectors."""
    encoder = Scripted({"x": np.array([1, 0], dtype=np.float32), "y": np.array([0, 1], dtype=np.float32)})
    result = encode_documents(documents(a="x", b="y", c="x"), encoder)
    assert encoder.asked == ["x", "y"]
    assert result.vectors["vector"].to_list() == [[1, 0], [0, 1], [1, 0]]


def test_refusals_name_their_track() -> None:
    """A text that cannot be encoded is a null vector with a reason per track."""
    result = encode_documents(documents(a=" ", b="folk", c=" "), HashedNgramEncoder(16))
    assert result.vectors["vector"].is_null().to_list() == [True, False, True]
    rows = REFUSED.checked(result.refused).select("location", "reason").rows()
    assert sorted(rows) == [("a", "empty_text"), ("c", "empty_text")]


@pytest.mark.parametrize("bad", [[np.nan, 1], [np.inf, 1], [0, 0]])
def test_bad_embeddings_are_refused(bad: list[float]) -> None:
    """NaN, infinity and the zero vector never reach the table."""
    result = encode_documents(documents(a="x"), Scripted({"x": np.array(bad, dtype=np.float32)}))
    assert result.vectors["vector"].to_list() == [None]
    assert result.refused["reason"].to_list() == ["bad_embedding"]


def test_a_vector_of_another_size_is_an_error() -> None:
    """An encoder that does not keep its word stops the run."""
    with pytest.raises(ValueError, match="expected 2"):
        encode_documents(documents(a="x"), Scripted({"x": np.array([1, 2, 3], dtype=np.float32)}))


def test_no_documents_are_no_vectors() -> None:
    """An empty shard has an empty table of the right type."""
    frame = encode_documents(documents(), HashedNgramEncoder(16)).vectors
    assert VECTORS["lyrics"].checked(frame).schema["vector"] == pl.Array(pl.Float32, 16)
