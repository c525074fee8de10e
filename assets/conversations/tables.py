"""The tables that `conversations` writes."""

import dataframely as dy

from resources.tables import Table, refused_table


class Turns(dy.Schema):
    """One turn: what the listener asked, the track that was recommended, what the assistant said."""

    conversation_id = dy.String(primary_key=True, description="playlist_id/number of the dialogue")
    turn = dy.Int32(primary_key=True, description="Place in the conversation, from 0")
    playlist_id = dy.Int64(nullable=False, description="The playlist that every recommended track is from")
    query = dy.String(nullable=False, description="What the listener says")
    track_id = dy.String(nullable=False, description="The recommended track")
    response = dy.String(nullable=False, description="What the assistant says")
    modality = dy.String(nullable=False, description="What the query speaks of: audio, lyrics, metadata or semantic")
    is_rejection = dy.Bool(nullable=False, description="Whether the query turns the previous track down")
    split = dy.String(nullable=False, regex="^(train|test)$", description="The playlist's side of the split")
    is_repaired = dy.Bool(nullable=False, description="Whether the answer had to be repaired to be read")


class HumanTurns(dy.Schema):
    """One turn between two people who make a playlist (CPCD)."""

    conversation_id = dy.String(primary_key=True, description="The conversation, as published")
    turn = dy.Int32(primary_key=True, description="Place in the conversation, from 0")
    query = dy.String(nullable=False, description="What the one who looks for music says")
    response = dy.String(nullable=False, description="What the other says; may be empty")
    liked = dy.List(dy.String(), nullable=False, description="Tracks shown in the turn that were liked, as published")
    disliked = dy.List(dy.String(), nullable=False, description="Tracks shown in the turn that were disliked")
    broken = dy.String(nullable=True, description="The first rule for a turn's texts that it breaks; null: none")


class Statistics(dy.Schema):
    """One split of the conversations, or those of people, counted as in TalkPlay's Table 1."""

    split = dy.String(primary_key=True, description="train, test, or human: conversations/human_turns")
    playlists = dy.Int64(nullable=False, description="Playlists with a conversation")
    conversations = dy.Int64(nullable=False, description="Conversations")
    tracks = dy.Int64(nullable=False, description="Distinct recommended tracks; human: liked or disliked ones")
    vocabulary = dy.Int64(nullable=False, description="Distinct words of queries and responses")
    mean_turns = dy.Float64(nullable=True, description="Mean turns of a conversation")
    mean_query_words = dy.Float64(nullable=True, description="Mean words of a query")
    mean_response_words = dy.Float64(nullable=True, description="Mean words of a response")
    rejections = dy.Int64(
        nullable=False, description="Turns that turn the previous track down; human: in which a track is disliked"
    )
    broken_share = dy.Float64(
        nullable=True,
        description="Share of turns that break a rule; 0 for train and test, where they are refused. An empty response "
        "of people is no text and breaks none",
    )


class Queries(dy.Schema):
    """One query that one track answers."""

    query_id = dy.String(primary_key=True, description="track_id/number of the query")
    track_id = dy.String(nullable=False, description="The track")
    query = dy.String(nullable=False, description="What a listener says")
    modality = dy.String(
        nullable=False, regex="^(AC|BM|ST|SC|MC|RI|SF|AB|TC)$", description="What it mainly speaks of (3MToken)"
    )


class Relevance(dy.Schema):
    """How much each of 3MToken's modalities matters for one query, 0 to 10."""

    query_id = dy.String(primary_key=True, description="The query, of conversations/queries")
    ac = dy.Int8(nullable=False, min=0, max=10, description="Artist roles and collaborations")
    bm = dy.Int8(nullable=False, min=0, max=10, description="Title and artist")
    st = dy.Int8(nullable=False, min=0, max=10, description="Genre, mood and theme")
    sc = dy.Int8(nullable=False, min=0, max=10, description="How it sounds")
    mc = dy.Int8(nullable=False, min=0, max=10, description="Tempo and key")
    ri = dy.Int8(nullable=False, min=0, max=10, description="Release date")
    sf = dy.Int8(nullable=False, min=0, max=10, description="Facts about the track")
    ab = dy.Int8(nullable=False, min=0, max=10, description="The artist's biography")
    tc = dy.Int8(nullable=False, min=0, max=10, description="What it is listened to together with")


TURNS = Table("conversations", "turns", Turns)
HUMAN_TURNS = Table("conversations", "human_turns", HumanTurns)
STATISTICS = Table("conversations", "statistics", Statistics)
QUERIES = Table("conversations", "queries", Queries)
RELEVANCE = Table("conversations", "relevance", Relevance)
REFUSED = refused_table("conversations")
