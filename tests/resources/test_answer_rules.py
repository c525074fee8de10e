import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic import BaseModel, ConfigDict

from resources.answer_rules import RULES, RuleAnswerer, answer_text
from resources.language_model import Answer, Refused, Request, Tally, request_id

TRACK = {
    "track_id": "t",
    "title": "Golden Ship",
    "artist": "The Weavers of Dawn",
    "year": 1987,
    "tags": ["folk", "calm", "banjo", "british", "acoustic"],
    "tempo_bpm": 92.4,
    "key": "F# minor",
    "lyrics_excerpt": "the lantern on the river and the copper morning that we love / you and the river",
}
PAYLOADS = {
    "conversation": {"playlist": {"name": "mix"}, "tracks": [TRACK], "turns": 1},
    "mgphot": {"track": TRACK, "attributes": ["piano", "tempo"], "reading": 1},
    "query": {"track": TRACK, "queries": 4},
    "relevance": {"query": "play some folk"},
}


class Anything(BaseModel):
    """Accepts every answer."""

    model_config = ConfigDict(extra="allow")


class Rating(BaseModel):
    """What the task `mgphot` wants of two attributes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    piano: int | None
    tempo: int | None


def request(task: str) -> Request:
    """A request of one task."""
    return Request(task, "1", "Do it.", PAYLOADS[task], Anything)


def test_there_are_rules_for_four_tasks():
    """Conversations, ratings, queries and relevance."""
    assert set(RULES) == set(PAYLOADS)


@pytest.mark.parametrize("task", PAYLOADS)
def test_an_answer_is_what_the_rules_say_to_the_request(task):
    """The checked answer is `answer_text` of payload, seed and request id, and nothing had to be repaired."""
    asked = request(task)
    text = answer_text(task, asked.payload, seed=7, identity=request_id(asked))
    (result,) = RuleAnswerer(7).answer([asked])
    assert isinstance(result, Answer)
    assert (result.request_id, result.repairs) == (request_id(asked), ())
    assert result.value.model_dump() == json.loads(text)


def test_an_answer_is_checked_like_any_other():
    """Ratings fit a strict model of integers or null; what does not fit the model is refused, and asked for once."""
    model = RuleAnswerer(7)
    rated, misfit = replace(request("mgphot"), response_model=Rating), replace(request("query"), response_model=Rating)
    results = list(model.answer([rated, misfit]))
    assert results[0].value == Rating(piano=None, tempo=2)
    assert results[1].reason == "schema_violation"
    assert model.tally == Tally(requests=2, refused=1, calls=2)


def test_seed_and_identity_decide_the_words():
    """The same seed and identity give the same text; another of either gives another."""
    texts = [
        answer_text("query", PAYLOADS["query"], seed=seed, identity=identity)
        for seed, identity in [(7, "a"), (7, "a"), (8, "a"), (7, "b")]
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_answers_do_not_depend_on_the_hash_seed():
    """Two processes with different PYTHONHASHSEED write the same answers to every task."""
    code = (
        "import json, sys\n"
        "from resources.answer_rules import answer_text\n"
        "for task, payload in json.loads(sys.argv[1]).items():\n"
        "    print(*[answer_text(task, payload, seed=7, identity=str(n)) for n in range(5)])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, json.dumps(PAYLOADS)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "query" in outputs.pop()


def test_a_task_without_rules_is_unknown():
    """It is refused, the others beside it are not; asked for directly it is a LookupError that names the tasks."""
    model = RuleAnswerer(7)
    results = list(model.answer([replace(request("query"), task="paint"), request("query")]))
    assert isinstance(results[0], Refused)
    assert results[0].reason == "unknown_task"
    assert isinstance(results[1], Answer)
    assert model.tally == Tally(requests=2, refused=1, calls=1)
    with pytest.raises(LookupError, match="paint: wanted one of conversation, "):
        answer_text("paint", {}, seed=7, identity="a")


@pytest.mark.parametrize(
    ("task", "payload", "field"),
    [
        ("conversation", {"playlist": {"name": "mix"}, "tracks": [], "turns": 1}, "tracks"),
        ("mgphot", {"track": {"title": "T"}, "attributes": ["piano"]}, r"track\.artist"),
        ("mgphot", {"track": TRACK, "attributes": []}, "attributes"),
        ("query", {"track": TRACK, "queries": 0}, "queries"),
        ("relevance", {}, "query"),
    ],
)
def test_a_payload_that_can_not_be_read_is_refused(task, payload, field):
    """The refusal names the task and the field; asked for directly it is a ValueError."""
    (result,) = RuleAnswerer(7).answer([replace(request(task), payload=payload)])
    assert isinstance(result, Refused)
    assert result.reason == "bad_payload"
    with pytest.raises(ValueError, match=f"{task}: {field}: "):
        answer_text(task, payload, seed=7, identity="a")


def test_the_tally_is_of_the_last_answer():
    """A second `answer` counts from the start; nothing ever costs anything."""
    model = RuleAnswerer(7)
    assert len(list(model.answer([request("query"), request("relevance")]))) == 2
    assert len(list(model.answer([request("query")]))) == 1
    assert model.tally.notes() == {"requests": 1, "calls_to_the_model": 1, "cost_usd": 0.0}


def test_the_name_tells_grammar_and_seed():
    """Two answerers that may differ in their answers differ in name."""
    assert RuleAnswerer(7).name != RuleAnswerer(8).name
    assert replace(RuleAnswerer(7), seed=8) == RuleAnswerer(8)
