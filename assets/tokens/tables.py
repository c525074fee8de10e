"""The tables that `tokens` writes."""

import dataframely as dy

from resources.tables import Table, vector


class Codebooks(dy.Schema):
    """One code of one codebook."""

    scheme = dy.String(primary_key=True, description="How it was fitted: kmeans")
    modality = dy.String(primary_key=True, description="The modality it quantizes")
    level = dy.Int32(primary_key=True, description="Level of a residual scheme; 0 for K-means")
    code = dy.Int32(primary_key=True, description="The code, from 0")
    vector = vector(description="Centroid, in the space of the modality's vectors")
    tracks = dy.Int64(nullable=False, description="Tracks that have this code")
    codebook_hash = dy.String(nullable=False, description="SHA-256 of the modality's centroids")


class TalkplayTokens(dy.Schema):
    """The five codes of one track, most important modality first."""

    track_id = dy.String(primary_key=True, description="The catalog track")
    playlist = dy.Int32(nullable=False, min=0, description="Code of the playlist vector")
    semantic = dy.Int32(nullable=False, min=0, description="Code of the semantic vector")
    metadata = dy.Int32(nullable=False, min=0, description="Code of the metadata vector")
    lyrics = dy.Int32(nullable=False, min=0, description="Code of the lyrics vector")
    audio = dy.Int32(nullable=False, min=0, description="Code of the audio vector")
    codebook_hash = dy.String(nullable=False, description="SHA-256 over the five codebooks' hashes")


CODEBOOKS = Table("tokens", "codebooks", Codebooks)
TALKPLAY_TOKENS = Table("tokens", "talkplay_tokens", TalkplayTokens)
