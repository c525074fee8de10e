"""What Dagster sees of `embeddings`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS, SESSION_SPLITS, SESSIONS, TRACKS
from assets.content.tables import AUDIO_FILES, CAPTIONS, LYRICS, RECORDINGS, RHYTHM, TAGS
from assets.embeddings.tables import CO_LISTENING, ITEM2VEC, M3_VECTORS, SONIC_VECTORS, VECTORS
from assets.partitions import TRACK_SHARDS
from assets.sources.tables import ARTIST_FACTS, PLAYLIST_TRACKS, RELEASE_FACTS, TRACK_FACTS
from assets.work import Part, Work, asset
from resources.m3_settings import M3_MODALITIES
from resources.providers import text_encoder
from resources.tables import Table

if TYPE_CHECKING:
    from assets.embeddings.vectors import Vectors

PLAYLIST, SEMANTIC, METADATA, WORDS, AUDIO = (
    VECTORS[modality] for modality in ("playlist", "semantic", "metadata", "lyrics", "audio")
)
AC, BM, ST, _, MC, RI, SF, AB, TC = (M3_VECTORS[modality] for modality in M3_MODALITIES)

TEXT_MODELS = ("nv_embed", "sentence_model")
AUDIO_MODELS = ("content", "musicfm", "clap")


@asset(ITEM2VEC, whole=[PLAYLIST_SPLITS, PLAYLIST_TRACKS], kinds={"gensim", "parquet"}, pool="gpu")
def item2vec(work: Work) -> None:
    """Vectors of tracks that playlists hold together, by item2vec (Barkan & Koenigstein 2016).

    Skip-gram with negative sampling over the training playlists only, so that no test playlist leaks into a vector.
    """
    from assets.embeddings.item2vec import item2vec_rows

    for part in work:
        playlists = sql.select("embeddings/training_playlists", part.tables(PLAYLIST_SPLITS, PLAYLIST_TRACKS))
        lists = playlists["track_uris"].to_list()
        part.write({ITEM2VEC: item2vec_rows(lists, work.profile.embeddings)}, notes={"playlists": len(lists)})


@asset(
    CO_LISTENING,
    whole=[PLAYLIST_SPLITS, PLAYLIST_TRACKS, SESSIONS, SESSION_SPLITS],
    kinds={"gensim", "parquet"},
    pool="gpu",
)
def co_listening(work: Work) -> None:
    """Vectors of tracks that training playlists or training sessions hold together, by item2vec.

    3MToken's is a session-based model of co-listening and co-occurrence (section 2.1); item2vec is our choice of one.
    """
    from assets.embeddings.item2vec import item2vec_rows

    for part in work:
        playlists = sql.select("embeddings/training_playlists", part.tables(PLAYLIST_SPLITS, PLAYLIST_TRACKS))
        sessions = sql.select("embeddings/training_sessions", part.tables(SESSIONS, SESSION_SPLITS))
        lists = [*playlists["track_uris"].to_list(), *sessions["track_ids"].to_list()]
        counts = {"playlists": playlists.height, "sessions": sessions.height}
        part.write({CO_LISTENING: item2vec_rows(lists, work.profile.embeddings)}, notes=counts)


@asset(PLAYLIST, same=[TRACKS], whole=[ITEM2VEC], partitions=TRACK_SHARDS)
def playlist_vectors(work: Work) -> None:
    """The item2vec vector of each track of the shard; null for cold tracks, which no training playlist holds."""
    _look_up(work, PLAYLIST, ITEM2VEC)


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


@asset(AC, same=[TRACKS], whole=[ARTIST_FACTS, TRACK_FACTS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def ac_vectors(work: Work) -> None:
    """AC: the people of each track, as a vector by the profile's text encoder (3MToken); null where none are known.

    The artist's members with their roles, who is featured, and who wrote the track.
    """
    from assets.embeddings.m3_documents import collaboration_documents

    _read(
        work,
        AC,
        lambda part: collaboration_documents(part.read(TRACKS), part.read(ARTIST_FACTS), part.read(TRACK_FACTS)),
    )


@asset(BM, same=[TRACKS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def bm_vectors(work: Work) -> None:
    """BM: title and artist of each track, as a vector by the profile's text encoder (3MToken); none is missing."""
    from assets.embeddings.m3_documents import basic_documents

    _read(work, BM, lambda part: basic_documents(part.read(TRACKS)))


@asset(ST, same=[TRACKS, TAGS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def st_vectors(work: Work) -> None:
    """ST: the semantic tags of each track, as a vector by the profile's text encoder (3MToken); null without tags."""
    from assets.embeddings.m3_documents import tag_documents

    _read(work, ST, lambda part: tag_documents(part.read(TAGS)))


@asset(MC, same=[TRACKS, RHYTHM], partitions=TRACK_SHARDS)
def mc_vectors(work: Work) -> None:
    """MC: the tempo of each track's recording in 220 bins and its key in 25 (3MToken); null where neither is known."""
    from assets.embeddings.m3_features import musical_vectors

    settings = work.profile.embeddings
    for part in work:
        if not _is_brought_in(work, part, MC):
            made = musical_vectors(
                part.read(RHYTHM),
                tempo_bins=settings.tempo_bins,
                slowest_bpm=settings.slowest_bpm,
                tempo_bin_bpm=settings.tempo_bin_bpm,
            )
            _write(part, MC, made)


@asset(RI, same=[TRACKS], whole=[RELEASE_FACTS], partitions=TRACK_SHARDS)
def ri_vectors(work: Work) -> None:
    """RI: when each track was released, by year, month, day and decade in 18 numbers (3MToken); null without a year."""
    from assets.embeddings.m3_features import release_vectors

    for part in work:
        if not _is_brought_in(work, part, RI):
            _write(part, RI, release_vectors(part.read(TRACKS), part.read(RELEASE_FACTS)))


@asset(SF, same=[TRACKS], whole=[TRACK_FACTS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def sf_vectors(work: Work) -> None:
    """SF: what is written about each track, as a vector by the profile's text encoder (3MToken); null if nothing is."""
    from assets.embeddings.m3_documents import fact_documents

    _read(work, SF, lambda part: fact_documents(part.read(TRACKS), part.read(TRACK_FACTS)))


@asset(AB, same=[TRACKS], whole=[ARTIST_FACTS], partitions=TRACK_SHARDS, sections=TEXT_MODELS, pool="gpu")
def ab_vectors(work: Work) -> None:
    """AB: the artist's biography, as a vector by the profile's text encoder (3MToken); null where nothing is known.

    Gender, year of birth or formation, origin, and what is written.
    """
    from assets.embeddings.m3_documents import biography_documents

    _read(work, AB, lambda part: biography_documents(part.read(TRACKS), part.read(ARTIST_FACTS)))


@asset(TC, same=[TRACKS], whole=[CO_LISTENING], partitions=TRACK_SHARDS)
def tc_vectors(work: Work) -> None:
    """TC: what each track is listened to together with (3MToken); null for tracks that no training data hold."""
    _look_up(work, TC, CO_LISTENING)


def _look_up(work: Work, table: Table, fitted: Table) -> None:
    """Writes the vector that each track of a part has in a table of all, or in the file that was made elsewhere."""
    for part in work:
        if _is_brought_in(work, part, table):
            continue
        vectors = part.read(fitted)
        name = vectors["encoder"].first() or "item2vec"
        tracks = part.read(TRACKS, columns=["track_id"])
        frame = tracks.join(vectors.drop("encoder"), on="track_id", how="left").with_columns(encoder=pl.lit(name))
        part.write({table: frame}, notes={"missing": frame["vector"].null_count()})


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
