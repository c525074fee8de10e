"""The forms that answers must have: what `prompts/` asks for, as models that accept nothing else."""

from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

# 3MToken's nine, in the order of its tokens.
QueryModality = Literal["AC", "BM", "ST", "SC", "MC", "RI", "SF", "AB", "TC"]
Relevance = Annotated[int, Field(ge=0, le=10)]


class _Answered(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AnsweredTurn(_Answered):
    """One turn of a conversation."""

    query: str
    track_id: str
    response: str
    modality: Literal["audio", "lyrics", "metadata", "semantic"]
    is_rejection: bool


class AnsweredConversation(_Answered):
    """One conversation."""

    turns: list[AnsweredTurn] = Field(min_length=1)


class AnsweredQuery(_Answered):
    """One query that a track answers, and the side of the track that it speaks of."""

    query: str
    modality: QueryModality


class AnsweredQueries(_Answered):
    """The queries of one track."""

    queries: list[AnsweredQuery] = Field(min_length=1)


class AnsweredRelevance(_Answered):
    """How much each modality matters for one query, 0 to 10."""

    AC: Relevance
    BM: Relevance
    ST: Relevance
    SC: Relevance
    MC: Relevance
    RI: Relevance
    SF: Relevance
    AB: Relevance
    TC: Relevance


@cache
def conversation_of(turns: int) -> type[AnsweredConversation]:
    """A conversation of exactly so many turns."""
    counted = Annotated[list[AnsweredTurn], Field(min_length=turns, max_length=turns)]
    return create_model("AnsweredConversation", __base__=AnsweredConversation, turns=(counted, ...))


@cache
def queries_of(queries: int) -> type[AnsweredQueries]:
    """Exactly so many queries."""
    counted = Annotated[list[AnsweredQuery], Field(min_length=queries, max_length=queries)]
    return create_model("AnsweredQueries", __base__=AnsweredQueries, queries=(counted, ...))
