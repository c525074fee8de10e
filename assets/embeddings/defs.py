"""What Dagster sees of `embeddings`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import AUDIO_FILES, CAPTIONS, LYRICS, RECORDINGS, TAGS
from assets.embeddings.tables import ITEM2VEC, SONIC_VECTORS, VECTORS
from assets.partitions import TRACK_SHARDS
from assets.sources.tables import PLAYLIST_TRACKS
from assets.work import Part, Work, asset
from resources.providers import text_encoder
from resources.tables import Table

if TYPE_CHECKING:
    from assets.embeddings.vectors import Vectors

PLAYLIST, SEMANTIC, METADATA, WORDS, AUDIO = (
    VECTORS[modality] for modality in ("playlist", "semantic", "metadata", "lyrics", "audio")
)

TEXT_MODELS = ("nv_embed", "sentence_model")
AUDIO_MODELS = ("content", "musicfm", "clap")


@asset(ITEM2VEC, whole=[PLAYLIST_SPLITS, PLAYLIST_TRACKS], kinds={"gensim", "parquet"}, pool="gpu")
def item2vec(work: Work) -> None:
    """Vectors of tracks that playlists hold together, by item2vec (Barkan & Koenigstein 2016).

    Skip-gram with negative sampling over the training playlists only, so that no test playlist leaks into a vector.
    """
    from assets.embeddings.item2vec import fit_item2vec

    for part in work:
        playlists = sql.select("embeddings/training_playlists", part.tables(PLAYLIST_SPLITS, PLAYLIST_TRACKS))
        lists = playlists["track_uris"].to_list()
        settings = work.profile.embeddings
        fitted = fit_item2vec(
            lists,
            dimensions=settings.item2vec_dimensions,
            epochs=settings.item2vec_epochs,
            window=settings.item2vec_window,
            negatives=settings.item2vec_negatives,
            min_appearances=settings.item2vec_min_appearances,
            workers=settings.item2vec_workers,
            seed=settings.item2vec_seed,
        )
        name = f"item2vec {settings.item2vec_dimensions}d window {settings.item2vec_window}"
        track_ids = pl.Series("track_id", fitted.track_ids, dtype=pl.String)
        vectors = pl.DataFrame([track_ids, pl.Series("vector", fitted.vectors_ND)])
        part.write({ITEM2VEC: vectors.with_columns(encoder=pl.lit(name))}, notes={"playlists": len(lists)})


@asset(PLAYLIST, same=[TRACKS], whole=[ITEM2VEC], partitions=TRACK_SHARDS)
def playlist_vectors(work: Work) -> None:
    """The item2vec vector of each track of the shard; null for cold tracks, which no training playlist holds."""
    for part in work:
        if _is_brought_in(work, part, PLAYLIST):
            continue
        vectors = part.read(ITEM2VEC)
        name = vectors["encoder"].first() or "item2vec"
        tracks = part.read(TRACKS, columns=["track_id"])
        frame = tracks.join(vectors.drop("encoder"), on="track_id", how="left").with_columns(encoder=pl.lit(name))
        part.write({PLAYLIST: frame}, notes={"missing": frame["vector"].null_count()})


@asset(SEMANTIC, same=[TRACKS, TAGS, CAPTIONS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def semantic_vectors(work: Work) -> None:
    """What each track's tags and caption say, as a vector by the profile's text encoder."""
    from assets.embeddings.text import semantic_documents

    _read(work, SEMANTIC, lambda part: semantic_documents(part.read(TAGS), part.read(CAPTIONS)))


@asset(METADATA, same=[TRACKS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def metadata_vectors(work: Work) -> None:
    """Title, artist, album and year of each track, as a vector by the profile's text encoder."""
    from assets.embeddings.text import metadata_documents

    _read(work, METADATA, lambda part: metadata_documents(part.read(TRACKS)))


@asset(WORDS, same=[TRACKS, LYRICS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def lyrics_vectors(work: Work) -> None:
    """The lyrics of each track, as a vector by the profile's text encoder; null where there are none."""
    from assets.embeddings.text import lyrics_documents

    _read(work, WORDS, lambda part: lyrics_documents(part.read(LYRICS)))


@asset(AUDIO, same=[TRACKS, AUDIO_FILES, RECORDINGS], partitions=TRACK_SHARDS, sections=AUDIO_MODELS, pool="gpu")
def audio_vectors(work: Work) -> None:
    """The recording of each track, as a vector by the profile's audio encoder; null where there is none."""
    _listen(work, AUDIO, "audio", work.profile.embeddings.audio_encoder)


@asset(
    SONIC_VECTORS, same=[TRACKS, AUDIO_FILES, RECORDINGS], partitions=TRACK_SHARDS, sections=AUDIO_MODELS, pool="gpu"
)
def sonic_vectors(work: Work) -> None:
    """How each track's recording sounds, as a vector by the profile's sonic encoder; null where there is none."""
    _listen(work, SONIC_VECTORS, "sonic", work.profile.embeddings.sonic_encoder)


def _read(work: Work, table: Table, documents: Callable[[Part], pl.DataFrame]) -> None:
    """Writes the vectors of each part's documents, or of the file that was made elsewhere."""
    from assets.embeddings.text import open_reader
    from assets.embeddings.vectors import encoded

    encoder = text_encoder(work.profile)
    with open_reader(profile=work.profile, kept=work.lake.kept, log=work.log.info) as read:
        for part in work:
            if _is_brought_in(work, part, table):
                continue
            part.models(work.profile.embeddings.text_encoder)
            texts = documents(part)
            rows = texts.rename({"text": "input"})
            outcomes = read(texts, part.key)
            _write(
                part, table, encoded(rows, outcomes, table=table, encoder=encoder.name, dimensions=encoder.dimensions)
            )


def _listen(work: Work, table: Table, need: str, kind: str) -> None:
    """Writes the vectors of each part's recordings, or of the file that was made elsewhere."""
    from assets.content.listening import open_ear
    from assets.embeddings.vectors import encoded
    from resources.providers import audio_encoder

    root, encoder = Path(work.raw.root), audio_encoder(kind, work.profile)
    with open_ear(need, root=root, profile=work.profile, kept=work.lake.kept, log=work.log.info) as listen:
        for part in work:
            if _is_brought_in(work, part, table):
                continue
            part.listed(RECORDINGS)
            part.models(kind)
            files = part.read(AUDIO_FILES)
            rows = files.select("track_id", input="track_id")
            outcomes = listen(files, part.key)
            _write(
                part, table, encoded(rows, outcomes, table=table, encoder=encoder.name, dimensions=encoder.dimensions)
            )


def _is_brought_in(work: Work, part: Part, table: Table) -> bool:
    """Whether the folder of published data has vectors for this table; if so, they are written."""
    from assets.embeddings.foreign import brought_in

    file = part.raw(work.raw.vectors(table.name.removesuffix("_vectors")))
    if not file.exists():
        return False
    keys = TRACK_SHARDS.get_partition_keys()
    track_ids = part.read(TRACKS, columns=["track_id"])["track_id"]
    made = brought_in(
        file,
        track_ids,
        shard=keys.index(part.key),
        shards=len(keys),
        version=work.raw.version(file),
        table=table,
    )
    _write(part, table, made)
    return True


def _write(part: Part, table: Table, made: "Vectors") -> None:
    part.write({table: made.vectors}, made.refused, notes={"missing": made.vectors["vector"].null_count()})
