"""Recordings as vectors, by an audio encoder."""

from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from assets.content.audio import samples_of
from assets.embeddings.text import Encoded
from resources.audio_encoder import AudioEncoder
from resources.refusals import Refusal, refused_frame

BATCH = 16  # recordings in memory at once


def encode_recordings(files: pl.DataFrame, root: Path, encoder: AudioEncoder, *, max_s: float) -> Encoded:
    """One row per track of content/audio_files; null without a recording, or where the encoder refuses it.

    Reasons: the encoder's. Raises what `samples_of` raises for a file that changed since the manifest.
    """
    found: dict[str, np.ndarray] = {}
    refusals: list[Refusal] = []
    heard = samples_of(root, files, sample_rate_hz=encoder.sample_rate_hz, max_s=max_s)
    while batch := list(islice(heard, BATCH)):
        present = [(track_id, samples_N) for track_id, samples_N in batch if samples_N is not None]
        results = encoder.encode([samples_N for _, samples_N in present])
        for (track_id, _), result in zip(present, results, strict=True):
            if isinstance(result, Refusal):
                refusals.append(result._replace(source="embeddings/audio_vectors", location=track_id))
            else:
                found[track_id] = result
    vectors_ND = np.stack([*found.values()]) if found else np.empty((0, encoder.dimensions), np.float32)
    encoded = pl.DataFrame([pl.Series("track_id", [*found], dtype=pl.String), pl.Series("vector", vectors_ND)])
    vectors = (
        files.select("track_id").join(encoded, on="track_id", how="left").with_columns(encoder=pl.lit(encoder.name))
    )
    return Encoded(vectors.sort("track_id"), refused_frame(refusals))
