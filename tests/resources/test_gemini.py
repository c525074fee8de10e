"""Single calls: google-generativeai against a server that speaks Gemini's protocol, and against worse ones."""

import json
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from resources.desk.calls import CallError, Message, Prompt
from resources.desk_settings import DeskSection, Gemini
from resources.gemini import GeminiCalls, api_key, reply_name
from resources.sample.gemini.faults import Fault
from resources.sample.gemini.http import HttpReply, HttpServer
from resources.sample.gemini.requests import read_generate
from resources.sample.gemini.server import GeminiServer

KEY = "test-key-that-nobody-may-see"
SCHEMA = {
    "type": "object",
    "properties": {
        "track_id": {"type": "string", "enum": ["t1", "t2"]},
        "score": {"type": ["integer", "null"]},
        "words": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
    },
    "required": ["track_id", "score", "words"],
}
PROMPT = Prompt("task", "You choose tracks.", (Message("user", "Choose."),), SCHEMA, 256)
ANSWER = '{"track_id": "t1", "score": 0, "words": ["x"]}'
WHOLE = {"candidates": [{"content": {"parts": [{"text": ANSWER}]}, "finishReason": 1}]}


@pytest.fixture
def server():
    """One that always gives the same answer."""
    with GeminiServer(key=KEY, answer=lambda *_: ANSWER) as server:
        yield server


def calls_to(endpoint, *, key=KEY, model="gemini-2.5-flash", **desk):
    """Calls to a server, with settings of the desk."""
    return GeminiCalls(Gemini(endpoint=endpoint, model=model), DeskSection(**desk), key)


@contextmanager
def answering(handle, server_class=HttpServer):
    """A server of one function; yields it and the list of calls that it got."""
    got = []

    def handled(call):
        got.append(call)
        return handle(call)

    server = server_class(("127.0.0.1", 0), handled)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server, got
    finally:
        server.stop()


def whole(_=None):
    """A reply as it should be."""
    return HttpReply(200, json.dumps(WHOLE).encode())


def limit_s(fault):
    """Short only where the fault is to be slow: the machine may be slow too."""
    return 0.3 if fault.name == "hang" else 30.0


def error_of_call(calls, prompt=PROMPT):
    """What a call raises."""
    with pytest.raises(CallError) as caught:
        calls.call(prompt)
    return caught.value


def test_a_call_brings_text_finish_tokens_and_version(server):
    """A token of the sample server is four bytes: the text of 46 bytes makes 12."""
    reply = calls_to(server.endpoint).call(PROMPT)
    assert (reply.text, reply.finish, reply.output_tokens, reply.model_version) == (
        ANSWER,
        "stop",
        12,
        "gemini-2.5-flash",
    )


def test_what_is_sent_is_the_prompt_and_the_settings():
    """As the service reads it: instructions, roles, schema, sampling, length."""
    prompt = replace(PROMPT, messages=(Message("user", "Choose."), Message("model", "{}"), Message("user", "Again.")))
    with answering(whole) as (server, got):
        calls_to(server.endpoint).call(prompt)
    asked = read_generate("m", json.loads(got[0].body))
    assert (asked.system, asked.messages) == (prompt.instructions, prompt.messages)
    assert (asked.temperature, asked.max_output_tokens) == (1.0, 256)
    assert asked.schema["required"] == ["track_id", "score", "words"]
    assert got[0].path == "/v1beta/models/gemini-2.5-flash:generateContent"
    config = json.loads(got[0].body)["generationConfig"]
    assert (config["topP"], config["candidateCount"], config["responseMimeType"]) == (0.95, 1, "application/json")


def test_the_name_holds_what_decides_replies(server):
    """Replies are kept under it, on any machine; those of a server of one's own are not taken for Gemini's."""
    name = "gemini/gemini-2.5-flash/temperature=1.0,top_p=0.95"
    assert reply_name(Gemini()) == reply_name(Gemini(model="models/gemini-2.5-flash")) == name
    assert calls_to(server.endpoint).name == f"{name}, at {server.endpoint}"


# faults.md B.4, rows 65 to 74: how each ends at the level of one call.
NO_REPLY = [
    (Fault("rate_limit", seconds=2), "rate_limit", 2.0),
    (Fault("rate_limit"), "rate_limit", None),
    (Fault("daily_quota"), "daily_quota", None),
    (Fault("internal_500"), "outage", None),
    (Fault("unavailable_503"), "outage", None),
    (Fault("bad_gateway_html_502"), "outage", None),
    (Fault("captive_portal"), "bad_body", None),
    (Fault("cut_body"), "bad_body", None),
    (Fault("cut_chunks"), "bad_body", None),
    (Fault("reset_connection"), "bad_body", None),
    (Fault("reset_after_billing"), "bad_body", None),
    (Fault("hang", seconds=2), "timeout", None),
    (Fault("bad_request_400"), "bad_request", None),
    (Fault("forbidden_403"), "rejected", None),
    (Fault("no_such_model_404"), "rejected", None),
]


@pytest.mark.parametrize(
    ("fault", "failure", "retry_after_s"), NO_REPLY, ids=lambda value: getattr(value, "name", value)
)
def test_a_call_without_reply_fails_as_its_cause_says_and_is_made_once(server, fault, failure, retry_after_s):
    """Rows 65-71. The library's own retries would be calls that nobody counts."""
    server.script(fault)
    error = error_of_call(calls_to(server.endpoint, read_timeout_s=limit_s(fault)))
    assert (error.failure, error.retry_after_s, server.calls) == (failure, retry_after_s, 1)


FINISHES = [
    (Fault("no_candidates"), "empty", ""),
    (Fault("empty_text"), "empty", ""),
    (Fault("prompt_blocked", reason="PROHIBITED_CONTENT"), "blocked_prohibited_content", ""),
    (Fault("finish", reason="SAFETY"), "safety", ""),
    (Fault("finish", reason="RECITATION"), "recitation", ""),
    (Fault("finish", reason="LANGUAGE"), "language", ANSWER),
    (Fault("finish", reason=99), "finish_99", ANSWER),
    (Fault("thoughts"), "stop", ANSWER),
    (Fault("only_thoughts"), "max_tokens", ""),
]


@pytest.mark.parametrize(("fault", "finish", "text"), FINISHES, ids=lambda value: getattr(value, "name", value))
def test_a_reply_that_is_no_answer_says_why(server, fault, finish, text):
    """Rows 72-73: a reply, for it was billed, with another finish than "stop"."""
    server.script(fault)
    reply = calls_to(server.endpoint).call(PROMPT)
    assert (reply.finish, reply.text) == (finish, text)


def test_a_reply_that_was_cut_off_says_so(server):
    """Row 74: three tokens are twelve bytes."""
    reply = calls_to(server.endpoint).call(replace(PROMPT, max_output_tokens=3))
    assert (reply.text, reply.finish, reply.output_tokens) == (ANSWER[:12], "max_tokens", 3)


def test_a_reply_without_usage_counts_all_that_was_sent(server):
    """Bytes for tokens, and the longest output that was asked for: never less than was billed."""
    server.script(Fault("no_usage"))
    reply = calls_to(server.endpoint).call(PROMPT)
    assert reply.input_tokens > len(json.dumps(SCHEMA))
    assert reply.output_tokens == 256


def test_hidden_thoughts_are_counted(server):
    """They are billed as output."""
    server.script(Fault("thoughts"))
    assert calls_to(server.endpoint).call(PROMPT).output_tokens > 12


def test_an_unknown_field_of_a_wrong_type_costs_no_reply():
    """What we don't read may be anything: the library can't parse this, and the reply was paid for."""
    reply = {**WHOLE, "candidates": [{**WHOLE["candidates"][0], "safetyRatings": "none"}]}
    with answering(lambda _: HttpReply(200, json.dumps(reply).encode())) as (server, _):
        assert calls_to(server.endpoint).call(PROMPT).text == ANSWER


def test_nobody_listening_is_an_outage_that_names_what_to_check():
    """A port that was just free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = error_of_call(calls_to(f"http://127.0.0.1:{port}"))
    assert (error.failure, "gemini.endpoint" in error.detail) == ("outage", True)


def test_a_reply_that_drips_ends_in_time():
    """The library's limit is one for each piece: at a byte each 0.1 s it would wait for ever."""

    def drip(listening):
        connection, _ = listening.accept()
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(50):
                connection.sendall(b" ")
                time.sleep(0.1)
        except OSError:  # the client has gone
            pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, args=(listening,), daemon=True).start()
        started = time.monotonic()
        error = error_of_call(calls_to(f"http://127.0.0.1:{listening.getsockname()[1]}", read_timeout_s=0.4))
    assert (error.failure, time.monotonic() - started < 2) == ("timeout", True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status):
    """Where it leads to would be shown the key."""
    with answering(whole) as (elsewhere, got):
        moved = HttpReply(status, b"", headers={"Location": f"{elsewhere.endpoint}/login"})
        with answering(lambda _: moved) as (server, _):
            assert error_of_call(calls_to(server.endpoint)).failure == "outage"
    assert got == []


def test_401_is_not_tried_again():
    """The library would refresh its credentials, twice; a key can't be."""
    with answering(lambda _: HttpReply(401, b"{}")) as (server, got):
        assert error_of_call(calls_to(server.endpoint)).failure == "rejected"
    assert len(got) == 1


def test_cookies_are_not_kept():
    """Nothing of one call shows in another, and threads share no jar."""
    with answering(lambda _: replace(whole(), headers={"Set-Cookie": "a=b"})) as (server, got):
        calls = calls_to(server.endpoint)
        calls.call(PROMPT)
        calls.call(PROMPT)
    assert "cookie" not in got[1].headers


def test_two_models_with_different_endpoints_and_keys_do_not_meet():
    """The library's global settings are not used, and the environment's key isn't either."""
    with answering(whole) as (one, of_one), answering(whole) as (other, of_other):
        first, second = calls_to(one.endpoint, key="first"), calls_to(f"{other.endpoint}/", key="second")
        for calls in (first, second, first):
            calls.call(PROMPT)
    assert [call.headers["x-goog-api-key"] for call in of_one] == ["first", "first"]
    assert [call.headers["x-goog-api-key"] for call in of_other] == ["second"]


def test_a_gateway_under_a_path_is_reached():
    """Some stand in front of many services."""
    with answering(whole) as (server, got):
        calls_to(f"{server.endpoint}/gateway/gemini").call(PROMPT)
    assert got[0].path == "/gateway/gemini/v1beta/models/gemini-2.5-flash:generateContent"


def test_sixteen_threads_keep_their_replies_apart_and_share_sixteen_connections():
    """Each is told its own message back; connections are used again."""
    opened = []

    class Counting(HttpServer):
        def opened(self, connection):
            opened.append(connection)
            super().opened(connection)

    def echo(call):
        text = json.loads(call.body)["contents"][0]["parts"][0]["text"]
        return HttpReply(
            200, json.dumps({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": 1}]}).encode()
        )

    prompts = [replace(PROMPT, messages=(Message("user", f"number {number}"),)) for number in range(300)]
    with answering(echo, Counting) as (server, _):
        calls = calls_to(server.endpoint, concurrency=16)
        with ThreadPoolExecutor(16) as pool:
            texts = [reply.text for reply in pool.map(calls.call, prompts)]
    assert texts == [prompt.messages[0].text for prompt in prompts]
    assert len(opened) <= 16


def everything_about(error):
    """Text and traceback of an error and of all that it points to."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), *traceback.format_exception(error)]
        error = error.__cause__ or error.__context__
    return "".join(texts)


FAULTS = [fault for fault, *_ in NO_REPLY]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_key_is_in_no_error_log_repr_or_url(server, fault, caplog):
    """Nor in what an error points to, nor in the fields of log records, of any library, at the lowest level."""
    loggers = [logging.getLogger(name) for name in ("google", "google.auth", "google.ai", "urllib3", "requests")]
    for logger in loggers:
        caplog.set_level(logging.DEBUG, logger=logger.name)
        logger.addHandler(caplog.handler)
    server.script(fault)
    calls = calls_to(server.endpoint, read_timeout_s=limit_s(fault))
    error = error_of_call(calls)
    for logger in loggers:
        logger.removeHandler(caplog.handler)
    assert error.__cause__ is error.__context__ is None
    seen = everything_about(error) + repr(calls) + repr([vars(record) for record in caplog.records])
    assert KEY not in seen
    assert caplog.records
    assert server.snapshot()["keys_in_urls"] == 0


def test_a_key_that_a_server_repeats_is_hidden():
    """Some write into their errors what they were sent."""

    def repeats(call):
        message = f"the key {call.headers['x-goog-api-key']} is unknown"
        return HttpReply(400, json.dumps({"error": {"code": 400, "message": message}}).encode())

    with answering(repeats) as (server, _):
        error = error_of_call(calls_to(server.endpoint))
    assert "the key <key> is unknown" in error.detail
    assert KEY not in everything_about(error)


def test_a_wrong_key_says_which_setting_to_look_at(server):
    """Row 71."""
    error = error_of_call(calls_to(server.endpoint, key="wrong"))
    assert (error.failure, "GEMINI_API_KEY" in error.detail) == ("rejected", True)


def test_a_retired_model_says_which_setting_to_look_at(server):
    """Row 71."""
    error = error_of_call(calls_to(server.endpoint, model="gemini-1.5-flash-002"))
    assert "gemini-1.5-flash-002" in error.detail
    assert "gemini.model" in error.detail


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:80", "ftp://x", "http://user:word@x", "http://x/a b", "http://x?key=1"]
)
def test_an_endpoint_that_is_no_plain_url_is_an_error_at_once(endpoint):
    """Before any call, by the name of the setting."""
    with pytest.raises(ValueError, match=r"gemini\.endpoint"):
        calls_to(endpoint)


@pytest.mark.parametrize("model", ["", "a/b", "a b", "../x", "m?x=1"])
def test_a_model_that_is_no_id_is_an_error_at_once(model):
    """It would change the URL."""
    with pytest.raises(ValueError, match=r"gemini\.model"):
        calls_to("", model=model)


def test_the_key_comes_from_the_environment_without_its_blanks():
    """A line end is easily pasted."""
    assert api_key({"GEMINI_API_KEY": f" {KEY}\n"}) == KEY


@pytest.mark.parametrize("environment", [{}, {"GEMINI_API_KEY": " "}, {"GOOGLE_API_KEY": KEY}])
def test_a_missing_key_is_empty(environment):
    """Other keys are left alone."""
    assert api_key(environment) == ""


def test_without_a_key_nothing_is_sent():
    """Who has all replies kept needs none; a call says what to set."""
    with answering(whole) as (server, got):
        error = error_of_call(calls_to(server.endpoint, key=""))
    assert str(error).startswith("rejected: GEMINI_API_KEY is not set: wanted the key of")
    assert got == []


@pytest.mark.parametrize("key", ["secret\nsecret", "secret secret", "sécret"])
def test_a_key_that_can_be_none_is_refused_without_being_shown(key):
    """As a header it would be an error whose text holds it."""
    with pytest.raises(ValueError, match="GEMINI_API_KEY holds") as caught:
        api_key({"GEMINI_API_KEY": key})
    assert "cret" not in str(caught.value)


def test_no_warning_of_the_library_reaches_a_person():
    """That its support has ended, and until when this Python is supported."""
    program = (
        "from resources.gemini import GeminiCalls; from resources.desk_settings import *;"
        "GeminiCalls(Gemini(), DeskSection(), 'key')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
