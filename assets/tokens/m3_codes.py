"""The codes of tracks in nine modalities (3MToken 2.2), over tables, and the way back to vectors.

In: a shard's vectors and the trained autoencoders or centroids, by modality. Out: rows of `tokens/m3_tokens` and
`tokens/m3_baselines`. A missing modality has one past the last code of the profile's sizes, at every level.
"""

# N tracks, L levels

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from assets.tokens.codebooks import codebook_hash, nearest_or_missing
from assets.tokens.rqvae import RQVAE, codes_of, decoded, from_bytes
from resources.m3_settings import M3_MODALITIES

Coding = Callable[[str, pl.Series], np.ndarray]  # modality and vectors -> codes [N, L]


class Encoders(NamedTuple):
    """Trained autoencoders by modality, those that have one, and the one hash over all."""

    models: Mapping[str, RQVAE]
    codebook_hash: str


def open_encoders(encoders: pl.DataFrame) -> Encoders:
    """The autoencoders in rows of `tokens/m3_encoders` or `tokens/vqvae_encoders`."""
    weights = encoders.sort("modality").select("modality", "weights").iter_rows()
    return Encoders({modality: from_bytes(data) for modality, data in weights}, codebook_hash(encoders))


def code_tracks(
    vectors: Mapping[str, pl.DataFrame], encoders: Encoders, *, sizes: Mapping[str, Sequence[int]]
) -> pl.DataFrame:
    """The codes of each track at each level; `sizes` are the profile's, and with them the missing codes."""

    def code(modality: str, column: pl.Series) -> np.ndarray:
        codes_NL = np.tile(np.array(sizes[modality], np.int32), (len(column), 1))
        if modality in encoders.models and column.null_count() < len(column):
            present_ND = column.drop_nulls().to_numpy()
            codes_NL[column.is_not_null().to_numpy()] = codes_of(encoders.models[modality], present_ND)
        return codes_NL

    return _coded(vectors, code).with_columns(codebook_hash=pl.lit(encoders.codebook_hash))


def code_tracks_by_kmeans(
    vectors: Mapping[str, pl.DataFrame], codebooks: Mapping[str, pl.DataFrame], *, k: int
) -> pl.DataFrame:
    """The code of each track's nearest centroids, as lists of one; a missing modality has code `k`."""

    def code(modality: str, column: pl.Series) -> np.ndarray:
        centroids = codebooks[modality].sort("code")["vector"]
        return nearest_or_missing(column, centroids, missing=k)[:, None]

    hashes = pl.concat(codebook.select("modality", "codebook_hash") for codebook in codebooks.values())
    return _coded(vectors, code).with_columns(codebook_hash=pl.lit(codebook_hash(hashes)))


def decode_tracks(tokens: pl.DataFrame, encoders: Encoders) -> dict[str, pl.DataFrame]:
    """The vectors that the codes of tracks stand for, by modality; null where it is missing.

    Raises ValueError for tokens of other codebooks than the encoders'.
    """
    hashes = set(tokens["codebook_hash"])
    if hashes - {encoders.codebook_hash}:
        raise ValueError(
            f"tokens of codebooks {sorted(hash_[:12] for hash_ in hashes)} can't be decoded by "
            f"{encoders.codebook_hash[:12]}; materialize tokens/m3_tokens again"
        )
    return {modality: _decoded(tokens, modality, encoders.models.get(modality)) for modality in M3_MODALITIES}


def _coded(vectors: Mapping[str, pl.DataFrame], code: Coding) -> pl.DataFrame:
    tracks = vectors[M3_MODALITIES[0]].select("track_id").sort("track_id")
    codes = {}
    for modality in M3_MODALITIES:
        rows = tracks.join(vectors[modality], on="track_id", how="left", maintain_order="left")
        codes_NL = code(modality, rows["vector"])
        as_array = pl.Series(modality, codes_NL, dtype=pl.Array(pl.Int32, codes_NL.shape[1]))
        codes[modality] = as_array.arr.to_list()
    return tracks.with_columns(**codes)


def _decoded(tokens: pl.DataFrame, modality: str, model: RQVAE | None) -> pl.DataFrame:
    if model is None:
        return tokens.select("track_id", vector=pl.lit(None, pl.Array(pl.Float32, 1)))
    codes_NL = np.array(tokens[modality].to_list(), np.int32).reshape(len(tokens), len(model.sizes))
    is_present_N = np.less(codes_NL, model.sizes).all(1)
    present = tokens.filter(pl.Series(is_present_N)).select("track_id", vector=decoded(model, codes_NL[is_present_N]))
    return tokens.select("track_id").join(present, on="track_id", how="left", maintain_order="left")
