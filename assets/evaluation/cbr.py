"""Content-based retrieval, 3MToken's Table 1 (section 3.3): from the counts of cases to rows of `evaluation/cbr`.

A case is a seed track; candidates are all other tracks of the catalog, ranked by likeness to the seed. It hits at k if
a target is among the first k. The paper leaves open how the seeds are chosen, what counts as a target and which tracks
are candidates; here (our choice):
cp: seeds drawn from test playlists; every other track of the playlist is a target.
co: ordered pairs of tracks of one test session; the second is the only target.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.evaluation.cbr_cases import CaseCounts, Cases, joined, side_by_side
from assets.evaluation.cbr_counts import CatalogCodes, count_cases, popularity_counts, system_names
from assets.evaluation.cbr_embeddings import Shard, embedding_counts
from assets.evaluation.cbr_tokens import BASELINES
from assets.evaluation.hits import hit_probability
from assets.evaluation.intervals import interval, resampled_means
from assets.evaluation.published import HITS
from assets.evaluation.tables import CBR
from resources.m3_settings import M3_MODALITIES, Evaluation

# C cases, S systems, K cut-offs, R resamples
OURS = "m3token"
SYSTEMS = [*system_names(M3_MODALITIES, BASELINES), "popularity", "chance", "embeddings"]
Vectors = Callable[[str, str], pl.DataFrame]


def catalog_of(tracks: pl.DataFrame, popularity: pl.DataFrame) -> pl.DataFrame:
    """The tracks, `track_id` and `shard`, in the order that cases count in, with their `popularity`."""
    ordered = tracks.select("track_id", "shard").sort("shard", "track_id")
    return ordered.join(popularity, on="track_id", how="left", maintain_order="left")


def cbr_rows(
    catalog: pl.DataFrame,
    protocols: Mapping[str, Cases],
    codes: CatalogCodes,
    vectors: Vectors,
    *,
    weights: Sequence[int],
    settings: Evaluation,
    threads: int = 1,
) -> pl.DataFrame:
    """Rows of `evaluation/cbr`; none of a protocol without cases. No row depends on `threads`.

    `codes` are those of the catalog's tracks in its order; `vectors` gives those of a modality and a shard.
    """
    cases = joined(list(protocols.values()))
    popularity_N = catalog["popularity"].to_numpy().astype(np.int64)
    counts = side_by_side(
        [
            count_cases(codes, cases, weights=weights, threads=threads),
            popularity_counts(popularity_N, cases),
            popularity_counts(np.zeros_like(popularity_N), cases),
            embedding_counts(cases, _shards(catalog), vectors, weights=dict(zip(M3_MODALITIES, weights, strict=True))),
        ]
    )
    frames, first = [CBR.empty()], 0
    for protocol, own in protocols.items():
        last = first + len(own.seeds_C)
        of_protocol = CaseCounts(*(numbers[first:last] for numbers in counts))
        frames.append(protocol_rows(protocol, SYSTEMS, of_protocol, own.groups_C, settings=settings))
        first = last
    return pl.concat(frames)


def protocol_rows(
    protocol: str,
    systems: Sequence[str],
    counts: CaseCounts,
    groups_C: npt.NDArray[np.int64],
    *,
    settings: Evaluation,
) -> pl.DataFrame:
    """Rows of one protocol, a system and a k each, with intervals over the groups; none without a case."""
    if not len(groups_C):
        return CBR.empty()
    hits_CKS = np.stack([hit_probability(*counts, k=k) for k in settings.ks], axis=1)
    shape = hits_CKS.shape[1:]
    means_RKS = resampled_means(
        hits_CKS.reshape(len(hits_CKS), -1), groups_C, resamples=settings.resamples, seed=settings.seed
    ).reshape(-1, *shape)
    ours = systems.index(OURS)
    behind_RKS = means_RKS[:, :, [ours]] - means_RKS
    value_KS = hits_CKS.mean(axis=0)
    columns = {
        "value": value_KS,
        **dict(zip(("low", "high"), interval(means_RKS), strict=True)),
        "behind": value_KS[:, [ours]] - value_KS,
        **dict(zip(("behind_low", "behind_high"), interval(behind_RKS), strict=True)),
    }
    names = [(system, protocol, "hit", k) for k in settings.ks for system in systems]
    rows = pl.DataFrame(names, schema=["system", "protocol", "metric", "k"], orient="row")
    rows = rows.with_columns(
        pl.col("k").cast(pl.Int32),
        *(pl.Series(name, numbers_KS.ravel()) for name, numbers_KS in columns.items()),
        pl.lit(len(groups_C), pl.Int64).alias("cases"),
        pl.Series("published", [HITS.get((system, protocol, k)) for system, _, _, k in names], pl.Float64),
    )
    return CBR.checked(rows)


def _shards(catalog: pl.DataFrame) -> list[Shard]:
    shards, first = [], 0
    for (key,), tracks in catalog.group_by("shard", maintain_order=True):
        shards.append(Shard(str(key), first, tracks["track_id"]))
        first += tracks.height
    return shards
