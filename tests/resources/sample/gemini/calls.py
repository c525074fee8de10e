"""Calls to the sample Gemini server without an SDK, for what the SDKs hide."""

import http.client
import json
from typing import Any, NamedTuple

from pydantic import BaseModel

from resources.desk.prompts import first_prompt
from resources.desk_settings import Answers
from resources.language_model import Request
from resources.sample.gemini.server import GeminiServer

GENERATE = "/v1beta/models/gemini-2.5-flash:generateContent"


class Answered(NamedTuple):
    """What came back."""

    status: int
    body: Any


class Turn(BaseModel):
    """A turn of a conversation."""

    query: str
    track_id: str
    response: str
    modality: str
    is_rejection: bool


class Turns(BaseModel):
    """An answer to the task `conversation`."""

    turns: list[Turn]


def conversation(tracks: int = 3) -> Request:
    """A request of the desk, of tracks t0, t1, ... by one artist."""
    rows: list[Any] = [
        {
            "track_id": f"t{place}",
            "title": f"Green Hill {place}",
            "artist": "The Quiet Larks",
            "album": "Meadows",
            "year": 1990 + place,
            "tags": ["folk", "calm"],
            "tempo_bpm": 90.0,
            "key": "C major",
            "caption": "A calm folk song with a guitar.",
            "lyrics_excerpt": "over the hill and down to the river",
        }
        for place in range(tracks)
    ]
    payload: Any = {"playlist": {"name": "slow days", "description": ""}, "tracks": rows, "turns": tracks}
    ids = tuple(row["track_id"] for row in rows)
    return Request("conversation", "1", "Write a conversation.", payload, Turns, {"track_id": ids})


def conversation_body() -> dict[str, Any]:
    """The same as the REST API wants it."""
    prompt = first_prompt(conversation(), Answers())
    return {
        "systemInstruction": {"parts": [{"text": prompt.instructions}]},
        "contents": [{"role": message.role, "parts": [{"text": message.text}]} for message in prompt.messages],
        "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": prompt.schema},
    }


def saying(text: str, **config: Any) -> dict[str, Any]:
    """A body that says one thing."""
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return {**body, "generationConfig": config} if config else body


def call(
    server: GeminiServer,
    body: Any = None,
    *,
    path: str = GENERATE,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> Answered:
    """One call on a connection of its own; the body is JSON, or bytes where it is not."""
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=10)
    try:
        sent = {"x-goog-api-key": "test-key"} if headers is None else headers
        connection.request(method, path, json.dumps(saying("hello") if body is None else body), sent)
        reply = connection.getresponse()
        content = reply.read()
    finally:
        connection.close()
    try:
        return Answered(reply.status, json.loads(content))
    except ValueError:
        return Answered(reply.status, content)


def text_of(answered: Answered) -> str:
    """What the model wrote."""
    return str(answered.body["candidates"][0]["content"]["parts"][0]["text"])
