"""Bodies of the Gemini service, and what they mean."""

import json
from typing import Any

import pytest

from resources.desk.calls import CallError
from resources.gemini_replies import BLOCKS, FINISHES, error_of, line_error, reply_of, without_key
from resources.sample.gemini.protocol import BLOCK_REASONS, FINISH_REASONS


def a_body(finish: Any = "STOP", parts: Any = ({"text": "{}"},), **fields: Any) -> bytes:
    """A reply of one candidate."""
    candidate = {"content": {"parts": list(parts)}, "finishReason": finish}
    return json.dumps({"candidates": [candidate], **fields}).encode()


def reply(body: bytes):
    """It, where at most 1000 and 50 tokens can have been billed."""
    return reply_of(body, most_input=1000, most_output=50)


def an_error(code: int, status: str = "", message: str = "no", *details: Any) -> bytes:
    """An error as the service says it."""
    return json.dumps(
        {"error": {"code": code, "status": status, "message": message, "details": list(details)}}
    ).encode()


@pytest.mark.parametrize("name", sorted(FINISHES))
def test_a_finish_reason_is_one_word_by_name_and_by_number(name):
    """Batches come with names, single calls with numbers; the numbers are those of the protocol."""
    assert reply(a_body(name)).finish == reply(a_body(FINISH_REASONS[name])).finish == FINISHES[name][1]


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_a_block_reason_is_one_word_by_name_and_by_number(name):
    """A prompt that is turned down has no candidates."""
    by_name, by_number = (
        reply(json.dumps({"promptFeedback": {"blockReason": said}}).encode()) for said in (name, BLOCK_REASONS[name])
    )
    assert by_name.finish == by_number.finish == f"blocked_{BLOCKS[name][1]}"


@pytest.mark.parametrize(
    ("said", "finish"), [(99, "finish_99"), ("NEW_REASON", "finish_new_reason"), ("stop", "finish_stop")]
)
def test_an_unknown_finish_reason_is_not_a_clean_stop(said, finish):
    """Only the reason STOP itself is."""
    assert reply(a_body(said)).finish == finish


def test_a_candidate_without_a_finish_reason_is_not_a_clean_stop():
    """proto3 leaves out what is unspecified."""
    body = b'{"candidates": [{"content": {"parts": [{"text": "{}"}]}}]}'
    assert reply(body).finish == "unspecified"


def test_thoughts_are_no_part_of_the_answer():
    """They are text too, but for a mark."""
    parts = [{"text": "let me see", "thought": True}, {"text": '{"a"'}, {"text": ": 1}"}]
    assert reply(a_body(parts=parts)).text == '{"a": 1}'


@pytest.mark.parametrize("parts", [[], [{"text": ""}], [{"text": "hm", "thought": True}], [{"functionCall": {}}]])
def test_a_clean_stop_without_text_is_empty(parts):
    """There is nothing to read."""
    assert reply(a_body(parts=parts)).finish == "empty"


def test_a_reply_of_thoughts_alone_that_was_cut_off_is_max_tokens():
    """It needs more tokens, which "empty" would not get."""
    assert reply(a_body("MAX_TOKENS", parts=[{"text": "hm", "thought": True}])).finish == "max_tokens"


@pytest.mark.parametrize(
    ("usage", "output"),
    [
        ({"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 17}, 7),
        ({"promptTokenCount": 10, "candidatesTokenCount": 3, "totalTokenCount": 17}, 7),
        ({"promptTokenCount": 10, "candidatesTokenCount": 3}, 3),
    ],
)
def test_hidden_tokens_are_billed_whichever_way_they_are_told(usage, output):
    """As a count of their own, or as what is left of the total."""
    read = reply(a_body(usageMetadata=usage))
    assert (read.input_tokens, read.output_tokens) == (10, output)


def test_a_text_without_output_tokens_is_taken_to_have_cost_the_most():
    """It has some; what stopped before a text may have none."""
    usage = {"promptTokenCount": 10}
    assert reply(a_body(usageMetadata=usage)).output_tokens == 50
    assert reply(a_body("SAFETY", parts=[], usageMetadata=usage)).output_tokens == 0


def test_a_reply_without_usage_is_taken_to_have_cost_the_most():
    """All that was sent and all that was allowed."""
    read = reply(a_body())
    assert (read.input_tokens, read.output_tokens) == (1000, 50)


@pytest.mark.parametrize(
    ("usage", "output"),
    [
        ({}, 50),
        (None, 50),
        ({"promptTokenCount": 0}, 50),
        ({"candidatesTokenCount": 7}, 50),
        ({"candidatesTokenCount": 70}, 70),
    ],
)
def test_a_usage_without_a_prompt_is_none(usage, output):
    """No prompt has no tokens; an output that is told may be higher than what was allowed."""
    read = reply(a_body(usageMetadata=usage))
    assert (read.input_tokens, read.output_tokens) == (1000, output)


USAGE = {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 17}


@pytest.mark.parametrize(
    ("fields", "finish", "output"),
    [
        ({"parts": [{"text": "{}", "thought": None, "inlineData": None}]}, "stop", 7),
        ({"parts": [{"text": None}, {"text": "{}"}], "modelVersion": None, "promptFeedback": None}, "stop", 7),
        ({"promptFeedback": {"blockReason": None}, "error": None}, "stop", 7),
        ({"finish": None}, "unspecified", 7),
        ({"usageMetadata": {**USAGE, "thoughtsTokenCount": None}}, "stop", 7),
        ({"usageMetadata": {**USAGE, "candidatesTokenCount": None, "totalTokenCount": None}}, "stop", 4),
        ({"usageMetadata": {**USAGE, "totalTokenCount": None}}, "stop", 7),
    ],
)
def test_null_is_a_field_left_out(fields, finish, output):
    """Such a reply was paid for; asked for again, it would be once more."""
    read = reply(a_body(**{"usageMetadata": USAGE, **fields}))
    assert (read.finish, read.input_tokens, read.output_tokens) == (finish, 10, output)


@pytest.mark.parametrize("content", [None, {"parts": None}, {"parts": []}])
def test_null_is_no_text(content):
    """As a service writes it that leaves nothing out."""
    candidate = {"content": content, "finishReason": "SAFETY"}
    read = reply(json.dumps({"candidates": [candidate], "usageMetadata": USAGE}).encode())
    assert (read.text, read.finish) == ("", "safety")


def test_a_blocked_prompt_without_usage_has_no_output():
    """Nothing was written."""
    read = reply(b'{"promptFeedback": {"blockReason": "SAFETY"}}')
    assert (read.input_tokens, read.output_tokens) == (1000, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"ok": true}',
        b'{"candidates": null, "usageMetadata": null}',
        b"<html>sign in</html>",
        b'{"candidates": [{"content": {"pa',
        b'{"candidates": "none"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_reply_of_the_service_is_a_bad_body(body):
    """A captive portal, a proxy, a connection that broke: it may be tried again."""
    with pytest.raises(CallError) as caught:
        reply(body)
    assert caught.value.failure == "bad_body"


def test_an_error_with_status_200_is_that_error():
    """Some proxies lose the status."""
    with pytest.raises(CallError, match="rate_limit: 429"):
        reply(an_error(429))


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (302, "outage"),
        (400, "bad_request"),
        (401, "rejected"),
        (403, "rejected"),
        (404, "rejected"),
        (408, "outage"),
        (413, "rejected"),
        (429, "rate_limit"),
        (499, "outage"),
        (500, "outage"),
        (502, "outage"),
        (503, "outage"),
        (504, "outage"),
    ],
)
def test_the_status_tells_the_failure(status, failure):
    """With or without a body of the service."""
    assert error_of(status, an_error(status)).failure == error_of(status, b"<html></html>").failure == failure


@pytest.mark.parametrize(
    ("message", "details"),
    [
        ("API key not valid. Please pass a valid API key.", []),
        ("no", [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]),
    ],
)
def test_a_bad_request_about_the_key_is_rejected(message, details):
    """No other prompt would fare better."""
    assert error_of(400, an_error(400, "INVALID_ARGUMENT", message, *details)).failure == "rejected"
    assert error_of(400, an_error(400, "INVALID_ARGUMENT", "too many states")).failure == "bad_request"


@pytest.mark.parametrize("delay", ["2s", "2.000s"])
def test_a_rate_limit_tells_how_long_to_wait(delay):
    """RetryInfo of google.rpc."""
    details = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    assert error_of(429, an_error(429, "RESOURCE_EXHAUSTED", "no", details)).retry_after_s == 2.0


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None), ("-1", None), ("nan", None), (None, None)])
def test_the_header_tells_it_too(header, seconds):
    """Whatever is no number of seconds tells nothing."""
    assert error_of(503, b"busy", retry_after=header).retry_after_s == seconds


@pytest.mark.parametrize(
    "quota",
    [
        {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"},
        {"quotaMetric": "generativelanguage.googleapis.com/generate_requests_per_model_per_day"},
    ],
)
def test_a_quota_of_the_day_is_told_from_one_of_the_minute(quota):
    """Of several that were exceeded, the day's counts."""
    minute = {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}
    by_minute = error_of(429, an_error(429, "", "no", {"violations": [minute]}))
    by_day = error_of(429, an_error(429, "", "no", {"violations": [minute, quota]}))
    assert (by_minute.failure, by_day.failure) == ("rate_limit", "daily_quota")


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (400, "API key not valid. Please pass a valid API key.", "GEMINI_API_KEY"),
        (401, "no", "GEMINI_API_KEY"),
        (403, "no", "GEMINI_API_KEY"),
        (404, "models/old is not found", "gemini.model"),
        (400, "too many states for serving", "gemini.model"),
    ],
)
def test_a_call_turned_down_says_what_to_do(status, message, advice):
    """Key, model or prompt; with the service's own words."""
    detail = error_of(status, an_error(status, "", message)).detail
    assert advice in detail
    assert message.rstrip(".") in detail


def test_a_long_message_of_many_lines_is_one_short_line():
    """It goes into a log."""
    detail = error_of(500, an_error(500, "INTERNAL", "line\n" * 1000)).detail
    assert "\n" not in detail
    assert len(detail) < 400


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (8, "rate_limit"),
        (14, "outage"),
        (13, "outage"),
        (3, "bad_request"),
        (7, "rejected"),
        (429, "rate_limit"),
        (0, "outage"),
    ],
)
def test_the_error_of_a_line_has_codes_of_its_own(code, failure):
    """google.rpc.Code, or HTTP."""
    assert line_error({"code": code, "message": "no"}).failure == failure


@pytest.mark.parametrize("status", [None, "gone", ["x"]])
def test_the_error_of_a_line_may_have_any_form(status):
    """What it says then is not known: only that there is no reply."""
    assert line_error(status).failure == "bad_body"


def test_a_key_in_an_error_is_hidden_and_the_rest_stays():
    """Whoever repeated it."""
    error = without_key(CallError("rejected", "key AIzaX is wrong", retry_after_s=3), "AIzaX")
    assert (str(error), error.retry_after_s) == ("rejected: key <key> is wrong", 3)
    assert without_key(error, "").detail == error.detail
