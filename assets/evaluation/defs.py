"""What Dagster sees of `evaluation`."""

import os
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS, SESSION_SPLITS, SESSIONS, TRACKS
from assets.embeddings.tables import M3_VECTORS
from assets.evaluation.tables import CBR
from assets.making import asset_key
from assets.sources.tables import PLAYLIST_TRACKS
from assets.tokens.tables import KMEANS_CODEBOOKS, M3_BASELINES, M3_CODEBOOKS, M3_TOKENS, VQVAE_CODEBOOKS
from assets.work import Part, Work, asset
from resources.lake import Lake
from resources.m3_settings import M3, Evaluation

if TYPE_CHECKING:
    from assets.evaluation.cbr_counts import CatalogCodes

CODEBOOKS = {"rqvae": M3_CODEBOOKS, "kmeans": KMEANS_CODEBOOKS, "vqvae": VQVAE_CODEBOOKS}


@asset(
    CBR,
    whole=[
        *(PLAYLIST_TRACKS, PLAYLIST_SPLITS, SESSIONS, SESSION_SPLITS, TRACKS),
        *(M3_TOKENS, M3_BASELINES, *CODEBOOKS.values(), *M3_VECTORS.values()),
    ],
    sections=["m3", "index"],
    kinds={"numba", "parquet"},
)
def cbr(work: Work) -> None:
    """Content-based retrieval: how often a track's tokens lead to the tracks that belong to it (3MToken Table 1).

    3MToken, K-means and VQ-VAE, each modality alone and left out, the vectors without tokens, popularity and chance, on
    held-out playlists and sessions, with the paper's figures beside ours. All other tracks of the catalog are
    candidates; equal scores count as in any order.
    """
    from assets.evaluation.cbr import cbr_rows
    from assets.evaluation.cbr_cases import pair_cases, playlist_cases
    from assets.evaluation.cbr_table import cbr_markdown, without_markdown

    for part in work:
        catalog, settings = _catalog(part), work.profile.evaluation
        protocols = {
            "cp": playlist_cases(_held_out_playlists(part, settings), catalog["track_id"]),
            "co": pair_cases(_held_out_pairs(part, settings), catalog["track_id"]),
        }
        for table in M3_VECTORS.values():
            part.partitions(table)
        rows = cbr_rows(
            catalog,
            protocols,
            _codes(part, catalog["track_id"], work.profile.m3),
            partial(_vectors, work.lake),
            weights=work.profile.index.m3_weights,
            settings=settings,
            threads=os.cpu_count() or 1,
        )
        notes = {"Table 1": cbr_markdown(rows), "one modality left out": without_markdown(rows), "Hit@k": _plot(rows)}
        part.write({CBR: rows}, notes=notes)


@dg.asset_check(asset=asset_key(CBR), description="3MToken is above K-means and VQ-VAE at every k, as in the paper.")
def m3token_leads(lake: Lake) -> dg.AssetCheckResult:
    """Whether it holds on both protocols; a warning only, because it is a result. Also where the interval says so."""
    rows = lake.read(CBR).filter(pl.col("system").is_in(["kmeans", "vqvae"]))
    behind = rows.filter((pl.col("behind") <= 0) & (pl.col("value") < 1))  # where all hit, none can be above
    clear = rows.filter(pl.col("behind_low") > 0)
    return dg.AssetCheckResult(
        passed=behind.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "compared": rows.height,
            "not above": behind.height,
            "above, outside the 95 % interval": clear.height,
            "where not": ", ".join(f"{row['system']} {row['protocol']} k={row['k']}" for row in behind.to_dicts()),
        },
    )


def _catalog(part: Part) -> pl.DataFrame:
    from assets.evaluation.cbr import catalog_of

    popularity = sql.select("evaluation/popularity", part.tables(SESSIONS, SESSION_SPLITS, TRACKS))
    return catalog_of(part.read(TRACKS, columns=["track_id", "shard"]), popularity)


def _codes(part: Part, track_ids: pl.Series, settings: M3) -> "CatalogCodes":
    from assets.evaluation.cbr_tokens import NAMED, read_codes

    codebooks = {scheme: part.read(table, columns=NAMED) for scheme, table in CODEBOOKS.items()}
    return read_codes(part.read(M3_TOKENS), part.read(M3_BASELINES), codebooks, track_ids, settings=settings)


def _held_out_playlists(part: Part, settings: Evaluation) -> pl.DataFrame:
    return sql.select(
        "evaluation/playlist_cases",
        part.tables(PLAYLIST_TRACKS, PLAYLIST_SPLITS),
        playlists=settings.playlists,
        seeds=settings.seeds,
        seed=settings.seed,
    )


def _held_out_pairs(part: Part, settings: Evaluation) -> pl.DataFrame:
    return sql.select(
        "evaluation/session_pairs",
        part.tables(SESSIONS, SESSION_SPLITS),
        session_pairs=settings.session_pairs,
        pairs=settings.pairs,
        seed=settings.seed,
    )


def _vectors(lake: Lake, modality: str, shard: str) -> pl.DataFrame:
    return lake.read(M3_VECTORS[modality], shard, columns=["track_id", "vector"])


def _plot(rows: pl.DataFrame) -> str:
    from assets.evaluation.cbr_plot import plot_cbr
    from assets.tokens.pictures import markdown_of

    return markdown_of(plot_cbr(rows), title="Hit@k by system")
