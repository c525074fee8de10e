"""Recordings as vectors: one row a track whatever its recording, missing is null, silence is refused."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from assets.content.audio import audio_files
from assets.embeddings.audio import BATCH, encode_recordings
from assets.embeddings.tables import VECTORS
from assets.embeddings.text import Encoded
from resources.audio_encoder import SpectralEncoder
from resources.tables import refused_table

RATE_HZ = 22_050
MAX_S = 60.0


def recorded(root: Path, path: str, *, hertz: float, amplitude: float = 0.5) -> str:
    """A second of a tone as FLAC; its path."""
    times_s = np.arange(RATE_HZ) / RATE_HZ
    soundfile.write(root / path, amplitude * np.sin(2 * np.pi * hertz * times_s), RATE_HZ, format="FLAC")
    return path


def manifest(root: Path, paths: dict[str, str | None]) -> pl.DataFrame:
    """content/audio_files of tracks and their files."""
    tracks = pl.DataFrame({"track_id": list(paths), "path": list(paths.values())}, schema_overrides={"path": pl.String})
    return audio_files(root, tracks, max_s=MAX_S).files


def encoded(root: Path, files: pl.DataFrame) -> Encoded:
    """Vectors of a manifest, both frames checked."""
    made = encode_recordings(files, root, SpectralEncoder(), max_s=MAX_S)
    return Encoded(VECTORS["audio"].checked(made.vectors), refused_table("embeddings").checked(made.refused))


@pytest.fixture
def files(tmp_path: Path) -> pl.DataFrame:
    """A low tone, no recording, silence, a file that is none, and a high tone."""
    (tmp_path / "broken.flac").write_bytes(b"fLaC" + bytes(40))
    return manifest(
        tmp_path,
        {
            "t1": recorded(tmp_path, "low.flac", hertz=110),
            "t2": None,
            "t3": recorded(tmp_path, "silence.flac", hertz=220, amplitude=0),
            "t4": "broken.flac",
            "t5": recorded(tmp_path, "high.flac", hertz=3520),
        },
    )


def test_every_track_has_a_row_and_missing_is_null(tmp_path: Path, files: pl.DataFrame) -> None:
    """Rows are in order of track; without a recording, without sound or undecodable the vector is null."""
    vectors = encoded(tmp_path, files).vectors
    assert vectors["track_id"].to_list() == ["t1", "t2", "t3", "t4", "t5"]
    assert vectors["vector"].is_null().to_list() == [False, True, True, True, False]
    assert set(vectors["encoder"]) == {SpectralEncoder().name}


def test_each_vector_is_of_its_own_recording(tmp_path: Path, files: pl.DataFrame) -> None:
    """A track's vector is what the encoder makes of its samples, whatever stands around it."""
    vectors = dict(encoded(tmp_path, files).vectors.select("track_id", "vector").iter_rows())
    for track_id in ("t1", "t5"):
        alone = encoded(tmp_path, files.filter(pl.col("track_id") == track_id)).vectors["vector"].item()
        assert list(vectors[track_id]) == list(alone)
    assert list(vectors["t1"]) != list(vectors["t5"])


def test_silence_is_refused_by_track(tmp_path: Path, files: pl.DataFrame) -> None:
    """The encoder's refusal is kept under the track, not under its place in a batch; what content refused is not
    refused again.
    """
    refused = encoded(tmp_path, files).refused
    assert refused.select("source", "location", "reason").rows() == [("embeddings/audio_vectors", "t3", "silent")]


def test_the_order_of_rows_changes_nothing(tmp_path: Path, files: pl.DataFrame) -> None:
    """A manifest upside down gives the same vectors and refusals."""
    upright, turned = (
        encode_recordings(rows, tmp_path, SpectralEncoder(), max_s=MAX_S) for rows in (files, files.reverse())
    )
    assert turned.vectors.equals(upright.vectors)
    assert turned.refused.equals(upright.refused)


def test_batches_are_joined_in_order(tmp_path: Path) -> None:
    """More recordings than a batch: two of one file have one vector, across the batches."""
    paths = [recorded(tmp_path, "a.flac", hertz=200), None, recorded(tmp_path, "b.flac", hertz=900)]
    files = manifest(tmp_path, {f"t{place:02d}": paths[place % 3] for place in range(BATCH + 5)})
    vectors = encoded(tmp_path, files).vectors["vector"].to_list()
    assert len(vectors) == BATCH + 5
    for place, vector in enumerate(vectors):
        assert vector == vectors[place % 3]


@pytest.mark.parametrize("paths", [{}, {"a": None, "b": None}])
def test_no_recordings_are_rows_without_vectors(tmp_path: Path, paths: dict[str, None]) -> None:
    """Without recordings every vector is null, of the encoder's dimensions, and nothing is refused."""
    made = encoded(tmp_path, manifest(tmp_path, paths))
    assert made.vectors["vector"].to_list() == [None] * len(paths)
    assert made.vectors.schema["vector"] == pl.Array(pl.Float32, SpectralEncoder().dimensions)
    assert made.refused.is_empty()
