"""The token tables as the counting kernel reads them: 3MToken's codes and those of the tokenizers beside it."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.evaluation.cbr_counts import CatalogCodes, catalog_codes
from assets.tokens.codebooks import codebook_hash
from resources.m3_settings import M3, M3_MODALITIES

BASELINES = ("kmeans", "vqvae")
NAMED = ("modality", "level", "code", "codebook_hash")


def read_codes(
    tokens: pl.DataFrame,
    baselines: pl.DataFrame,
    codebooks: Mapping[str, pl.DataFrame],
    track_ids: pl.Series,
    *,
    settings: M3,
) -> CatalogCodes:
    """The codes of the tracks, in the order of `track_ids`, from rows of `m3_tokens` and `m3_baselines`.

    `codebooks` are the rows of the codebooks by scheme. A code that is not among them means missing, be it one past the
    codebook or, where too few vectors made that smaller, one past the profile's size. Raises ValueError for a track
    without tokens, for tokens of other codebooks than these, and for a code beyond both sizes.
    """
    wanted: dict[str, Mapping[str, Sequence[int]]] = {
        "rqvae": {modality: settings.level_sizes(modality) for modality in M3_MODALITIES},
        "kmeans": dict.fromkeys(M3_MODALITIES, (settings.kmeans_k,)),
        "vqvae": dict.fromkeys(M3_MODALITIES, (settings.vqvae_k,)),
    }
    rows = {"rqvae": tokens, **{scheme: baselines.filter(pl.col("scheme") == scheme) for scheme in BASELINES}}
    for scheme, frame in rows.items():
        _check_version(frame, codebooks[scheme], scheme)
    sizes = {scheme: _sizes(codebooks[scheme], wanted[scheme]) for scheme in rows}
    columns = {scheme: _columns(rows[scheme], track_ids, sizes[scheme], wanted[scheme], scheme) for scheme in rows}
    return catalog_codes(
        columns["rqvae"],
        list(sizes["rqvae"].values()),
        [np.concatenate(columns[scheme], axis=1) for scheme in BASELINES],
        [[size for (size,) in sizes[scheme].values()] for scheme in BASELINES],
    )


def _check_version(tokens: pl.DataFrame, codebooks: pl.DataFrame, scheme: str) -> None:
    present = codebook_hash(codebooks)
    strangers = sorted(set(tokens["codebook_hash"]) - {present})
    if strangers:
        raise ValueError(f"{scheme}: tokens of codebooks {strangers}, wanted {present}; materialize the tokens")


def _sizes(codebooks: pl.DataFrame, wanted: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Codes of each level of each modality."""
    counted = codebooks.group_by("modality", "level").len().sort("modality", "level")
    found = dict(counted.group_by("modality", maintain_order=True).agg("len").iter_rows())
    return {modality: tuple(found.get(modality, sizes)) for modality, sizes in wanted.items()}


def _columns(
    tokens: pl.DataFrame,
    track_ids: pl.Series,
    sizes: Mapping[str, Sequence[int]],
    wanted: Mapping[str, Sequence[int]],
    scheme: str,
) -> list[npt.NDArray[np.int32]]:
    """The codes of each modality, [N, levels]; what is missing has one past the codebook."""
    rows = track_ids.to_frame("track_id").join(tokens, on="track_id", how="left", maintain_order="left")
    columns = []
    for modality, level_sizes in sizes.items():
        is_odd = rows[modality].list.len().fill_null(0) != len(level_sizes)
        if is_odd.any():
            track = rows["track_id"].filter(is_odd)[0]
            raise ValueError(
                f"{scheme}: track {track} lacks codes of {modality}, wanted {len(level_sizes)}; materialize the tokens"
            )
        codes = rows[modality].explode(empty_as_null=False).to_numpy()
        codes_NL = codes.astype(np.int32).reshape(-1, len(level_sizes))
        most_L = np.maximum(level_sizes, wanted[modality])
        if (codes_NL > most_L).any():
            raise ValueError(f"{scheme}: {modality} has codes beyond {most_L.tolist()}; materialize the tokens")
        columns.append(np.minimum(codes_NL, np.asarray(level_sizes, np.int32)))
    return columns
