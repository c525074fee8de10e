"""The profile's sections on 3MToken and on how recommenders are judged."""

from typing import Literal

import dagster as dg
from pydantic import Field, field_validator

M3_MODALITIES = ("ac", "bm", "st", "sc", "mc", "ri", "sf", "ab", "tc")  # in the order of the tokens, 3MToken 2.1


class M3(dg.Config):
    """3MToken: nine modalities, each with codes at several levels (RQ-VAE), and the tokenizers beside it."""

    sizes: list[int] = Field(
        default=[32, 128, 64],
        min_length=1,
        description="Codes of each level; a guess: the paper's sum to 224, and its examples have AC2-73",
    )
    sizes_of: dict[str, list[int]] = Field(
        default={}, description="Sizes of modalities that have their own, as {'tc': [64, 96, 64]} (our choice)"
    )
    is_size_capped: bool = Field(
        default=True, description="Whether too few distinct vectors lower a codebook's size, instead of failing"
    )
    hidden: list[int] = Field(default=[512, 256, 128], description="Layers of the encoder; 3MToken 3.2")
    latent_dimensions: int = Field(default=32, ge=1, description="d_z; not in the paper, 32 or 64 are usual")
    commitment: float = Field(default=0.25, ge=0, description="beta; not in the paper, as van den Oord et al. 2017")
    learning_rate: float = Field(default=1e-3, gt=0, description="AdamW; 3MToken 3.2: 1e-4")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's own default (our choice)")
    batch: int = Field(default=256, ge=2, description="Vectors a step; 3MToken 3.2: 512")
    epochs: int = Field(default=60, ge=1, description="3MToken 3.2: 150")
    seed: int = Field(default=7, description="Seed of weights, starts and batches (our choice)")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Numbers that the matrix products of training are in (our choice)"
    )
    scales_input: bool = Field(
        default=True,
        description="Whether vectors are centred and brought to a mean variance of 1, by one scale so that rare "
        "dimensions stay small: squared errors of unit vectors are lost beside the codebooks' (practice, as GRID)",
    )
    reconstruction: Literal["sum", "mean"] = Field(
        default="sum", description="Squared errors over the dimensions; eq. of section 2.2: sum. Mean can collapse"
    )
    has_kmeans_start: bool = Field(
        default=True, description="Whether codebooks start at k-means of the first residuals (practice)"
    )
    revives_dead_codes: bool = Field(
        default=True, description="Whether codes that nothing chose in an epoch move to vectors (practice)"
    )
    codebook_update: Literal["gradient", "ema"] = Field(
        default="ema", description="eq. of section 2.2: gradient; ema: moving averages (practice)"
    )
    ema_decay: float = Field(default=0.99, gt=0, lt=1, description="Of those averages (van den Oord et al. 2017)")
    gradient_through: Literal["straight_through", "rotation"] = Field(
        default="straight_through", description="How gradients pass codes; rotation: Fifty et al. 2024 (practice)"
    )
    kmeans_k: int = Field(default=1024, ge=1, description="Codes of the K-means beside it; 3MToken 3.3: 1,024")
    vqvae_k: int = Field(default=1024, ge=1, description="Codes of the VQ-VAE beside it; 3MToken 3.3: 1,024")

    @field_validator("sizes", "hidden")
    @classmethod
    def _are_counts(cls, counts: list[int]) -> list[int]:
        if not counts or min(counts) < 1:
            raise ValueError("wanted numbers from 1")
        return counts

    @field_validator("sizes_of")
    @classmethod
    def _are_of_modalities(cls, sizes: dict[str, list[int]]) -> dict[str, list[int]]:
        if not sizes.keys() <= set(M3_MODALITIES) or any(min(counts, default=0) < 1 for counts in sizes.values()):
            raise ValueError(f"wanted numbers from 1 for some of {', '.join(M3_MODALITIES)}")
        return sizes

    def level_sizes(self, modality: str) -> tuple[int, ...]:
        """Codes of each level of a modality."""
        return tuple(self.sizes_of.get(modality, self.sizes))


class M3Tokens(dg.Config):
    """How 3MToken's codes are written and watched. None of it changes what is trained."""

    index_base: int = Field(default=1, ge=0, le=1, description="Number of the first code in a token; 2.2: 1 to K")
    disambiguators: int = Field(
        default=0, ge=0, description="Codes that tell tracks with equal tokens apart; 0: none, as the paper"
    )
    min_use: float = Field(default=0.5, ge=0, le=1, description="Share of level-1 codes in use below which it warns")
    max_collisions: float = Field(
        default=0.05, ge=0, le=1, description="Share of tracks with the tokens of another above which it warns"
    )


class Evaluation(dg.Config):
    """How recommenders are judged."""

    ks: list[int] = Field(default=[5, 10, 20, 50], min_length=1, description="Hit@k; 3MToken Table 1")
    turn_ks: list[int] = Field(default=[1, 10, 100], min_length=1, description="Hit@k of turns; TalkPlay Table 2")
    queries: int = Field(
        default=300, ge=0, description="Most lone queries of warm tracks, and of cold ones (our choice)"
    )
    playlists: int = Field(default=15_000, ge=1, description="Most test playlists of CBR; 3MToken 3.3: 15,000")
    seeds: int = Field(default=100, ge=1, description="Most seed tracks of a playlist (our choice)")
    pairs: int = Field(default=30_000, ge=1, description="Most pairs of test sessions of CBR; 3MToken 3.3: 30,000")
    session_pairs: int = Field(default=20, ge=1, description="Most pairs of one session (our choice)")
    resamples: int = Field(default=1000, ge=1, description="Bootstrap samples of an interval (our choice)")
    seed: int = Field(default=7, description="Seed of the choice of cases and of the bootstrap (our choice)")
