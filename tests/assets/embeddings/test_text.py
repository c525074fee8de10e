from pathlib import Path

import numpy as np
import polars as pl

from assets.embeddings.text import lyrics_documents, metadata_documents, open_reader, semantic_documents
from resources.profile import EMBEDDED
from resources.providers import text_encoder
from resources.refusals import Refusal


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


def test_each_distinct_text_has_its_vector_or_refusal(tmp_path: Path) -> None:
    """Null is no text; a blank one is refused; a vector is the encoder's own."""
    texts = pl.DataFrame({"track_id": ["a", "b", "c", "d"], "text": ["slow folk", None, " ", "slow folk"]})
    lines: list[str] = []
    with open_reader(profile=EMBEDDED, kept=tmp_path / "kept", log=lines.append) as read:
        outcomes = read(texts, "shard_000")
    assert set(outcomes) == {"slow folk", " "}
    assert np.array_equal(outcomes["slow folk"], text_encoder(EMBEDDED).encode(["slow folk"])[0])
    assert isinstance(outcomes[" "], Refusal)


def test_hashed_ngrams_are_not_kept(tmp_path: Path) -> None:
    """They are made faster than they would be read."""
    with open_reader(profile=EMBEDDED, kept=tmp_path / "kept", log=lambda _: None) as read:
        read(pl.DataFrame({"track_id": ["a"], "text": ["slow folk"]}), "shard_000")
    assert not list(tmp_path.rglob("*.parquet"))
