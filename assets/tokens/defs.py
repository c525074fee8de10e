"""What Dagster sees of `tokens`."""

import dagster as dg

from assets.embeddings.tables import MODALITIES as MODALITY_ORDER
from assets.embeddings.tables import VECTORS
from assets.partitions import MODALITIES, TRACK_SHARDS
from assets.tokens.tables import CODEBOOKS, TALKPLAY_TOKENS
from assets.work import Work, asset
from resources.lake import Lake
from resources.profile import Profile


@asset(CODEBOOKS, whole=[*VECTORS.values()], partitions=MODALITIES, kinds={"torch", "parquet"}, pool="gpu")
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


@asset(
    TALKPLAY_TOKENS, same=[*VECTORS.values()], whole=[CODEBOOKS], partitions=TRACK_SHARDS, kinds={"torch", "parquet"}
)
def talkplay_tokens(work: Work) -> None:
    """The five codes of each track: of its nearest centroids, and the reserved code where a modality is missing."""
    from assets.tokens.codebooks import code_tracks

    for part in work:
        vectors = {modality: part.read(VECTORS[modality]) for modality in MODALITY_ORDER}
        codebooks = {modality: work.lake.read(CODEBOOKS, modality) for modality in part.partitions(CODEBOOKS)}
        tokens = code_tracks(vectors, codebooks, k=work.profile.tokens.kmeans_k)
        part.write({TALKPLAY_TOKENS: tokens})


@dg.asset_check(asset=dg.AssetKey(["tokens", "codebooks"]), description="Enough of each codebook's codes are in use.")
def codebook_use(lake: Lake, profile: Profile) -> dg.AssetCheckResult:
    """Whether every modality uses the profile's share of its codes; a warning only, because small corpora repeat."""
    from assets.tokens.codebooks import use_of

    rows = lake.read(CODEBOOKS, columns=["modality", "code", "tracks"])
    uses = {
        str(modality): use_of(codes)
        for (modality,), codes in rows.sort("modality").group_by("modality", maintain_order=True)
    }
    shares = {f"{modality}: share of codes used": round(use.share_used, 4) for modality, use in uses.items()}
    return dg.AssetCheckResult(
        passed=all(use.share_used >= profile.tokens.min_use for use in uses.values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={**shares, **{f"{modality}: perplexity": round(use.perplexity, 1) for modality, use in uses.items()}},
    )


@dg.asset_check(
    asset=dg.AssetKey(["tokens", "talkplay_tokens"]),
    blocking=True,
    description="All tokens were made from one version of the codebooks, the present one.",
)
def one_codebook_version(lake: Lake) -> dg.AssetCheckResult:
    """Whether no shard still carries codes of an older codebook: such codes name other centroids."""
    from assets.tokens.codebooks import codebook_hash

    present = codebook_hash(lake.read(CODEBOOKS, columns=["modality", "codebook_hash"]))
    shards = TRACK_SHARDS.get_partition_keys()
    hashes = lake.read(TALKPLAY_TOKENS, shards, columns=["codebook_hash"])["codebook_hash"]
    older = hashes.filter(hashes != present)
    return dg.AssetCheckResult(
        passed=older.is_empty(), metadata={"present": present, "tracks with older codes": older.len()}
    )
