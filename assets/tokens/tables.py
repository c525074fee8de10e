"""The tables that `tokens` writes."""

import dataframely as dy

from resources.tables import Table, vector


class Codebooks(dy.Schema):
    """One code of one codebook."""

    scheme = dy.String(primary_key=True, description="How it was fitted: kmeans, rqvae or vqvae")
    modality = dy.String(primary_key=True, description="The modality it quantizes")
    level = dy.Int32(primary_key=True, description="Level of a residual scheme, from 1; 0 for K-means")
    code = dy.Int32(primary_key=True, description="The code, from 0")
    vector = vector(description="Centroid: of the vectors, or of an encoder's latents")
    tracks = dy.Int64(nullable=False, description="Tracks that have this code")
    codebook_hash = dy.String(nullable=False, description="SHA-256 of the modality's centroids and encoder")


class TalkplayTokens(dy.Schema):
    """The five codes of one track, most important modality first."""

    track_id = dy.String(primary_key=True, description="The catalog track")
    playlist = dy.Int32(nullable=False, min=0, description="Code of the playlist vector")
    semantic = dy.Int32(nullable=False, min=0, description="Code of the semantic vector")
    metadata = dy.Int32(nullable=False, min=0, description="Code of the metadata vector")
    lyrics = dy.Int32(nullable=False, min=0, description="Code of the lyrics vector")
    audio = dy.Int32(nullable=False, min=0, description="Code of the audio vector")
    codebook_hash = dy.String(nullable=False, description="SHA-256 over the five codebooks' hashes")


class Encoders(dy.Schema):
    """The trained autoencoder and codebooks of one modality."""

    scheme = dy.String(primary_key=True, description="rqvae or vqvae")
    modality = dy.String(primary_key=True, description="The modality it encodes")
    sizes = dy.List(dy.Int32(nullable=False), nullable=False, description="Codes of each level")
    weights = dy.Binary(
        nullable=False, description="Safetensors: encoder, decoder, codebooks; widths and sizes as metadata"
    )
    codebook_hash = dy.String(nullable=False, description="SHA-256 of the weights and of the sizes asked for")


class Losses(dy.Schema):
    """The training of one modality's autoencoder in one epoch; means over the epoch's vectors."""

    scheme = dy.String(primary_key=True, description="rqvae or vqvae")
    modality = dy.String(primary_key=True, description="The modality")
    epoch = dy.Int32(primary_key=True, min=1, description="The epoch, from 1")
    reconstruction = dy.Float64(
        nullable=False,
        description="Squared error of the reconstruction, summed over dimensions, scaled as the encoder's input",
    )
    codebook = dy.Float64(nullable=False, description="Squared distance of residuals to codes, summed over levels")
    commitment = dy.Float64(nullable=False, description="The same times beta, which moves the encoder")
    revived = dy.Int64(nullable=False, description="Dead codes that were moved after the epoch")


def _of_m3(description: str) -> dy.Column:
    return dy.List(
        dy.Int32(nullable=False, min=0), nullable=False, description=f"Codes of {description}, level 1 first"
    )


class M3Tokens(dy.Schema):
    """The codes of one track in nine modalities; a missing modality has one past the last code at every level."""

    track_id = dy.String(primary_key=True, description="The catalog track")
    ac = _of_m3("the artist's roles and collaborations")
    bm = _of_m3("title and artist")
    st = _of_m3("the semantic tags")
    sc = _of_m3("how it sounds")
    mc = _of_m3("tempo and key")
    ri = _of_m3("its release")
    sf = _of_m3("facts about it")
    ab = _of_m3("the artist's biography")
    tc = _of_m3("what it is listened to together with")
    codebook_hash = dy.String(nullable=False, description="SHA-256 over the nine codebooks' hashes")


class M3Baselines(M3Tokens):
    """The codes of one track by a tokenizer that 3MToken is compared with, one level each."""

    scheme = dy.String(primary_key=True, description="kmeans or vqvae")


class M3Collisions(dy.Schema):
    """One track that has exactly the tokens of another."""

    track_id = dy.String(primary_key=True, description="The catalog track")
    number = dy.Int32(nullable=False, min=0, description="Its place among the tracks of these tokens, by id, from 0")
    tracks = dy.Int32(nullable=False, min=2, description="Tracks with these tokens")
    codebook_hash = dy.String(nullable=False, description="SHA-256 over the nine codebooks' hashes")


CODEBOOKS = Table("tokens", "codebooks", Codebooks)
TALKPLAY_TOKENS = Table("tokens", "talkplay_tokens", TalkplayTokens)
M3_CODEBOOKS = Table("tokens", "m3_codebooks", Codebooks)
M3_ENCODERS = Table("tokens", "m3_encoders", Encoders)
M3_LOSSES = Table("tokens", "m3_losses", Losses)
VQVAE_CODEBOOKS = Table("tokens", "vqvae_codebooks", Codebooks)
VQVAE_ENCODERS = Table("tokens", "vqvae_encoders", Encoders)
VQVAE_LOSSES = Table("tokens", "vqvae_losses", Losses)
KMEANS_CODEBOOKS = Table("tokens", "m3_kmeans_codebooks", Codebooks)
M3_TOKENS = Table("tokens", "m3_tokens", M3Tokens)
M3_BASELINES = Table("tokens", "m3_baselines", M3Baselines)
M3_COLLISIONS = Table("tokens", "m3_collisions", M3Collisions)
