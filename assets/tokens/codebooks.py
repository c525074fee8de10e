"""TalkPlay's K-means tokenizer over tables (section 4.1): vectors of one modality -> codebook -> codes of tracks."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from assets.tokens.codebook_use import CodebookUse, codebook_use, plot_use
from assets.tokens.kmeans import assign, fit_kmeans
from assets.tokens.pictures import markdown_of
from assets.tokens.tables import CODEBOOKS
from resources.hashing import digest_of
from resources.profile import Tokens
from resources.talkplay_settings import MODALITIES

SCHEME = "kmeans"
ADVICE = "lower tokens.kmeans_k or set tokens.is_k_capped"


class Codebook(NamedTuple):
    """A fitted codebook as rows of `tokens/codebooks`, and what the UI says of the fit."""

    frame: pl.DataFrame
    notes: dict[str, int | float]


def fit_codebook(vectors: pl.DataFrame, *, modality: str, settings: Tokens, advice: str = ADVICE) -> Codebook:
    """K-means over the non-null vectors, in order of track id so that the order of rows changes nothing.

    `is_k_capped` lowers K to the number of distinct vectors; without it too few of them raise ValueError, with advice.
    """
    present = vectors.filter(pl.col("vector").is_not_null()).sort("track_id")
    if present.is_empty():
        empty = CODEBOOKS.empty()
        return Codebook(empty, {"vectors": 0, "codes": 0})
    vectors_ND = present["vector"].to_numpy()
    distinct = count_distinct(vectors_ND)
    k = min(settings.kmeans_k, distinct) if settings.is_k_capped else settings.kmeans_k
    try:
        fitted = fit_kmeans(
            vectors_ND,
            k=k,
            iterations=settings.kmeans_iterations,
            seed=settings.kmeans_seed,
            tolerance=settings.kmeans_tolerance,
        )
    except ValueError as error:
        raise ValueError(f"modality {modality}: {error}; {advice}") from error
    centroids_KD = fitted.centroids_KD
    content = digest_of([SCHEME, modality, list(centroids_KD.shape), centroids_KD.tobytes().hex()])
    frame = pl.DataFrame({"code": np.arange(k, dtype=np.int32), "vector": centroids_KD}).with_columns(
        scheme=pl.lit(SCHEME),
        modality=pl.lit(modality),
        level=pl.lit(0, pl.Int32),
        tracks=pl.Series(np.bincount(fitted.codes_N, minlength=k).astype(np.int64)),
        codebook_hash=pl.lit(content),
    )
    notes = {"vectors": len(vectors_ND), "codes": k, "inertia": fitted.inertia, "iterations": fitted.iterations}
    wanted = {"codes wanted": settings.kmeans_k} if k < settings.kmeans_k else {}
    return Codebook(frame, {**notes, **wanted, "distinct vectors": distinct, "revived codes": fitted.revived})


def count_distinct(vectors_ND: np.ndarray) -> int:
    """Number of distinct vectors, by 128-bit digests: sorting would copy them all."""
    zero = vectors_ND.dtype.type(0)  # makes -0.0 the same as 0.0
    return len({hashlib.blake2b(vector + zero, digest_size=16).digest() for vector in vectors_ND})


def use_of(codebook: pl.DataFrame) -> CodebookUse:
    """Use of one modality's codes, from the counts in its rows of `tokens/codebooks`."""
    tracks_K = codebook.sort("code")["tracks"].to_numpy()
    return codebook_use(np.repeat(np.arange(len(tracks_K)), tracks_K), k=len(tracks_K))


def use_notes(codebook: pl.DataFrame, *, modality: str) -> dict[str, str | float]:
    """Use, perplexity and their picture as Markdown, for the UI; nothing for an empty codebook."""
    if codebook.is_empty():
        return {}
    use = use_of(codebook)
    plot = markdown_of(plot_use(use, title=f"{modality}: tracks of each code"), title="tracks of each code")
    return {"share of codes used": use.share_used, "perplexity": use.perplexity, "use": plot}


def code_tracks(vectors: Mapping[str, pl.DataFrame], codebooks: Mapping[str, pl.DataFrame], *, k: int) -> pl.DataFrame:
    """The five codes of each track as rows of `tokens/talkplay_tokens`; a missing modality has code `k`.

    Both mappings are by modality: codebooks of vectors of different lengths don't fit one frame.
    """
    tracks = vectors[MODALITIES[0]].select("track_id").sort("track_id")
    codes = {}
    for modality in MODALITIES:
        centroids = codebooks[modality].sort("code")
        rows = tracks.join(vectors[modality], on="track_id", how="left", maintain_order="left")
        codes[modality] = pl.Series(modality, nearest_or_missing(rows["vector"], centroids["vector"], missing=k))
    hashes = pl.concat(codebook.select("modality", "codebook_hash") for codebook in codebooks.values())
    return tracks.with_columns(codebook_hash=pl.lit(codebook_hash(hashes)), **codes)


def codebook_hash(codebooks: pl.DataFrame) -> str:
    """One hash over the codebooks of all modalities: what tokens, shards and index carry."""
    hashes = codebooks.select("modality", "codebook_hash").unique().sort("modality")
    return digest_of([*hashes.iter_rows()])


def nearest_or_missing(vectors: pl.Series, centroids: pl.Series, *, missing: int) -> np.ndarray:
    """The code of each vector's nearest centroid, int32 [N]; `missing` where the vector is null or no centroid is."""
    codes_N = np.full(len(vectors), missing, np.int32)
    is_present_N = vectors.is_not_null().to_numpy()
    if is_present_N.any() and len(centroids):
        codes_N[is_present_N] = assign(vectors.drop_nulls().to_numpy(), centroids.to_numpy()).codes_N
    return codes_N
