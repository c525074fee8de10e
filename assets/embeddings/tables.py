"""The tables that `embeddings` writes: one shape, five modalities (TalkPlay section 4.1)."""

import dataframely as dy

from resources.tables import Table, refused_table, vector

MODALITIES = ("playlist", "semantic", "metadata", "lyrics", "audio")  # most important first, TalkPlay section 4.4


class Vectors(dy.Schema):
    """The vector of one track."""

    track_id = dy.String(primary_key=True, description="The catalog track")
    vector = vector(description="Unit-length embedding; null where the modality is missing")
    encoder = dy.String(nullable=False, description="The provider and its settings")


class PlaylistVectors(Vectors):
    """The playlist co-occurrence vector of one track; null for cold tracks."""


class SemanticVectors(Vectors):
    """The vector of one track's tags and caption."""


class MetadataVectors(Vectors):
    """The vector of one track's title, artist, album and year."""


class LyricsVectors(Vectors):
    """The vector of one track's lyrics."""


class AudioVectors(Vectors):
    """The vector of one track's recording."""


class SonicVectors(Vectors):
    """The vector of how one track's recording sounds, for 3MToken's sonic characteristics."""


class Item2vec(Vectors):
    """The item2vec vector of one warm track, as trained on the training playlists."""


VECTORS = {
    "playlist": Table("embeddings", "playlist_vectors", PlaylistVectors),
    "semantic": Table("embeddings", "semantic_vectors", SemanticVectors),
    "metadata": Table("embeddings", "metadata_vectors", MetadataVectors),
    "lyrics": Table("embeddings", "lyrics_vectors", LyricsVectors),
    "audio": Table("embeddings", "audio_vectors", AudioVectors),
}
SONIC_VECTORS = Table("embeddings", "sonic_vectors", SonicVectors)
ITEM2VEC = Table("embeddings", "item2vec", Item2vec)
REFUSED = refused_table("embeddings")
