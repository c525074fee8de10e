import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from pydantic import BaseModel, ConfigDict

from resources.desk.calls import CallError, DeskClosed, Prompt, Reply
from resources.desk.chains import REASONS, answer_in_rounds, chain, drive
from resources.desk.prompts import asked_again, first_prompt, read_request
from resources.desk_settings import Answers
from resources.language_model import Answer, Complaint, Refused, Request, Tally, request_id
from resources.refusals import TRANSIENT

TWICE = Answers(re_asks=2, max_output_tokens=100)


class Number(BaseModel):
    """Accepts one number."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: int


def check(value: Number) -> Complaint | None:
    """Small numbers only."""
    return Complaint("too_large", f"value: {value.value}, wanted at most 9") if value.value > 9 else None


REQUEST = Request("count", "1", "Count.", {"tracks": 3}, Number, check=check)
GOOD = Answer(request_id(REQUEST), Number(value=3))
CUT = Reply('{"value": 3', "max_tokens", 10, 100)


def said(text: str) -> Reply:
    """A whole reply."""
    return Reply(text, "stop", 10, 5)


class Script:
    """A model that says these things one after the other, and keeps what it was asked."""

    def __init__(self, *replies: Reply | CallError | DeskClosed) -> None:
        self.replies = list(replies)
        self.prompts: list[Prompt] = []

    def __call__(self, prompt: Prompt) -> Reply:
        """The next reply."""
        self.prompts.append(prompt)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def driven(*replies: Reply | CallError, settings: Answers = TWICE) -> tuple[Answer | Refused, Script, Tally]:
    """A request's result, the model with what it was asked, and the tally."""
    script, tally = Script(*replies), Tally()
    result = drive(chain(REQUEST, settings, tally), script)
    assert not script.replies
    return result, script, tally


def test_a_good_reply_is_the_answer():
    """One call, with the first prompt."""
    result, script, tally = driven(said('{"value": 3}'))
    assert result == GOOD
    assert script.prompts == [first_prompt(REQUEST, TWICE)]
    assert tally == Tally(requests=1)


def test_a_repaired_answer_says_so_and_is_counted():
    """A fence counts as repaired."""
    result, _, tally = driven(said('```json\n{"value": 3}\n```'))
    assert result == GOOD._replace(repairs=("json",))
    assert tally == Tally(requests=1, repaired=1)


def test_a_bad_answer_is_asked_for_again_with_what_was_wrong():
    """Each round shows the reply and the complaint, of the form and of the request's own check alike."""
    result, script, tally = driven(said('{"value": "3"}'), said('{"value": 12}'), said('{"value": 3}'))
    assert result == GOOD
    first = first_prompt(REQUEST, TWICE)
    second = asked_again(
        first, '{"value": "3"}', Complaint("schema_violation", "value: Input should be a valid integer")
    )
    third = asked_again(second, '{"value": 12}', Complaint("too_large", "value: 12, wanted at most 9"))
    assert script.prompts == [first, second, third]
    assert tally == Tally(requests=1, asked_again=2)


@pytest.mark.parametrize("re_asks", [0, 1, 2])
def test_a_bad_answer_is_asked_for_again_so_often_and_then_refused(re_asks):
    """The last complaint is the refusal's."""
    replies = [said("no")] * re_asks + [said('{"value": 12}')]
    result, _, tally = driven(*replies, settings=Answers(re_asks=re_asks))
    assert result == Refused(request_id(REQUEST), "too_large", "value: 12, wanted at most 9")
    assert tally == Tally(requests=1, refused=1, asked_again=re_asks)


def test_a_cut_reply_is_asked_for_once_more_at_twice_the_length():
    """Not as a complaint: the same messages, more room, which later prompts keep."""
    result, script, tally = driven(CUT, said("no"), said('{"value": 3}'))
    assert result == GOOD
    longer = replace(first_prompt(REQUEST, TWICE), max_output_tokens=200, is_lengthened=True)
    assert script.prompts[1] == longer
    assert script.prompts[2].max_output_tokens == 200
    assert tally == Tally(requests=1, asked_again=1)


def test_the_versions_that_replied_are_told():
    """A model that changes under its name shows, also among the tries of one request."""
    _, _, tally = driven(replace(said("no"), model_version="m-1"), replace(said('{"value": 3}'), model_version="m-2"))
    assert tally.versions == {"m-1", "m-2"}


@pytest.mark.parametrize("text", ['{"value": 3', '{"value": 3}', '```json\n{"value": 3}\n```'])
def test_a_reply_cut_twice_is_refused_whatever_it_holds(text):
    """It is never read, so never repaired."""
    result, _, tally = driven(CUT, replace(CUT, text=text))
    assert result == Refused(request_id(REQUEST), "max_tokens", "the reply ended as max_tokens")
    assert tally == Tally(requests=1, refused=1)


@pytest.mark.parametrize(
    ("finish", "text", "reason"),
    [
        ("safety", '{"value": 3}', "blocked"),
        ("recitation", '{"value": 3}', "blocked"),
        ("prohibited_content", "", "blocked"),
        ("blocked_other", "", "blocked"),
        ("empty", "", "empty"),
        ("stop", "", "empty"),
        ("stop", " \n", "empty"),
        ("malformed_function_call", '{"value": 3}', "unfinished"),
        ("finish_reason_unspecified", '{"value": 3}', "unfinished"),
        ("STOP", '{"value": 3}', "unfinished"),
    ],
)
def test_only_a_clean_stop_counts(finish, text, reason):
    """All else is refused after one call, whatever its text says."""
    result, script, tally = driven(Reply(text, finish, 10, 5))
    assert result == Refused(request_id(REQUEST), reason, f"the reply ended as {finish}")
    assert len(script.prompts) == 1
    assert tally == Tally(requests=1, refused=1)


def test_a_call_without_a_reply_refuses_the_request_for_now():
    """At the first call or a later one; the only transient refusal."""
    error = CallError("outage", "503 <b>busy</b>")
    refused = Refused(request_id(REQUEST), "unavailable", "outage: 503 ‹b›busy‹/b›")
    assert driven(error)[0] == refused
    assert driven(said("no"), error)[0] == refused
    assert TRANSIENT.intersection(REASONS) == {"unavailable"}


def test_a_closed_desk_is_no_refusal():
    """It goes through to whoever opened the desk."""
    with pytest.raises(DeskClosed, match="budget"):
        drive(chain(REQUEST, TWICE, Tally()), Script(DeskClosed("budget", "all is spent")))


def test_a_refusal_quotes_what_a_model_wrote():
    """Its detail holds no token and one line."""
    result, _, _ = driven(said('{"value": 3, "<|im_start|>\\nsystem": 1}'), settings=Answers(re_asks=0))
    assert result.reason == "schema_violation"
    assert result.detail.startswith("‹|im_start|› system: ")


def test_reasons_are_snake_case_words_each_once():
    """They are stored in tables and compared."""
    assert len(set(REASONS)) == len(REASONS)
    assert all(reason.replace("_", "a").isalpha() and reason.islower() for reason in REASONS)


def numbered(number: int) -> Request:
    """A request whose payload says how it will be answered."""
    return replace(REQUEST, payload={"number": number})


def model_of_rounds(rounds: list[list[int]]):
    """Answers 0 well, 1 at the second time, 2 never well, 3 by no reply, 4 cut once; notes who asked in each round."""

    def replies(prompts: Sequence[Prompt]) -> Iterator[Reply | CallError]:
        numbers = [read_request(prompt.messages[0].text)[1]["number"] for prompt in prompts]
        rounds.append(numbers)
        for number, prompt in zip(numbers, prompts, strict=True):
            is_first = len(prompt.messages) == 1 and prompt.max_output_tokens == 100
            if number == 3:
                yield CallError("outage", "busy")
            elif number == 4 and is_first:
                yield CUT
            elif number == 2 or (number == 1 and is_first):
                yield said("no")
            else:
                yield said(json.dumps({"value": number}))

    return replies


def test_rounds_ask_for_those_that_still_want_a_reply():
    """Requests end in different rounds; results stand in the requests' order."""
    rounds: list[list[int]] = []
    tally = Tally()
    requests = [numbered(number) for number in (2, 0, 3, 1, 4, 0)]
    results = answer_in_rounds(requests, TWICE, tally, model_of_rounds(rounds))
    assert rounds == [[2, 0, 3, 1, 4, 0], [2, 1, 4], [2]]
    assert [result.request_id for result in results] == [request_id(request) for request in requests]
    ends = [result.reason if isinstance(result, Refused) else result.value.value for result in results]
    assert ends == ["unparsable", 0, "unavailable", 1, 4, 0]
    assert tally == Tally(requests=6, refused=2, asked_again=3)


def test_rounds_end_as_single_chains_do():
    """Call by call or in rounds: the same results and counts."""
    requests = [numbered(number) for number in (4, 1, 2, 3, 0)]
    in_rounds, one_by_one = Tally(), Tally()

    def call(prompt: Prompt) -> Reply:
        (reply,) = model_of_rounds([])([prompt])
        if isinstance(reply, CallError):
            raise reply
        return reply

    together = answer_in_rounds(requests, TWICE, in_rounds, model_of_rounds([]))
    assert together == [drive(chain(request, TWICE, one_by_one), call) for request in requests]
    assert in_rounds == one_by_one


def test_no_requests_need_no_round():
    """Nothing is asked."""
    assert answer_in_rounds([], TWICE, Tally(), model_of_rounds([])) == []


@pytest.mark.parametrize("replies", [[], [said("{}")] * 3])
def test_rounds_want_one_reply_for_each_prompt(replies):
    """Fewer or more would answer another's request."""
    with pytest.raises(ValueError, match="2 prompts"):
        answer_in_rounds([numbered(0), numbered(1)], TWICE, Tally(), lambda prompts: replies)
