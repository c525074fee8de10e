"""The table that `index` writes: a LanceDB folder."""

from assets.tokens.tables import TalkplayTokens
from resources.tables import Table, vector


class TokenIndex(TalkplayTokens):
    """One track with its five codes and its vectors; the codebooks' hash is in the table's metadata."""

    playlist_vector = vector(description="Playlist co-occurrence vector")
    semantic_vector = vector(description="Vector of tags and caption")
    metadata_vector = vector(description="Vector of title, artist, album and year")
    lyrics_vector = vector(description="Vector of the lyrics")
    audio_vector = vector(description="Vector of the recording")


TOKEN_INDEX = Table("index", "token_index.lance", TokenIndex, form="folder")
