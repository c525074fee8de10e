"""What Dagster sees of `shards`."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS
from assets.conversations.tables import TURNS
from assets.making import asset_key
from assets.shards.tables import CONTINUATIONS, CONVERSATIONS, TOKENIZER
from assets.sources.tables import PLAYLIST_TRACKS
from assets.tokens.tables import TALKPLAY_TOKENS
from assets.work import Part, Work, asset
from resources.lake import Lake, Made
from resources.refusals import concat_refused
from resources.tables import Table
from resources.talkplay_settings import MODALITIES

if TYPE_CHECKING:
    from assets.shards.sequences import Built, Split
    from assets.shards.tokenizer import ExpandedTokenizer

LEAST_FILL = 0.995
PACKING_FIGURES = ("rows", "fewest_rows", "sequences", "tokens", "labelled_tokens", "fill")


@asset(TOKENIZER, whole=[TURNS], sections=["tokens"], kinds={"huggingface"})
def tokenizer(work: Work) -> None:
    """The tokenizer of the shards, which `AutoTokenizer.from_pretrained` opens: words, chat roles and music tokens.

    The profile's tokenizer folder is expanded; without one a byte-level BPE is trained on the training conversations.
    """
    from assets.shards.tokenizer import expand_tokenizer, save_tokenizer, train_tokenizer
    from assets.tokens.vocabulary import Vocabulary

    settings, k = work.profile.shards, work.profile.tokens.kmeans_k
    vocabulary = Vocabulary(MODALITIES, (k,) * len(MODALITIES), index_base=settings.index_base)
    for part in work:
        turns = part.read(TURNS, columns=["query", "response", "split"]).filter(pl.col("split") == "train")
        if settings.tokenizer:
            from transformers import AutoTokenizer

            folder = part.outside(str(Path(work.profile.models) / settings.tokenizer))
            words = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        else:
            words = train_tokenizer([*turns["query"], *turns["response"]], vocabulary_size=settings.vocabulary_size)
        expanded = expand_tokenizer(words, vocabulary)

        notes = {"tokens": expanded.size, "music tokens": vocabulary.size, "first music id": expanded.first_id}
        part.write_folder(TOKENIZER, partial(_save, partial(save_tokenizer, expanded), expanded.size), notes=notes)


@asset(CONVERSATIONS, whole=[TURNS, TALKPLAY_TOKENS, TOKENIZER], kinds={"huggingface", "parquet"})
def conversations(work: Work) -> None:
    """Conversations as training rows, none cut: labels on music and response, packed to the context length.

    A share of the training playlists is the validation split, here and in the continuations.
    """
    from assets.shards.draws import with_validation
    from assets.shards.sequences import SPLITS, conversation_sequences
    from assets.shards.tokenizer import load_tokenizer

    settings = work.profile.shards
    for part in work:
        turns, tokens = part.read(TURNS), part.read(TALKPLAY_TOKENS)
        opened = load_tokenizer(part.folder(TOKENIZER))
        turns = with_validation(turns, share=settings.validation_share, seed=settings.seed)
        built = {
            split: conversation_sequences(
                turns, tokens, tokenizer=opened, context_length=settings.context_length, split=split
            )
            for split in SPLITS
        }
        _write(work, part, CONVERSATIONS, built, tokens, opened)


@asset(
    CONTINUATIONS,
    whole=[PLAYLIST_TRACKS, PLAYLIST_SPLITS, TALKPLAY_TOKENS, TOKENIZER],
    kinds={"huggingface", "parquet"},
)
def continuations(work: Work) -> None:
    """Playlists as training rows: the tracks after a random place are to be said, those before it are given."""
    from assets.shards.draws import with_validation
    from assets.shards.sequences import SPLITS, continuation_sequences
    from assets.shards.tokenizer import load_tokenizer

    settings = work.profile.shards
    for part in work:
        positions = sql.select("shards/playlist_positions", part.tables(PLAYLIST_TRACKS, PLAYLIST_SPLITS))
        splits, tokens = part.read(PLAYLIST_SPLITS), part.read(TALKPLAY_TOKENS)
        opened = load_tokenizer(part.folder(TOKENIZER))
        splits = with_validation(splits, share=settings.validation_share, seed=settings.seed)
        built = {
            split: continuation_sequences(
                positions,
                splits,
                tokens,
                tokenizer=opened,
                context_length=settings.context_length,
                seed=settings.seed,
                split=split,
            )
            for split in SPLITS
        }
        _write(work, part, CONTINUATIONS, built, tokens, opened)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "rows_are_full", asset=asset_key(table), description="At least 99.5 % of places hold a token."
        )
        for table in (CONVERSATIONS, CONTINUATIONS)
    ],
    can_subset=True,
)
def rows_are_full(context: dg.AssetCheckExecutionContext, lake: Lake) -> Iterator[dg.AssetCheckResult]:
    """Whether packing wastes no more than it must; small corpora leave their last row open, so it only warns."""
    from assets.shards.writing import read_manifest

    for key in sorted(context.selected_asset_check_keys):
        table = next(table for table in (CONVERSATIONS, CONTINUATIONS) if asset_key(table) == key.asset_key)
        splits = read_manifest(lake.file(table)).splits
        fills = {f"{split} fill": statistics.fill for split, statistics in splits.items() if statistics.rows}
        yield dg.AssetCheckResult(
            check_name=key.name,
            asset_key=key.asset_key,
            passed=all(side.fill >= LEAST_FILL or side.rows == side.fewest_rows for side in splits.values()),
            severity=dg.AssetCheckSeverity.WARN,
            metadata=fills,
        )


def _save(save: Callable[[Path], None], tokens: int, folder: Path) -> Made:
    save(folder)
    return Made(rows=tokens)


def _write(
    work: Work,
    part: Part,
    table: Table,
    built: "Mapping[Split, Built]",
    tokens: pl.DataFrame,
    opened: "ExpandedTokenizer",
) -> None:
    """Packs and commits the splits, with the packing's statistics as notes."""
    from assets.shards.writing import write_shards

    hashes = tokens["codebook_hash"].unique().to_list()
    if len(hashes) > 1:
        raise ValueError(f"tokens of {len(hashes)} codebook versions: materialize tokens/talkplay_tokens first")
    settings = work.profile.shards

    def build(folder: Path) -> Made:
        manifest = write_shards(
            folder,
            kind="conversations" if table is CONVERSATIONS else "continuations",
            built=built,
            tokenizer=opened,
            codebook_hash=hashes[0] if hashes else "",
            context_length=settings.context_length,
            seed=settings.seed,
        )
        notes: dict[str, str | int | float] = {}
        for split, packed in manifest.splits.items():
            figures = {name: getattr(packed, name) for name in PACKING_FIGURES}
            notes |= {f"{split} {name}": figure for name, figure in {**packed.sources, **figures}.items()}
        return Made(rows=sum(packed.rows for packed in manifest.splits.values()), notes=notes)

    part.write_folder(table, build, concat_refused(*(of_split.refused for of_split in built.values())))
