"""The codebooks of 3MToken over tables: the RQ-VAE of one modality (section 2.2), and its VQ-VAE and K-means (3.3).

In: one modality's vectors by track. Out: rows of codebooks, encoders and losses, and what the UI says of the fit.
"""

# N vectors, D dimensions, L levels

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from assets.tokens.codebooks import Codebook, count_distinct, fit_codebook
from assets.tokens.m3_notes import fit_notes
from assets.tokens.rqvae import RQVAE, codes_of, to_bytes
from assets.tokens.rqvae_training import Epoch, train_rqvae
from assets.tokens.tables import M3_CODEBOOKS, M3_ENCODERS, M3_LOSSES
from resources.hashing import digest_of
from resources.m3_settings import M3
from resources.profile import Tokens


class Fit(NamedTuple):
    """A trained autoencoder as rows of codebooks, encoders and losses, and what the UI says of it."""

    codebooks: pl.DataFrame
    encoders: pl.DataFrame
    losses: pl.DataFrame
    notes: dict[str, str | int | float]


def fit_rqvae(vectors: pl.DataFrame, *, modality: str, settings: M3, device: str = "cpu") -> Fit:
    """An RQ-VAE of the non-null vectors, in order of track id so that the order of rows changes nothing.

    `is_size_capped` lowers each level's size to the number of distinct vectors; without it too few of them raise
    ValueError. No vectors make no rows.
    """
    sizes = settings.level_sizes(modality)
    return _fit("rqvae", vectors, modality=modality, sizes=sizes, settings=settings, device=device)


def fit_vqvae(vectors: pl.DataFrame, *, modality: str, settings: M3, device: str = "cpu") -> Fit:
    """The same with one level of `vqvae_k` codes."""
    return _fit("vqvae", vectors, modality=modality, sizes=[settings.vqvae_k], settings=settings, device=device)


def fit_kmeans_beside(vectors: pl.DataFrame, *, modality: str, settings: M3, lloyd: Tokens) -> Codebook:
    """A codebook of `kmeans_k` centroids of the vectors themselves, by the iterations and seed that TalkPlay's have."""
    asked = lloyd.model_copy(update={"kmeans_k": settings.kmeans_k, "is_k_capped": settings.is_size_capped})
    return fit_codebook(vectors, modality=modality, settings=asked, advice="lower m3.kmeans_k or set m3.is_size_capped")


def _fit(scheme: str, vectors: pl.DataFrame, *, modality: str, sizes: Sequence[int], settings: M3, device: str) -> Fit:
    present = vectors.filter(pl.col("vector").is_not_null()).sort("track_id")
    if present.is_empty():
        return Fit(M3_CODEBOOKS.empty(), M3_ENCODERS.empty(), M3_LOSSES.empty(), {"vectors": 0})
    vectors_ND = present["vector"].to_numpy()
    distinct = count_distinct(vectors_ND)
    fitted = [min(size, distinct) if settings.is_size_capped else size for size in sizes]
    try:
        trained = train_rqvae(vectors_ND, sizes=fitted, settings=settings, device=device)
    except ValueError as error:
        raise ValueError(f"modality {modality}, {scheme}: {error}") from error
    codes_NL = codes_of(trained.model, vectors_ND)
    weights = to_bytes(trained.model)
    # The sizes asked for too: one past them is the missing code, which capped weights alone don't tell.
    content = digest_of([hashlib.sha256(weights).hexdigest(), list(sizes)])
    named = {"scheme": pl.lit(scheme), "modality": pl.lit(modality)}
    hashed = named | {"codebook_hash": pl.lit(content)}
    encoders = pl.DataFrame(
        {"sizes": [fitted], "weights": [weights]}, schema={"sizes": pl.List(pl.Int32), "weights": pl.Binary}
    )
    wanted = {"codes wanted": _shown(sizes)} if fitted != list(sizes) else {}
    counts: dict[str, str | int | float] = {"vectors": len(vectors_ND), "distinct vectors": distinct}
    counts |= {"codes": _shown(fitted), **wanted}
    return Fit(
        codebooks=_codewords(trained.model, codes_NL).with_columns(**hashed).select(M3_CODEBOOKS.empty().columns),
        encoders=encoders.with_columns(**hashed).select(M3_ENCODERS.empty().columns),
        losses=_losses(trained.epochs).with_columns(**named).select(M3_LOSSES.empty().columns),
        notes=counts | fit_notes(trained.model, trained.epochs, vectors_ND, codes_NL, title=f"{modality} {scheme}"),
    )


def _codewords(model: RQVAE, codes_NL: np.ndarray) -> pl.DataFrame:
    levels = [
        pl.DataFrame(
            {
                "code": np.arange(size, dtype=np.int32),
                "vector": codebook.detach().cpu().numpy(),
                "tracks": np.bincount(codes_N, minlength=size).astype(np.int64),
            }
        ).with_columns(level=pl.lit(level, pl.Int32))
        for level, (size, codebook, codes_N) in enumerate(
            zip(model.sizes, model.codebooks, codes_NL.T, strict=True), start=1
        )
    ]
    return pl.concat(levels)


def _losses(epochs: Sequence[Epoch]) -> pl.DataFrame:
    rows = pl.DataFrame([epoch._asdict() for epoch in epochs], schema_overrides={"revived": pl.Int64})
    return rows.with_columns(epoch=pl.int_range(1, len(epochs) + 1, dtype=pl.Int32))


def _shown(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
