"""The tables that `embeddings` writes: one shape; TalkPlay's five modalities (section 4.1) and 3MToken's nine."""

import dataframely as dy

from resources.tables import Table, refused_table, vector


class Vectors(dy.Schema):
    """The vector of one track."""

    track_id = dy.String(primary_key=True, description="The catalog track")
    vector = vector(description="Embedding, null where the modality is missing; of unit length but for MC and RI")
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


class AcVectors(Vectors):
    """AC, the artist's people and their roles, and who is featured (3MToken); null where none are known."""


class BmVectors(Vectors):
    """BM, title and artist of one track (3MToken)."""


class StVectors(Vectors):
    """ST, the semantic tags of one track: genre, mood, instruments (3MToken); null where there are none."""


class McVectors(Vectors):
    """MC, tempo and key of one track, binned (3MToken); null where neither is known."""


class RiVectors(Vectors):
    """RI, when one track was released, in 18 numbers (3MToken); null where not even the year is known."""


class SfVectors(Vectors):
    """SF, what is written about one track (3MToken); null where nothing is."""


class AbVectors(Vectors):
    """AB, the biography of one track's artist (3MToken); null where none is known."""


class TcVectors(Vectors):
    """TC, what one track is listened to together with (3MToken); null for tracks that no training data hold."""


class Item2vec(Vectors):
    """The item2vec vector of one warm track, as trained on the training playlists."""


class CoListening(Vectors):
    """The vector of one track that training playlists or training sessions hold with others, as trained on both."""


VECTORS = {
    "playlist": Table("embeddings", "playlist_vectors", PlaylistVectors),
    "semantic": Table("embeddings", "semantic_vectors", SemanticVectors),
    "metadata": Table("embeddings", "metadata_vectors", MetadataVectors),
    "lyrics": Table("embeddings", "lyrics_vectors", LyricsVectors),
    "audio": Table("embeddings", "audio_vectors", AudioVectors),
}
SONIC_VECTORS = Table("embeddings", "sonic_vectors", SonicVectors)
M3_VECTORS = {
    "ac": Table("embeddings", "ac_vectors", AcVectors),
    "bm": Table("embeddings", "bm_vectors", BmVectors),
    "st": Table("embeddings", "st_vectors", StVectors),
    "sc": SONIC_VECTORS,
    "mc": Table("embeddings", "mc_vectors", McVectors),
    "ri": Table("embeddings", "ri_vectors", RiVectors),
    "sf": Table("embeddings", "sf_vectors", SfVectors),
    "ab": Table("embeddings", "ab_vectors", AbVectors),
    "tc": Table("embeddings", "tc_vectors", TcVectors),
}
ITEM2VEC = Table("embeddings", "item2vec", Item2vec)
CO_LISTENING = Table("embeddings", "co_listening", CoListening)
REFUSED = refused_table("embeddings")
