"""What Dagster sees of `evaluation`."""

import os
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS, SESSION_SPLITS, SESSIONS, TRACKS
from assets.content.tables import TAGS
from assets.conversations.tables import HUMAN_TURNS, QUERIES, TURNS
from assets.embeddings.tables import M3_VECTORS, SONIC_VECTORS, VECTORS
from assets.evaluation.tables import CBR, TALKPLAY
from assets.making import asset_key
from assets.sources.tables import PLAYLIST_TRACKS
from assets.tokens.tables import (
    KMEANS_CODEBOOKS,
    M3_BASELINES,
    M3_CODEBOOKS,
    M3_TOKENS,
    TALKPLAY_TOKENS,
    VQVAE_CODEBOOKS,
)
from assets.training.tables import TALKPLAY_MODEL, has_model
from assets.work import Part, Work, asset
from resources.lake import Lake
from resources.m3_settings import M3, Evaluation
from resources.providers import clap_text_encoder, text_encoder
from resources.talkplay_settings import MODALITIES

if TYPE_CHECKING:
    from assets.evaluation.cbr_counts import CatalogCodes
    from assets.evaluation.turn_cases import TurnCases
    from assets.evaluation.turn_counts import TurnCounts

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


@asset(
    TALKPLAY,
    whole=[
        *(TURNS, QUERIES, HUMAN_TURNS, PLAYLIST_TRACKS, PLAYLIST_SPLITS, TRACKS, TAGS),
        *(TALKPLAY_TOKENS, TALKPLAY_MODEL, VECTORS["playlist"], SONIC_VECTORS),
    ],
    sections=["recommending", "shards", "index", "embeddings", "nv_embed", "sentence_model", "clap"],
    kinds={"torch", "parquet"},
    pool="gpu",
)
def talkplay(work: Work) -> None:
    """How well each turn's track is found: MRR and Hit@k by turn, on warm and cold tracks (TalkPlay Table 2, Figure 3).

    The trained models, decoding among the catalog's tracks alone and sampling as published; BM25, dense text, CLAP,
    playlist vectors, popularity and chance. All tracks of the catalog that the chat has not shown are candidates;
    equal scores count as in any order. Test conversations, lone queries, and conversations of people where there.
    """
    from assets.evaluation.talkplay import turn_rows
    from assets.evaluation.talkplay_models import judged_models
    from assets.evaluation.talkplay_plot import plot_by_turn
    from assets.evaluation.talkplay_table import by_turn_markdown, talkplay_markdown
    from assets.tokens.pictures import markdown_of
    from resources.torch_turn import cpu_threads, device_of

    profile = work.profile
    for part in work:
        catalog = sql.select("evaluation/turn_catalog", part.tables(TRACKS, TAGS))
        cases, refused, notes = _turn_cases(work, part, catalog)
        if not cases:
            part.write({TALKPLAY: TALKPLAY.empty()}, refused, notes=notes)
            continue
        tokens = _tokens_in_order(part, catalog)
        variants = [variant for variant in part.partitions(TALKPLAY_MODEL) if has_model(work.lake, variant)]
        with cpu_threads(profile.talkplay.threads):
            judged = judged_models(
                {variant: part.folder(TALKPLAY_MODEL, variant) for variant in variants},
                cases,
                tokens.select(MODALITIES).to_numpy(),
                codebook_hash=tokens["codebook_hash"][0],
                context_length=profile.shards.context_length,
                weights=profile.index.weights,
                settings=profile.recommending,
                device=device_of(profile.workers.device),
            )
        rivals = _rivals(work, part, cases, catalog)
        rows = [
            turn_rows(
                protocol,
                {**{name: found.counts for name, found in judged[protocol].items()}, **rivals[protocol]},
                turn_C=of.turn_C,
                group_C=of.group_C,
                is_warm_C=of.is_warm_C,
                exact={name: found.is_exact_C for name, found in judged[protocol].items()},
                settings=profile.evaluation,
            )
            for protocol, of in cases.items()
        ]
        table = pl.concat([TALKPLAY.empty(), *rows])
        figures = {
            "Table 2": talkplay_markdown(table),
            "MRR by turn": by_turn_markdown(table),
            "Figure 3": markdown_of(plot_by_turn(table), title="MRR by turn"),
        }
        part.write({TALKPLAY: table}, refused, notes={**figures, **notes})


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


def _turn_cases(
    work: Work, part: Part, catalog: pl.DataFrame
) -> "tuple[dict[str, TurnCases], pl.DataFrame, dict[str, str | int | float]]":
    """The cases of each protocol that has any, refused lines, and how many turns of people were left out and why."""
    from assets.evaluation.turn_cases import test_cases
    from assets.evaluation.turn_humans import human_cases, published_tracks
    from assets.evaluation.turn_queries import query_cases

    settings = work.profile.evaluation
    published = published_tracks(part.raw(work.raw.cpcd) / "tracks.jsonl")
    tables = part.tables(HUMAN_TURNS, TRACKS, PLAYLIST_TRACKS, PLAYLIST_SPLITS)
    leaked = sql.select("evaluation/leaked_conversations", {**tables, "evaluation.published_tracks": published.tracks})
    human = human_cases(
        part.read(HUMAN_TURNS), published.tracks, catalog, leaked=set(leaked["conversation_id"].to_list())
    )
    queries = sql.select(
        "evaluation/query_cases", part.tables(QUERIES, TRACKS), cases=settings.queries, seed=settings.seed
    )
    cases = {
        "turns": test_cases(part.read(TURNS), catalog),
        "queries": query_cases(queries, catalog),
        "human": human.cases,
    }
    notes: dict[str, str | int | float] = {
        f"turns of people left out: {reason}": count for reason, count in human.left_out.items() if count
    }
    return {protocol: of for protocol, of in cases.items() if len(of.prompts)}, published.refused, notes


def _tokens_in_order(part: Part, catalog: pl.DataFrame) -> pl.DataFrame:
    """The tokens of the catalog's tracks in its order. Raises ValueError for a track without, or several versions."""
    tokens = part.read(TALKPLAY_TOKENS)
    ordered = catalog.select("track_id").join(tokens, on="track_id", how="left", maintain_order="left")
    if ordered["codebook_hash"].null_count() or ordered["codebook_hash"].n_unique() != 1:
        raise ValueError("tokens and catalog are of different versions: materialize tokens/talkplay_tokens first")
    return ordered


def _rivals(
    work: Work, part: Part, cases: "dict[str, TurnCases]", catalog: pl.DataFrame
) -> "dict[str, dict[str, TurnCounts]]":
    """The rivals' counts by protocol; all cases are counted at once, so that a track's text is encoded once.

    CLAP is one where it has heard a recording.
    """
    from assets.evaluation.turn_cases import joined
    from assets.evaluation.turn_systems import aligned_vectors, clap_counts, rival_counts
    from assets.evaluation.turn_texts import last_queries
    from resources.torch_turn import Turn

    profile, turn = work.profile, Turn(threads=work.profile.workers.torch_threads)
    every = joined(list(cases.values()))
    part.models(profile.embeddings.text_encoder)
    playlist_vectors = part.read(VECTORS["playlist"], columns=["track_id", "vector"])
    rivals = rival_counts(every, catalog, playlist_vectors, text_encoder(profile, turn))
    sonic = part.read(SONIC_VECTORS, columns=["track_id", "vector"]).drop_nulls()
    if profile.embeddings.sonic_encoder == "clap" and sonic.height:
        part.models("clap")
        vectors_ND = aligned_vectors(catalog["track_id"], sonic)
        rivals["clap"] = clap_counts(every, vectors_ND, last_queries(every.prompts), clap_text_encoder(profile, turn))
    sizes = [len(of.prompts) for of in cases.values()]
    split = {system: counts.split(sizes) for system, counts in rivals.items()}
    return {protocol: {system: split[system][place] for system in split} for place, protocol in enumerate(cases)}
