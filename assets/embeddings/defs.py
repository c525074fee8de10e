"""What Dagster sees of `embeddings`."""

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import AUDIO_FILES, CAPTIONS, LYRICS, RECORDINGS, TAGS
from assets.embeddings.tables import ITEM2VEC, VECTORS
from assets.partitions import TRACK_SHARDS
from assets.sources.tables import PLAYLIST_TRACKS
from assets.work import Part, Work, asset
from resources.tables import Table
from resources.text_encoder import text_encoder

if TYPE_CHECKING:
    from assets.embeddings.text import Encoded

PLAYLIST, SEMANTIC, METADATA, WORDS, AUDIO = (
    VECTORS[modality] for modality in ("playlist", "semantic", "metadata", "lyrics", "audio")
)


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
        vectors = part.read(ITEM2VEC)
        name = vectors["encoder"].first() or "item2vec"
        tracks = part.read(TRACKS, columns=["track_id"])
        frame = tracks.join(vectors.drop("encoder"), on="track_id", how="left").with_columns(encoder=pl.lit(name))
        part.write({PLAYLIST: frame}, notes={"missing": frame["vector"].null_count()})


@asset(SEMANTIC, same=[TAGS, CAPTIONS], partitions=TRACK_SHARDS, kinds={"numpy", "parquet"}, pool="gpu")
def semantic_vectors(work: Work) -> None:
    """What each track's tags and caption say, as a vector by the profile's text encoder."""
    from assets.embeddings.text import encode_documents, semantic_documents

    encoder = text_encoder(work.profile.embeddings)
    for part in work:
        documents = semantic_documents(part.read(TAGS), part.read(CAPTIONS))
        _write(part, SEMANTIC, encode_documents(documents, encoder))


@asset(METADATA, same=[TRACKS], partitions=TRACK_SHARDS, kinds={"numpy", "parquet"}, pool="gpu")
def metadata_vectors(work: Work) -> None:
    """Title, artist, album and year of each track, as a vector by the profile's text encoder."""
    from assets.embeddings.text import encode_documents, metadata_documents

    encoder = text_encoder(work.profile.embeddings)
    for part in work:
        _write(part, METADATA, encode_documents(metadata_documents(part.read(TRACKS)), encoder))


@asset(WORDS, same=[LYRICS], partitions=TRACK_SHARDS, kinds={"numpy", "parquet"}, pool="gpu")
def lyrics_vectors(work: Work) -> None:
    """The lyrics of each track, as a vector by the profile's text encoder; null where there are none."""
    from assets.embeddings.text import encode_documents, lyrics_documents

    encoder = text_encoder(work.profile.embeddings)
    for part in work:
        _write(part, WORDS, encode_documents(lyrics_documents(part.read(LYRICS)), encoder))


@asset(
    AUDIO, same=[AUDIO_FILES, RECORDINGS], partitions=TRACK_SHARDS, sections=["content"], kinds={"librosa"}, pool="gpu"
)
def audio_vectors(work: Work) -> None:
    """The recording of each track, as a vector by the profile's audio encoder; null where there is none."""
    from assets.embeddings.audio import encode_recordings
    from resources.audio_encoder import audio_encoder

    encoder = audio_encoder(work.profile.embeddings)
    for part in work:
        part.listed(RECORDINGS)
        files, max_s = part.read(AUDIO_FILES), work.profile.content.max_audio_s
        encoded = encode_recordings(files, Path(work.raw.root), encoder, max_s=max_s)
        _write(part, AUDIO, encoded)


def _write(part: Part, table: Table, encoded: "Encoded") -> None:
    vectors = encoded.vectors
    part.write({table: vectors}, encoded.refused, notes={"missing": vectors["vector"].null_count()})
