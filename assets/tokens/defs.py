"""What Dagster sees of `tokens`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from assets.embeddings.tables import M3_VECTORS, VECTORS
from assets.making import asset_key
from assets.partitions import M3_MODALITIES, MODALITIES, TRACK_SHARDS
from assets.tokens.tables import (
    CODEBOOKS,
    KMEANS_CODEBOOKS,
    M3_BASELINES,
    M3_CODEBOOKS,
    M3_COLLISIONS,
    M3_ENCODERS,
    M3_LOSSES,
    M3_TOKENS,
    TALKPLAY_TOKENS,
    VQVAE_CODEBOOKS,
    VQVAE_ENCODERS,
    VQVAE_LOSSES,
)
from assets.work import Part, Work, asset
from resources.lake import Lake
from resources.m3_settings import M3_MODALITIES as M3_ORDER
from resources.profile import Profile
from resources.tables import Table
from resources.talkplay_settings import MODALITIES as MODALITY_ORDER

if TYPE_CHECKING:
    from assets.tokens.m3_codebooks import Fit

TORCH = {"torch", "parquet"}


@asset(CODEBOOKS, whole=[*VECTORS.values()], partitions=MODALITIES, kinds=TORCH, pool="gpu")
def codebooks(work: Work) -> None:
    """The K-means codebook of each modality (TalkPlay section 4.1), with its use plotted.

    A modality without vectors has an empty codebook; all its tracks then carry the reserved code.
    """
    from assets.tokens.codebooks import fit_codebook, use_notes

    for part in work:
        vectors = part.read(VECTORS[part.key], columns=["track_id", "vector"])
        codebook = fit_codebook(vectors, modality=part.key, settings=work.profile.tokens)
        part.write(
            {CODEBOOKS: codebook.frame}, notes={**codebook.notes, **use_notes(codebook.frame, modality=part.key)}
        )


@asset(TALKPLAY_TOKENS, same=[*VECTORS.values()], whole=[CODEBOOKS], partitions=TRACK_SHARDS, kinds=TORCH)
def talkplay_tokens(work: Work) -> None:
    """The five codes of each track: of its nearest centroids, and the reserved code where a modality is missing."""
    from assets.tokens.codebooks import code_tracks

    for part in work:
        vectors = {modality: part.read(VECTORS[modality]) for modality in MODALITY_ORDER}
        codebooks = {modality: work.lake.read(CODEBOOKS, modality) for modality in part.partitions(CODEBOOKS)}
        tokens = code_tracks(vectors, codebooks, k=work.profile.tokens.kmeans_k)
        part.write({TALKPLAY_TOKENS: tokens})


@asset(
    M3_CODEBOOKS,
    M3_ENCODERS,
    M3_LOSSES,
    whole=[*M3_VECTORS.values()],
    partitions=M3_MODALITIES,
    kinds=TORCH,
    pool="gpu",
    sections=["m3"],
)
def m3_codebooks(work: Work) -> None:
    """The RQ-VAE of each modality (3MToken 2.2), with its losses, use and error by level.

    A modality without vectors has empty codebooks; all its tracks then carry the reserved codes.
    """
    from assets.tokens.m3_codebooks import fit_rqvae

    _fit(work, fit_rqvae, codebooks=M3_CODEBOOKS, encoders=M3_ENCODERS, losses=M3_LOSSES)


@asset(
    VQVAE_CODEBOOKS,
    VQVAE_ENCODERS,
    VQVAE_LOSSES,
    whole=[*M3_VECTORS.values()],
    partitions=M3_MODALITIES,
    kinds=TORCH,
    pool="gpu",
    sections=["m3"],
)
def vqvae_codebooks(work: Work) -> None:
    """The VQ-VAE of each modality, one codebook and the same autoencoder (3MToken 3.3), to compare 3MToken with."""
    from assets.tokens.m3_codebooks import fit_vqvae

    _fit(work, fit_vqvae, codebooks=VQVAE_CODEBOOKS, encoders=VQVAE_ENCODERS, losses=VQVAE_LOSSES)


@asset(
    KMEANS_CODEBOOKS,
    whole=[*M3_VECTORS.values()],
    partitions=M3_MODALITIES,
    kinds=TORCH,
    pool="gpu",
    sections=["m3"],
)
def m3_kmeans_codebooks(work: Work) -> None:
    """The K-means codebook of each of 3MToken's modalities (3.3), to compare 3MToken with."""
    from assets.tokens.codebooks import use_notes
    from assets.tokens.m3_codebooks import fit_kmeans_beside

    for part in work:
        vectors = part.read(M3_VECTORS[part.key], columns=["track_id", "vector"])
        profile = work.profile
        fitted = fit_kmeans_beside(vectors, modality=part.key, settings=profile.m3, lloyd=profile.tokens)
        notes = fitted.notes | use_notes(fitted.frame, modality=part.key)
        part.write({KMEANS_CODEBOOKS: fitted.frame}, notes=notes)


@asset(
    M3_TOKENS,
    same=[*M3_VECTORS.values()],
    whole=[M3_ENCODERS],
    partitions=TRACK_SHARDS,
    kinds=TORCH,
    sections=["m3", "m3_tokens"],
)
def m3_tokens(work: Work) -> None:
    """The codes of each track in nine modalities at each level, and the reserved codes where a modality is missing."""
    from assets.tokens.m3_codes import code_tracks, open_encoders

    settings = work.profile.m3
    sizes = {modality: settings.level_sizes(modality) for modality in M3_ORDER}
    encoders = None
    for part in work:
        rows = part.read(M3_ENCODERS)
        encoders = encoders or open_encoders(rows)
        tokens = code_tracks(_vectors(part), encoders, sizes=sizes)
        part.write({M3_TOKENS: tokens}, notes=_written(tokens, sizes, index_base=work.profile.m3_tokens.index_base))


@asset(
    M3_BASELINES,
    same=[*M3_VECTORS.values()],
    whole=[VQVAE_ENCODERS, KMEANS_CODEBOOKS],
    partitions=TRACK_SHARDS,
    kinds=TORCH,
    sections=["m3"],
)
def m3_baselines(work: Work) -> None:
    """The codes of each track by the tokenizers that 3MToken is compared with, one a modality."""
    from assets.tokens.m3_codes import code_tracks, code_tracks_by_kmeans, open_encoders

    settings = work.profile.m3
    sizes = dict.fromkeys(M3_ORDER, (settings.vqvae_k,))
    encoders, centroids = None, None
    for part in work:
        rows, keys = part.read(VQVAE_ENCODERS), part.partitions(KMEANS_CODEBOOKS)
        encoders = encoders or open_encoders(rows)
        centroids = centroids or {key: work.lake.read(KMEANS_CODEBOOKS, key) for key in keys}
        vectors = _vectors(part)
        by_vqvae = code_tracks(vectors, encoders, sizes=sizes).with_columns(scheme=pl.lit("vqvae"))
        by_kmeans = code_tracks_by_kmeans(vectors, centroids, k=settings.kmeans_k).with_columns(scheme=pl.lit("kmeans"))
        part.write({M3_BASELINES: pl.concat([by_vqvae, by_kmeans])})


@asset(M3_COLLISIONS, whole=[M3_TOKENS], sections=["m3_tokens"])
def m3_collisions(work: Work) -> None:
    """The tracks of the whole catalog that no token of 3MToken tells apart, each with its number among its equals."""
    from assets.tokens.m3_collisions import find_collisions

    for part in work:
        found = find_collisions(part.read(M3_TOKENS), disambiguators=work.profile.m3_tokens.disambiguators)
        part.write({M3_COLLISIONS: found.frame}, notes=found.notes)


def _fit(work: Work, fit: "Callable[..., Fit]", *, codebooks: Table, encoders: Table, losses: Table) -> None:
    """Writes the autoencoder of each part's modality."""
    from resources.torch_turn import cpu_threads, device_of

    workers = work.profile.workers
    device = str(device_of(workers.device))
    for part in work:
        vectors = part.read(M3_VECTORS[part.key], columns=["track_id", "vector"])
        with cpu_threads(workers.torch_threads):
            fitted = fit(vectors, modality=part.key, settings=work.profile.m3, device=device)
        part.write({codebooks: fitted.codebooks, encoders: fitted.encoders, losses: fitted.losses}, notes=fitted.notes)


def _written(tokens: pl.DataFrame, sizes: Mapping[str, Sequence[int]], *, index_base: int) -> dict[str, str | int]:
    """How the codes are written: the first code's number, and a track but for its disambiguating code."""
    from assets.tokens.vocabulary import m3_vocabulary

    vocabulary = m3_vocabulary(sizes, index_base=index_base, disambiguators=0, has_missing=True)
    notes: dict[str, str | int] = {"index base": index_base}
    for row in tokens.head(1).iter_rows(named=True):
        notes["first track"] = vocabulary.render([code for name in sizes for code in row[name]])
    return notes


def _vectors(part: Part) -> dict[str, pl.DataFrame]:
    return {modality: part.read(table, columns=["track_id", "vector"]) for modality, table in M3_VECTORS.items()}


def _use_check(codebooks: Table, *, level: int, least: Callable[[Profile], float]) -> dg.AssetChecksDefinition:
    """Whether every modality uses the profile's share of its codes; a warning only, because small corpora repeat."""

    @dg.asset_check(
        asset=asset_key(codebooks),
        name="codebook_use",
        description=f"Enough of each codebook's codes are in use{' at level 1' if level else ''}.",
    )
    def check(lake: Lake, profile: Profile) -> dg.AssetCheckResult:
        from assets.tokens.codebooks import use_of

        rows = lake.read(codebooks, columns=["modality", "level", "code", "tracks"])
        of_level = rows.filter(pl.col("level") == level).sort("modality").group_by("modality", maintain_order=True)
        uses = {str(modality): use_of(codes) for (modality,), codes in of_level}
        shares = {f"{modality}: share of codes used": round(use.share_used, 4) for modality, use in uses.items()}
        perplexities = {f"{modality}: perplexity": round(use.perplexity, 1) for modality, use in uses.items()}
        return dg.AssetCheckResult(
            passed=all(use.share_used >= least(profile) for use in uses.values()),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={**shares, **perplexities},
        )

    return check


def _version_check(tokens: Table, *books: Table) -> dg.AssetChecksDefinition:
    """Whether no shard still carries codes of an older codebook: such codes name other centroids."""

    @dg.asset_check(
        asset=asset_key(tokens),
        name="one_codebook_version",
        blocking=True,
        description="All tokens were made from one version of the codebooks, the present one.",
    )
    def check(lake: Lake) -> dg.AssetCheckResult:
        from assets.tokens.codebooks import codebook_hash

        present = [codebook_hash(lake.read(table, columns=["modality", "codebook_hash"])) for table in books]
        shards = TRACK_SHARDS.get_partition_keys()
        hashes = lake.read(tokens, shards, columns=["codebook_hash"])["codebook_hash"]
        older = hashes.filter(~hashes.is_in(present))
        return dg.AssetCheckResult(
            passed=older.is_empty(),
            metadata={"present": ", ".join(present), "tracks with older codes": older.len()},
        )

    return check


codebook_use = _use_check(CODEBOOKS, level=0, least=lambda profile: profile.tokens.min_use)
m3_codebook_use = _use_check(M3_CODEBOOKS, level=1, least=lambda profile: profile.m3_tokens.min_use)
one_codebook_version = _version_check(TALKPLAY_TOKENS, CODEBOOKS)
one_m3_codebook_version = _version_check(M3_TOKENS, M3_ENCODERS)
one_baseline_version = _version_check(M3_BASELINES, VQVAE_ENCODERS, KMEANS_CODEBOOKS)


@dg.asset_check(asset=asset_key(M3_CODEBOOKS), description="Decoded vectors are nearer than the mean vector.")
def m3_reconstruction(lake: Lake) -> dg.AssetCheckResult:
    """Whether each modality's codes say more of a vector than their mean; a warning only, as of collapsed codebooks."""
    records = [lake.record(M3_CODEBOOKS, modality) for modality in lake.partitions(M3_CODEBOOKS)]
    shares = {}
    for record in filter(None, records):
        notes = record.origin.notes
        of_mean = float(notes.get("error of the mean vector", 0))
        if of_mean > 0:  # else there is no vector, or but one
            deepest = sum(name.endswith(": reconstruction error") for name in notes)
            shares[record.partition] = float(notes[f"level {deepest}: reconstruction error"]) / of_mean
    return dg.AssetCheckResult(
        passed=all(share < 1 for share in shares.values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={f"{modality}: share of the mean's error": round(share, 4) for modality, share in shares.items()},
    )


@dg.asset_check(asset=asset_key(M3_COLLISIONS), description="Few tracks have the tokens of another.")
def few_collisions(lake: Lake, profile: Profile) -> dg.AssetCheckResult:
    """Whether no more than the profile's share of tracks collide; a warning only: the paper tells none apart."""
    colliding = lake.read(M3_COLLISIONS, columns=["track_id"]).height
    tracks = lake.read(M3_TOKENS, TRACK_SHARDS.get_partition_keys(), columns=["track_id"]).height
    share = colliding / max(1, tracks)
    return dg.AssetCheckResult(
        passed=share <= profile.m3_tokens.max_collisions,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"tracks": tracks, "colliding tracks": colliding, "share of colliding tracks": round(share, 4)},
    )
