"""The assets of 3MToken's tokens over a small lake: what a refitted modality touches, and what checks say."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from assets.embeddings.tables import M3_VECTORS
from assets.making import MAKINGS, Inputs, asset_key
from assets.partitions import TRACK_SHARDS
from assets.tokens.tables import (
    KMEANS_CODEBOOKS,
    M3_BASELINES,
    M3_CODEBOOKS,
    M3_COLLISIONS,
    M3_ENCODERS,
    M3_LOSSES,
    M3_TOKENS,
    VQVAE_ENCODERS,
)
from dagster_project.stages import STAGES
from resources.lake import Lake, Origin
from resources.m3_settings import M3, M3_MODALITIES, M3Tokens
from resources.profile import Profile
from resources.raw import RawFolder
from resources.tables import Table

SHARDS = TRACK_SHARDS.get_partition_keys()
SMALL = M3(sizes=[4, 3, 2], vqvae_k=4, kmeans_k=4, hidden=[8], latent_dimensions=4, batch=16, epochs=1)
PROFILE = Profile(m3=SMALL)
ABSENT = "sf"  # no track has it


class Corpus:
    """A lake with vectors of five tracks a shard, and the assets of `tokens`."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        for stage in STAGES[: STAGES.index("tokens")]:
            import_module(f"assets.{stage}.defs")
        self.module = import_module("assets.tokens.defs")
        self.lake, self.raw = Lake(root=str(folder / "lake")), RawFolder(root=str(folder / "raw"))
        self.instance = instance
        for modality in M3_MODALITIES:
            for shard in SHARDS:
                self.say(modality, shard, seed=0)

    def say(self, modality: str, shard: str, *, seed: int) -> None:
        """Replaces the vectors of one modality and shard."""
        place = M3_MODALITIES.index(modality)
        vectors_ND = np.random.default_rng([seed, place, SHARDS.index(shard)]).standard_normal((5, 3 + place))
        rows = [None] * 5 if modality == ABSENT else [None, *vectors_ND[1:].tolist()]
        column = pl.Series("vector", rows, dtype=pl.Array(pl.Float32, 3 + place))
        ids = pl.Series("track_id", [f"{shard}-{row}" for row in range(5)])
        frame = pl.DataFrame([ids, column]).with_columns(encoder=pl.lit("random"))
        table = M3_VECTORS[modality]
        self.lake.write(table, frame, partition=shard, attempt=self.lake.claim(table, shard))

    def run(self, *tables: Table, modalities: tuple[str, str] = ("ac", "tc"), profile: Profile = PROFILE) -> None:
        """Materializes the assets of these tables one after the other, all shards and the range of modalities."""
        for table in tables:
            keys = {M3_TOKENS: (SHARDS[0], SHARDS[-1]), M3_BASELINES: (SHARDS[0], SHARDS[-1])}.get(table, modalities)
            names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
            is_cut = MAKINGS[table.path].partitions is not None
            definition = next(
                asset
                for asset in vars(self.module).values()
                if isinstance(asset, dg.AssetsDefinition)
                and not isinstance(asset, dg.AssetChecksDefinition)
                and asset_key(table) in asset.keys
            )
            dg.materialize(
                [definition],
                instance=self.instance,
                tags=dict(zip(names, keys, strict=True)) if is_cut else None,
                resources={"lake": self.lake, "raw": self.raw, "profile": profile},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )

    def versions(self, table: Table) -> dict[str, str]:
        """The content version of every partition."""
        return {key: self.lake.version(table, key) for key in self.lake.partitions(table)}

    def stale(self, table: Table) -> list[str]:
        """Partitions that are to be made again."""
        inputs, making = Inputs(self.lake, self.raw, PROFILE, self.instance), MAKINGS[table.path]
        records = [record for key in self.lake.partitions(table) if (record := self.lake.record(table, key))]
        return [record.partition for record in records if not inputs.are_current(making, [record])]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """A corpus with all of 3MToken's tokens made."""
    with dg.DagsterInstance.ephemeral() as instance:
        corpus = Corpus(tmp_path_factory.mktemp("corpus"), instance)
        corpus.run(M3_CODEBOOKS, VQVAE_ENCODERS, KMEANS_CODEBOOKS, M3_TOKENS, M3_BASELINES, M3_COLLISIONS)
        yield corpus


def test_every_track_has_tokens_by_every_scheme(corpus: Corpus) -> None:
    """All tracks have lists of three, three and one codes; a track without any vector has the reserved ones."""
    tokens = corpus.lake.read(M3_TOKENS)
    baselines = corpus.lake.read(M3_BASELINES)
    assert tokens.height == 5 * len(SHARDS)
    assert baselines.group_by("scheme").len().sort("scheme").rows() == [
        ("kmeans", 5 * len(SHARDS)),
        ("vqvae", 5 * len(SHARDS)),
    ]
    assert tokens.filter(pl.col("track_id").str.ends_with("-0"))["tc"].to_list() == [[4, 3, 2]] * len(SHARDS)
    assert set(baselines[ABSENT].list.first()) == {4}


def test_tokens_record_how_they_are_written(corpus: Corpus) -> None:
    """Each shard's commit has the index base, here 1, and a track as tokens: codes 4, 3, 2 where all is missing."""
    record = corpus.lake.record(M3_TOKENS, SHARDS[0])
    assert record is not None
    missing = "".join(f"<{name.upper()}1-5><{name.upper()}2-4><{name.upper()}3-3>" for name in M3_MODALITIES)
    assert record.origin.notes == {"index base": 1, "first track": f"<begin_3MToken>{missing}<end_3MToken>"}


def test_tracks_without_any_vector_collide(corpus: Corpus) -> None:
    """The one track a shard that has no vector at all has the tokens of those of other shards."""
    colliding = corpus.lake.read(M3_COLLISIONS)
    bare = colliding.filter(pl.col("track_id").str.ends_with("-0"))
    assert bare["number"].to_list() == list(range(len(SHARDS)))


def test_a_modality_depends_on_its_own_vectors_alone(corpus: Corpus) -> None:
    """New vectors of one modality make the codebooks of that modality stale, by all three schemes, and no other."""
    before = corpus.lake.read(M3_VECTORS["ri"], SHARDS[3])
    assert corpus.stale(M3_CODEBOOKS) == []
    corpus.say("ri", SHARDS[3], seed=1)
    assert not corpus.lake.read(M3_VECTORS["ri"], SHARDS[3]).equals(before)
    for table in (M3_CODEBOOKS, M3_ENCODERS, M3_LOSSES, VQVAE_ENCODERS, KMEANS_CODEBOOKS):
        assert corpus.stale(table) == ["ri"]
    assert corpus.stale(M3_TOKENS) == [SHARDS[3]]
    corpus.say("ri", SHARDS[3], seed=0)
    assert corpus.stale(M3_CODEBOOKS) == []


def test_refitting_one_modality_touches_no_other(corpus: Corpus) -> None:
    """A refit changes that modality's codebooks alone; older tokens are refused until they are made again."""
    before, other_schemes = corpus.versions(M3_CODEBOOKS), corpus.versions(VQVAE_ENCODERS)
    check = corpus.module.one_m3_codebook_version
    assert check(lake=corpus.lake).passed

    reseeded = Profile(m3=SMALL.model_copy(update={"seed": 8}))
    corpus.run(M3_CODEBOOKS, modalities=("mc", "mc"), profile=reseeded)
    after = corpus.versions(M3_CODEBOOKS)
    assert {key for key in M3_MODALITIES if before[key] != after[key]} == {"mc"}
    assert corpus.versions(VQVAE_ENCODERS) == other_schemes
    refused = check(lake=corpus.lake)
    assert not refused.passed
    assert refused.metadata["tracks with older codes"].value == 5 * len(SHARDS)

    codes = corpus.lake.read(M3_TOKENS, SHARDS)
    corpus.run(M3_TOKENS)
    assert check(lake=corpus.lake).passed
    others = ["track_id", *(name for name in M3_MODALITIES if name != "mc")]
    assert corpus.lake.read(M3_TOKENS, SHARDS).select(others).equals(codes.select(others))


def test_the_checks_read_the_profile(corpus: Corpus) -> None:
    """Use and collisions pass or warn by the profile's shares."""
    use, few = corpus.module.m3_codebook_use, corpus.module.few_collisions
    for least, most, passes in ((0.0, 1.0, True), (1.0, 0.0, False)):
        profile = Profile(m3=SMALL, m3_tokens=M3Tokens(min_use=least, max_collisions=most))
        assert few(lake=corpus.lake, profile=profile).passed is passes
        used = use(lake=corpus.lake, profile=profile)
        shares = [value.value for name, value in used.metadata.items() if "share" in name]
        assert len(shares) == len(M3_MODALITIES) - 1
        assert used.passed is all(share >= least for share in shares)
    assert corpus.module.one_baseline_version(lake=corpus.lake).passed


def test_codes_that_say_no_more_than_the_mean_are_warned_of(corpus: Corpus, tmp_path: Path) -> None:
    """The deepest level's error is compared with that of the mean vector; modalities without an error don't count."""
    lake, check = Lake(root=str(tmp_path)), corpus.module.m3_reconstruction
    say = {"error of the mean vector": 4.0, "level 1: reconstruction error": 6.0}
    for modality, notes in (("ac", say | {"level 2: reconstruction error": 1.0}), ("sf", {"vectors": 0})):
        origin = Origin(notes=notes)
        lake.write(
            M3_CODEBOOKS,
            M3_CODEBOOKS.empty(),
            partition=modality,
            attempt=lake.claim(M3_CODEBOOKS, modality),
            origin=origin,
        )
    good = check(lake=lake)
    assert good.passed
    assert {name: value.value for name, value in good.metadata.items()} == {"ac: share of the mean's error": 0.25}
    attempt = lake.claim(M3_CODEBOOKS, "bm")
    lake.write(M3_CODEBOOKS, M3_CODEBOOKS.empty(), partition="bm", attempt=attempt, origin=Origin(notes=say))
    assert not check(lake=lake).passed
    assert len(check(lake=corpus.lake).metadata) == len(M3_MODALITIES) - 1
