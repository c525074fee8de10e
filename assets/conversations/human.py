"""Conversations of people who look for music (CPCD, Conversational Playlist Curation Dataset), measured by our rules.

They are a yardstick beside which those of a language model are shown. Nobody told these people our rules: a turn that
breaks one is kept, with the rule.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assets.conversations.rules import quotable, turn_complaints
from assets.conversations.tables import HUMAN_TURNS
from resources.refusals import Refusal, refused_frame

REASONS = (
    "broken_json",  # or not UTF-8
    "bad_field",  # missing, or of the wrong type
    "duplicate",  # an id that an earlier line has
)
CONVERSATIONS = "conversations.jsonl"
TRACKS = "tracks.jsonl"

Text = Annotated[str, Field(min_length=1)]


class HumanTurns(NamedTuple):
    """Rows of conversations/human_turns, and the lines that could not be read."""

    turns: pl.DataFrame
    refused: pl.DataFrame


class PublishedLine(BaseModel):
    """What every line of CPCD's files has: its id, under whatever name."""

    model_config = ConfigDict(strict=True)

    id: Text


class _Turn(BaseModel):
    model_config = ConfigDict(strict=True)

    user_query: str
    system_response: str
    liked_results: list[Text]
    disliked_results: list[Text]


class _Conversation(PublishedLine):
    turns: list[_Turn] = Field(min_length=1)


class _Track(PublishedLine):
    id: Text = Field(alias="track_id")
    title: str
    artists: list[str]
    release: str


_AnyLine = TypeVar("_AnyLine", bound=PublishedLine)


def human_turns(folder: Path) -> HumanTurns:
    """The turns of `conversations.jsonl`, with the names of `tracks.jsonl`; no rows where there are no such files.

    Titles of liked tracks count as given away by a query of the same turn.
    """
    refusals: list[Refusal] = []
    tracks = {track.id: track for track in accepted_lines(folder / TRACKS, _Track, refusals)}
    rows = [
        {
            "conversation_id": conversation.id,
            "turn": place,
            "query": turn.user_query,
            "response": turn.system_response,
            "liked": turn.liked_results,
            "disliked": turn.disliked_results,
            "broken": _broken(turn, tracks),
        }
        for conversation in accepted_lines(folder / CONVERSATIONS, _Conversation, refusals)
        for place, turn in enumerate(conversation.turns)
    ]
    frame = pl.DataFrame(rows, schema=HUMAN_TURNS.empty().schema)
    return HumanTurns(HUMAN_TURNS.checked(frame), refused_frame(refusals))


def accepted_lines(path: Path, model: type[_AnyLine], refusals: list[Refusal]) -> Iterator[_AnyLine]:
    """The lines that the model accepts, the first of each id; the others are added to the refusals."""
    source = f"{path.parent.name}/{path.name}"
    seen: set[str] = set()
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.is_file() else [], start=1):
        if not line.strip():
            continue
        try:
            read = model.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            reason = "broken_json" if first["type"] == "json_invalid" else "bad_field"
            detail = ": ".join([".".join(str(step) for step in first["loc"]), first["msg"]]).removeprefix(": ")
            refusals.append(Refusal(source, f"line {number}", reason, detail))
            continue
        if read.id in seen:
            refusals.append(Refusal(source, f"line {number}", "duplicate", read.id))
            continue
        seen.add(read.id)
        yield read


def _broken(turn: _Turn, tracks: dict[str, _Track]) -> str | None:
    liked = [tracks[track_id] for track_id in turn.liked_results if track_id in tracks]
    disliked = [tracks[track_id] for track_id in turn.disliked_results if track_id in tracks]
    names = (name for track in (*liked, *disliked) for name in (track.title, track.release, *track.artists))
    titles = [track.title for track in liked]
    response = turn.system_response if turn.system_response.strip() else None
    complaints = turn_complaints(turn.user_query, response, titles, quotable(names))
    return next((complaint.reason for complaint in complaints), None)
