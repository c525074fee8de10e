"""What Dagster sees of `training`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from assets.making import asset_key
from assets.partitions import TALKPLAY_VARIANTS
from assets.shards.tables import CONTINUATIONS, CONVERSATIONS, TOKENIZER
from assets.tokens.tables import CODEBOOKS
from assets.training.tables import TALKPLAY_CURVES, TALKPLAY_MODEL, has_model
from assets.work import Part, Work, asset
from resources.hashing import sha256_of_file
from resources.lake import Lake, Made
from resources.talkplay_settings import MODALITIES, variant_of

if TYPE_CHECKING:
    from assets.shards.writing import Manifest
    from assets.training.export import Card
    from assets.training.loop import Source, Trained

SOURCES = {"conversations": CONVERSATIONS, "playlists": CONTINUATIONS}


@asset(
    TALKPLAY_MODEL,
    TALKPLAY_CURVES,
    whole=[CONVERSATIONS, CONTINUATIONS, TOKENIZER, CODEBOOKS],
    partitions=TALKPLAY_VARIANTS,
    kinds={"torch", "huggingface"},
    pool="gpu",
    sections=["talkplay", "recommending"],
)
def talkplay_model(work: Work) -> None:
    """TalkPlay's language model: the music tokens in its vocabulary, trained on conversations and playlists.

    Cross-entropy of both and the self-similarity loss (TalkPlay 4.3); the weights of the lowest validation loss. A
    killed run goes on from its last checkpoint. `from_pretrained` opens the folder.
    """
    from assets.shards.tokenizer import load_tokenizer
    from assets.training.agreement import agreed_hash
    from assets.training.curves import plot_curves, write_events
    from assets.training.expansion import open_base
    from assets.training.export import save_model
    from assets.training.loop import train
    from assets.training.losses import blanking
    from assets.training.self_similarity import code_similarities

    settings = work.profile.talkplay
    for part in work:
        sources = _sources(part, work.lake.kept / "rows")
        if not any(len(source.train) for source in sources.values()):
            part.write({TALKPLAY_CURVES: TALKPLAY_CURVES.empty()}, notes={"training rows": 0})
            part.write_folder(TALKPLAY_MODEL, _without_rows)
            continue
        variant = variant_of(part.key)
        seed = settings.seed if variant.seed is None else variant.seed
        tokenizer = load_tokenizer(part.folder(TOKENIZER))
        codebooks = {modality: work.lake.read(CODEBOOKS, modality) for modality in part.partitions(CODEBOOKS)}
        codebooks_hash = agreed_hash(_manifests(part), tokenizer.content_hash, codebooks)
        part.models("talkplay")
        base = Path(work.profile.models) / settings.model if settings.model else None
        opened = open_base(settings, tokenizer, folder=base, seed=seed)
        kept = work.lake.kept / "training" / part.key
        trained = train(
            opened.model,
            sources,
            code_similarities(codebooks, tokenizer, without=variant.without_modality),
            settings,
            seed=seed,
            blank=blanking(tokenizer, variant.without_modality),
            hidden=blanking(tokenizer, MODALITIES[0]),
            first_music_id=tokenizer.first_id,
            has_self_similarity=variant.has_self_similarity,
            kept=kept,
            device=work.profile.workers.device,
            threads=settings.threads,
            log=work.log.info,
        )
        curves = trained.curves.with_columns(variant=pl.lit(part.key))
        write_events(kept / "events", curves)
        figures = {**opened.expansion._asdict(), **_figures(trained)}
        card = _card(work, part, seed, {"tokenizer": tokenizer.content_hash, "codebooks": codebooks_hash}, figures)
        notes = {**figures, "tokens per second": round(trained.tokens_per_s), "losses": _picture(plot_curves(curves))}
        part.write({TALKPLAY_CURVES: curves}, notes=notes)
        save = partial(save_model, model=opened.model, tokenizer=tokenizer, card=card)
        part.write_folder(TALKPLAY_MODEL, partial(_save, save, len(opened.model.state_dict())), notes=notes)


@dg.asset_check(
    asset=asset_key(TALKPLAY_MODEL), description="The model's codebooks are those that the shards were made with."
)
def codebooks_agree(lake: Lake) -> dg.AssetCheckResult:
    """Whether each model, the shards and the tokens name the same codebooks; others would name other tracks."""
    from assets.shards.writing import read_manifest
    from assets.training.export import read_card

    of_shards = {table.path: read_manifest(lake.file(table)).codebook_hash for table in SOURCES.values()}
    of_models = {
        variant: read_card(lake.file(TALKPLAY_MODEL, variant)).codebook_hash
        for variant in TALKPLAY_VARIANTS.get_partition_keys()
        if has_model(lake, variant)
    }
    return dg.AssetCheckResult(
        passed=len({*of_shards.values(), *of_models.values()}) == 1, metadata={**of_shards, **of_models}
    )


def _sources(part: Part, cache: Path) -> "dict[str, Source]":
    from assets.shards.writing import open_rows
    from assets.training.loop import Source

    folders = {name: part.folder(table) for name, table in SOURCES.items()}
    return {
        name: Source(open_rows(folder, "train", cache=cache), open_rows(folder, "validation", cache=cache))
        for name, folder in folders.items()
    }


def _figures(trained: "Trained") -> dict[str, float]:
    best = trained.curves.filter(pl.col("split") == "validation", pl.col("step") == trained.best_step)
    losses = {f"validation {name}": best[name][0] for name in SOURCES if best.height and best[name][0] is not None}
    return {"steps": trained.steps, "best step": trained.best_step, **losses}


def _manifests(part: Part) -> "list[Manifest]":
    from assets.shards.writing import read_manifest

    return [read_manifest(part.folder(table)) for table in SOURCES.values()]


def _card(work: Work, part: Part, seed: int, hashes: dict[str, str], figures: dict[str, float]) -> "Card":
    from assets.shards.writing import MANIFEST
    from assets.training.export import Card

    manifests = {table.path: sha256_of_file(part.folder(table) / MANIFEST) for table in SOURCES.values()}
    settings = work.profile.talkplay
    return Card(
        variant=part.key,
        codebook_hash=hashes["codebooks"],
        data={**manifests, "tokenizer": hashes["tokenizer"]},
        settings={**settings.model_dump(), "seed": seed},
        figures=figures,
        base=settings.model,
        recommending=work.profile.recommending,
    )


def _without_rows(folder: Path) -> Made:
    (folder / "README.md").write_text("No model: there are no training rows. Bring playlists, and fill again.\n")
    return Made(rows=0)


def _save(save: "partial[None]", tensors: int, folder: Path) -> Made:
    save(folder)
    return Made(rows=tensors)


def _picture(png: bytes) -> str:
    from assets.tokens.pictures import markdown_of

    return markdown_of(png, title="losses by step")
