import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from resources.answer_rules import RuleAnswerer
from resources.language_model import (
    Answer,
    LanguageModel,
    Refused,
    Request,
    has_special_token,
    marked,
    request_id,
    validated,
)

TOKENS = [
    "<|playlist-59|>",
    "<start_of_music>",
    "<end_of_music>",
    "</s>",
    "<|im_start|>",
    "<a_12>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "＜|audio-3|＞",
    "<!--",
    "```json",
]


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


NUMBER = Request("count", "1", "Count.", {}, Number)


@pytest.fixture(params=[RuleAnswerer(7)], ids=lambda model: model.name)
def model(request) -> LanguageModel:
    """Every provider of the need; a new one joins this list."""
    return request.param


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
    """A request alone gets the answer that it gets among others."""
    together = list(model.answer([conversation(number) for number in range(4)]))
    assert next(model.answer([conversation(2)])) == together[2]


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


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"value": 3}', 3),
        ('```json\n{"value": 3}\n```', 3),
        ('{"value": "3"}', "schema_violation"),
        ('{"value": 3, "more": 1}', "schema_violation"),
        ("{}", "schema_violation"),
        ('{"value": 3', "unparsable"),
        ('{"value": 3} {"value": 4}', "unparsable"),
        ('Here you are: {"value": 3}', "unparsable"),
        ("", "unparsable"),
        ('{"value": NaN}', "schema_violation"),
    ],
)
def test_only_whole_json_of_the_right_form_is_an_answer(text, wanted):
    """A fence is forgiven; types are not converted, cut or doubled JSON is not repaired."""
    result = validated(NUMBER, "id", text)
    assert (result.value.value if isinstance(result, Answer) else result.reason) == wanted


def test_a_schema_violation_names_the_path():
    """The refusal says which field was wrong."""
    assert validated(NUMBER, "id", '{"value": "3"}').detail.startswith("value: ")


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
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_id_changes_with_every_part_of_a_request(change):
    """Whatever an answer depends on is in the id, the form of the answer too."""
    assert request_id(replace(conversation(0), **change)) != request_id(conversation(0))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=12), st.sampled_from(TOKENS)), max_size=8).map("".join))
def test_marked_text_holds_no_token(text):
    """Whatever comes in, what goes out has no token, no hidden character, one line, and at most the wanted length."""
    out = marked(text, characters=50)
    assert not has_special_token(out)
    assert not re.search(r"[>\n\r\t]|<(?!3)", out)
    assert len(out) <= 50
    assert marked(out, characters=50) == out


@pytest.mark.parametrize("token", TOKENS)
def test_every_canary_is_seen_before_and_gone_after(token):
    """Tokens are recognised in a text, and marking a text breaks them."""
    assert has_special_token(f"play {token} now")
    assert not has_special_token(marked(f"play {token} now"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain title", "plain title"),
        ("  two \n lines\t ", "two lines"),
        ("a\u202eb\u200bc\x00d", "abcd"),
        ("i <3 rock", "i <3 rock"),
        ("<b>loud</b>", "‹b›loud‹/b›"),
        ("Song [LIVE]", "Song (LIVE)"),
        ("Añoranza 🎧", "Añoranza 🎧"),
    ],
)
def test_marking_keeps_what_a_person_reads(text, wanted):
    """Only brackets, hidden characters and line breaks change."""
    assert marked(text) == wanted


def test_plain_language_is_no_token():
    """Hearts, comparisons, quotation marks, emoji and line breaks are allowed in an answer."""
    assert not has_special_token("i <3 this, 3 > 2 “really” 👩‍🎤 [live]\nnext")
