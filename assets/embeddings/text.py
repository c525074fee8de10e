"""What is embedded of a track as text: one document per track and text modality, null where there is nothing to say."""

from typing import NamedTuple

import numpy as np
import polars as pl

from resources.refusals import Refusal, refused_frame
from resources.text_encoder import TextEncoder

# N texts, D dimensions

BATCH = 4096  # texts


class Encoded(NamedTuple):
    """Rows of an embeddings table, and a refused row for each track whose text has no vector."""

    vectors: pl.DataFrame
    refused: pl.DataFrame


def metadata_documents(tracks: pl.DataFrame) -> pl.DataFrame:
    """(track_id, text) of catalog/tracks: '<title> by <artist> from <album> <year>', without what is unknown."""
    parts = [
        pl.col("title"),
        pl.lit("by ") + pl.col("artist"),
        pl.lit("from ") + pl.col("album"),
        pl.col("release_year").cast(pl.String),
    ]
    return tracks.select("track_id", text=pl.concat_str(parts, separator=" ", ignore_nulls=True))


def semantic_documents(tags: pl.DataFrame, captions: pl.DataFrame) -> pl.DataFrame:
    """(track_id, text) of content/tags and content/captions: the tags, then the caption."""
    parts = [pl.col("tags").list.join(", "), pl.col("caption")]
    text = pl.concat_str(parts, separator=". ", ignore_nulls=True)
    joined = tags.select("track_id", "tags").join(captions.select("track_id", "caption"), on="track_id", how="left")
    return joined.select("track_id", text=pl.when(text != "").then(text)).sort("track_id")


def lyrics_documents(lyrics: pl.DataFrame) -> pl.DataFrame:
    """(track_id, text) of content/lyrics: the words that are sung."""
    return lyrics.select("track_id", "text")


def encode_documents(documents: pl.DataFrame, encoder: TextEncoder) -> Encoded:
    """One row per document (track_id, text); null stays null, and equal texts are encoded once.

    Reasons: the encoder's, and bad_embedding for a vector that is not finite or has no length.
    Raises ValueError for a vector of another length than the encoder states.
    """
    ordered = documents.select("track_id", "text").sort("track_id")
    texts = ordered["text"].drop_nulls().unique(maintain_order=True)
    results: list[np.ndarray | Refusal] = []
    for batch in texts.to_frame().iter_slices(BATCH):
        results += encoder.encode(batch["text"].to_list())
    place = dict(zip(texts, range(len(texts)), strict=True))

    vectors_ND = np.zeros((ordered.height, encoder.dimensions), dtype=np.float32)
    is_present = np.zeros(ordered.height, dtype=bool)
    refusals = []
    for row, (track_id, text) in enumerate(ordered.iter_rows()):
        result = None if text is None else results[place[text]]
        if isinstance(result, np.ndarray):
            if result.shape != (encoder.dimensions,):
                raise ValueError(f"{encoder.name}: a vector of shape {result.shape}; expected {encoder.dimensions}")
            vectors_ND[row] = result
            is_present[row] = np.isfinite(result).all() and result.any()
            if not is_present[row]:
                result = Refusal(encoder.name, track_id, "bad_embedding", f"not finite or zero: {text!r}")
        if isinstance(result, Refusal):
            refusals.append(result._replace(location=track_id))
    vectors = pl.Series("vector", vectors_ND, dtype=pl.Array(pl.Float32, encoder.dimensions))
    frame = ordered.select("track_id").with_columns(
        pl.when(pl.Series(is_present)).then(vectors).alias("vector"), encoder=pl.lit(encoder.name)
    )
    return Encoded(frame, refused_frame(refusals))
