"""The tables that `conversations` writes."""

import dataframely as dy

from resources.tables import Table, refused_table


class Turns(dy.Schema):
    """One turn: what the listener asked, the track that was recommended, what the assistant said."""

    conversation_id = dy.String(primary_key=True, description="<playlist_id>/<number of the dialogue>")
    turn = dy.Int32(primary_key=True, description="Place in the conversation, from 0")
    playlist_id = dy.Int64(nullable=False, description="The playlist that every recommended track is from")
    query = dy.String(nullable=False, description="What the listener says")
    track_id = dy.String(nullable=False, description="The recommended track")
    response = dy.String(nullable=False, description="What the assistant says")
    modality = dy.String(nullable=False, description="What the query speaks of: audio, lyrics, metadata or semantic")
    is_rejection = dy.Bool(nullable=False, description="Whether the query turns the previous track down")
    split = dy.String(nullable=False, regex="^(train|test)$", description="The playlist's side of the split")


class Statistics(dy.Schema):
    """One split of the conversations, counted as in TalkPlay's Table 1."""

    split = dy.String(primary_key=True, description="train or test")
    playlists = dy.Int64(nullable=False, description="Playlists with a conversation")
    conversations = dy.Int64(nullable=False, description="Conversations")
    tracks = dy.Int64(nullable=False, description="Distinct recommended tracks")
    vocabulary = dy.Int64(nullable=False, description="Distinct words of queries and responses")
    mean_turns = dy.Float64(nullable=True, description="Mean turns of a conversation")
    mean_query_words = dy.Float64(nullable=True, description="Mean words of a query")
    mean_response_words = dy.Float64(nullable=True, description="Mean words of a response")
    rejections = dy.Int64(nullable=False, description="Turns that turn the previous track down")


TURNS = Table("conversations", "turns", Turns)
STATISTICS = Table("conversations", "statistics", Statistics)
REFUSED = refused_table("conversations")
