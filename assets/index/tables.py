"""The tables that `index` writes: LanceDB folders."""

import dataframely as dy

from assets.tokens.tables import M3Tokens, TalkplayTokens
from resources.tables import Table, vector


class TokenIndex(TalkplayTokens):
    """One track with its five codes and its vectors; the codebooks' hash is in the table's metadata."""

    playlist_vector = vector(description="Playlist co-occurrence vector")
    semantic_vector = vector(description="Vector of tags and caption")
    metadata_vector = vector(description="Vector of title, artist, album and year")
    lyrics_vector = vector(description="Vector of the lyrics")
    audio_vector = vector(description="Vector of the recording")


class M3Index(M3Tokens):
    """One track, each code of a list in a column of its own: ac1, ac2, ... tc3; the codebooks' hash is in the metadata.

    So a person filters by level, and a bitmap index serves each column; the number of levels is the profile's. No
    vectors: nine a track are terabytes in the paper's catalog, and nothing that matches tokens reads them.
    """

    number = dy.Int32(
        nullable=False, min=0, description="Its place among tracks of equal codes, if m3_tokens.disambiguators"
    )


TOKEN_INDEX = Table("index", "token_index.lance", TokenIndex, form="folder")
M3_INDEX = Table("index", "m3_index.lance", M3Index, form="folder")
