from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from pydantic import BaseModel, ConfigDict

from resources.answer_rules import RuleAnswerer
from resources.language_model import (
    Answer,
    Complaint,
    LanguageModel,
    Refused,
    Request,
    Tally,
    request_id,
    response_schema,
)


class Any(BaseModel):
    """Accepts every answer."""

    model_config = ConfigDict(extra="allow")


class Number(BaseModel):
    """Accepts one number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: int


def conversation(dialogue: int) -> Request:
    """A request that every provider can answer."""
    tracks = [{"track_id": f"t{n}", "title": f"Golden Ship {n}", "artist": "The Weavers of Dawn"} for n in range(3)]
    payload = {"playlist": {"name": "mix"}, "tracks": tracks, "turns": 3, "dialogue": dialogue}
    return Request("conversation", "1", "Talk.", payload, Any)


@pytest.fixture(params=[RuleAnswerer], ids=lambda provider: provider.__name__)
def model(request) -> LanguageModel:
    """Every provider that needs neither a server nor weights; the others are held to this by tests of their own."""
    return request.param(7)


def test_one_result_for_each_request_in_order(model):
    """Results carry the ids of the requests in the requests' order, refusals at their place."""
    requests = [conversation(0), replace(conversation(1), task="paint"), conversation(2), conversation(0)]
    results = list(model.answer(requests))
    assert [result.request_id for result in results] == [request_id(request) for request in requests]
    assert [type(result) for result in results] == [Answer, Refused, Answer, Answer]
    assert results[1].reason == "unknown_task"


def test_no_requests_no_results(model):
    """An empty batch is answered with nothing."""
    assert list(model.answer([])) == []


def test_an_answer_does_not_depend_on_its_batch(model):
    """A request alone, in a part of another name, gets the answer that it gets among others."""
    together = list(model.answer([conversation(number) for number in range(4)]))
    assert next(model.answer([conversation(2)], part="slice-7")) == together[2]


def test_a_payload_that_the_task_cannot_use_is_refused(model):
    """A conversation about no tracks is refused, and names the field."""
    request = replace(conversation(0), payload={"playlist": {"name": "mix"}, "tracks": [], "turns": 3})
    (result,) = model.answer([request])
    assert isinstance(result, Refused)
    assert result.reason == "bad_payload"
    assert "tracks" in result.detail


def test_an_answer_outside_the_response_model_is_refused(model):
    """What a model writes counts only if it fits the request's own response model."""
    (result,) = model.answer([replace(conversation(0), response_model=Number)])
    assert isinstance(result, Refused)
    assert result.reason == "schema_violation"


def test_an_answer_that_breaks_the_requests_own_rule_is_refused(model):
    """The request's check speaks last, and its reason is the refusal's."""
    request = replace(conversation(0), check=lambda value: Complaint("too_dull", "turn 0"))
    (result,) = model.answer([request])
    assert result == Refused(request_id(request), "too_dull", "turn 0")


def test_the_tally_is_of_the_last_answer(model):
    """Requests and refusals are counted, anew each time."""
    list(model.answer([conversation(0), conversation(1)]))
    list(model.answer([conversation(0), replace(conversation(1), task="paint"), conversation(2)]))
    assert (model.tally.requests, model.tally.refused) == (3, 1)


def test_rules_answer_as_a_stream():
    """Results come one by one: the first is there before the second request is looked at."""

    class Endless(Sequence):
        def __len__(self) -> int:
            return 1 << 40

        def __getitem__(self, place):
            return conversation(place)

    results = RuleAnswerer(7).answer(Endless())
    assert isinstance(results, Iterator)
    assert isinstance(next(results), Answer)


def test_equal_requests_have_equal_ids():
    """The order of keys does not count: the id hashes canonical JSON."""
    payload = conversation(0).payload
    turned = dict(reversed(list(payload.items())))
    assert request_id(replace(conversation(0), payload=turned)) == request_id(conversation(0))


@pytest.mark.parametrize(
    "change",
    [
        {"task": "tags"},
        {"prompt_version": "2"},
        {"instructions": "Sing."},
        {"payload": {"dialogue": 1}},
        {"response_model": Number},
        {"closed": {"track_id": ("t1",)}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_id_changes_with_every_part_of_a_request(change):
    """Whatever an answer depends on is in the id, the form of the answer too."""
    assert request_id(replace(conversation(0), **change)) != request_id(conversation(0))


def test_the_order_of_a_closed_set_is_in_the_id():
    """A closed set becomes an enum, and a model reads it in order."""
    one, other = ({"track_id": ids} for ids in (("t1", "t2"), ("t2", "t1")))
    assert request_id(replace(conversation(0), closed=one)) != request_id(replace(conversation(0), closed=other))


def test_the_schema_of_an_answer_names_its_fields():
    """It is pydantic's own."""
    assert response_schema(Number)["properties"] == {"value": {"type": "integer"}}


def test_notes_show_what_is_not_zero_and_what_it_cost():
    """Requests and dollars always, the rest only where there is something to say."""
    assert Tally(requests=2, calls=3, usd=0.25).notes() == {"requests": 2, "calls_to_the_model": 3, "cost_usd": 0.25}
    assert Tally().notes() == {"requests": 0, "cost_usd": 0.0}
    assert Tally(versions={"m-002", "m-001"}).notes()["model_versions"] == "m-001, m-002"
