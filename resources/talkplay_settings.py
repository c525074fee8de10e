"""The profile's sections on TalkPlay: the model and its training, how it recommends, and which variants there are."""

from typing import Literal, NamedTuple

import dagster as dg
from pydantic import Field, field_validator

MODALITIES = ("playlist", "semantic", "metadata", "lyrics", "audio")  # most important first, TalkPlay 4.4
FULL = "full"
WITHOUT = "without_"
SELF_SIMILARITY = "self_similarity"
SEED = "-seed"


class Variant(NamedTuple):
    """One way to train the model: everything, or without one thing; with a seed of its own or the profile's."""

    has_self_similarity: bool
    without_modality: str
    seed: int | None


def variant_of(name: str) -> Variant:
    """`full`, `without_self_similarity` or `without_<modality>`, each also with `-seed8`. Raises ValueError."""
    what, separator, seed = name.partition(SEED)
    without = what.removeprefix(WITHOUT) if what != FULL else ""
    is_known = what == FULL or (what.startswith(WITHOUT) and without in (SELF_SIMILARITY, *MODALITIES))
    if not is_known or (separator and not seed.isdecimal()):
        raise ValueError(
            f"no variant {name!r}; wanted {FULL}, {WITHOUT}{SELF_SIMILARITY} or {WITHOUT} one of "
            f"{', '.join(MODALITIES)}, and {SEED}8 after it for another seed"
        )
    is_modality = without in MODALITIES
    return Variant(without != SELF_SIMILARITY, without if is_modality else "", int(seed) if separator else None)


class Variants(dg.Config):
    """Which models are trained: a partition each. Adding one trains that one alone."""

    talkplay: list[str] = Field(
        default=[FULL],
        min_length=1,
        description="full, without_self_similarity, without_<modality>; full-seed8: another seed (our choice)",
    )

    @field_validator("talkplay")
    @classmethod
    def _are_known(cls, names: list[str]) -> list[str]:
        for name in names:
            variant_of(name)
        if names[0] != FULL or len(set(names)) < len(names):
            raise ValueError(f"wanted distinct variants, {FULL} first")
        return names


class Talkplay(dg.Config):
    """The language model and its training. TalkPlay's learning rate and lambda are not in its text."""

    model: str = Field(
        default="",
        description="Folder of a causal language model, within `models`, to expand; empty: a small Llama with the "
        "sizes below. TalkPlay 4.2: Llama-3.2-1B-Instruct",
    )
    hidden_size: int = Field(default=256, ge=8, description="Width of the small Llama (our choice)")
    layers: int = Field(default=2, ge=1, description="Its layers (our choice)")
    heads: int = Field(default=4, ge=1, description="Its attention heads (our choice)")
    feed_forward: int = Field(default=768, ge=8, description="Width of its feed-forward layers (our choice)")
    self_similarity: float = Field(default=1.0, ge=0, description="lambda of eq. 2; lost from the text (our choice)")
    playlist_weight: float = Field(default=1.0, ge=0, description="Of the continuations' loss; eq. 1: 1")
    playlist_share: float = Field(
        default=0.5, ge=0, lt=1, description="Share of continuations among a step's rows (our choice)"
    )
    learning_rate: float = Field(default=2e-3, gt=0, description="AdamW; lost from the text (our choice)")
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine", description="What the learning rate does after warm-up; not in the paper (our choice)"
    )
    warmup_steps: int = Field(default=50, ge=0, description="Steps of rising learning rate (our choice)")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW's own default (our choice)")
    clip: float = Field(default=1.0, gt=0, description="Most norm of the gradient (our choice)")
    rows: int = Field(default=2, ge=1, description="Rows a step, of both sources; TalkPlay section 5: 48")
    rows_at_once: int = Field(
        default=2,
        ge=1,
        description="Rows of a forward pass on a device; a step's rest is accumulated (our choice)",
    )
    steps: int = Field(default=2500, ge=1, description="Most steps; TalkPlay section 5: 2.3 million")
    evaluate_every: int = Field(default=100, ge=1, description="Steps between validations (our choice)")
    patience: int = Field(
        default=5, ge=1, description="Validations without a lower loss after which it stops (our choice)"
    )
    checkpoint_every: int = Field(default=250, ge=1, description="Steps between checkpoints (our choice)")
    precision: Literal["float32", "bfloat16"] = Field(
        default="bfloat16", description="Numbers that matrix products are in; weights stay float32 (our choice)"
    )
    word_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of the responses' words that a step learns, drawn anew; eq. 1: all. A small model so learns "
        "the music sooner (our choice)",
    )
    unseen_share: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the tracks in training rows that say they miss the playlist modality, so that tracks no "
        "playlist holds can be said too (our choice; the paper doesn't say how its cold tracks are reached)",
    )
    threads: int = Field(default=2, ge=1, description="CPU threads of training; the weights' last bits depend on it")
    devices: int = Field(default=1, ge=1, description="GPUs, or processes on CPUs, that share a step; TalkPlay: 8")
    seed: int = Field(default=7, description="Seed of new weights and of the rows' order (our choice)")


class Recommending(dg.Config):
    """How the trained model recommends and answers."""

    temperature: float = Field(default=1.0, gt=0, description="Of sampling; TalkPlay 4.4: 1.0")
    top_p: float = Field(default=0.9, gt=0, le=1, description="Of sampling; TalkPlay 4.4: .9")
    beams: int = Field(default=128, ge=1, description="Token sequences that constrained decoding keeps (our choice)")
    scores: Literal["catalog", "vocabulary"] = Field(
        default="catalog",
        description="Whether a token's probability is among those the catalog allows at its place or among all "
        "(our choice)",
    )
    batch: int = Field(default=32, ge=1, description="Conversations that are answered together (our choice)")
    response_tokens: int = Field(default=96, ge=1, description="Most tokens of a response (our choice)")
    seed: int = Field(default=7, description="Seed of sampling and of equal matches (our choice)")
