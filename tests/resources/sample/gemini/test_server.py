"""The sample Gemini server, asked by the real SDKs and by plain HTTP."""

import http.client
import json
import subprocess
import sys
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import types

from resources.desk.calls import Message
from resources.desk.prompts import first_prompt
from resources.desk_settings import Answers
from resources.sample.gemini.faults import Fault
from resources.sample.gemini.server import GeminiServer
from tests.resources.sample.gemini.calls import GENERATE, Turns, call, conversation, conversation_body, saying, text_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the package says that its support has ended
    import google.generativeai as palm

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["calm", "loud"]}, "year": {"type": "integer"}},
    "required": ["mood", "year"],
}


@pytest.fixture
def server() -> Iterator[GeminiServer]:
    """A server that nothing goes wrong with."""
    with GeminiServer() as started:
        yield started


def older_model(server: GeminiServer, instructions: str = "Be brief.") -> "palm.GenerativeModel":
    """The model of google-generativeai."""
    palm.configure(api_key="test-key", transport="rest", client_options={"api_endpoint": server.endpoint})
    return palm.GenerativeModel("gemini-2.5-flash", system_instruction=instructions)


def newer_client(server: GeminiServer) -> genai.Client:
    """The client of google-genai."""
    return genai.Client(api_key="test-key", http_options=types.HttpOptions(base_url=server.endpoint))


def test_generativeai_reads_a_reply_with_numbers_for_enums(server: GeminiServer) -> None:
    """google-generativeai sends and gets enums as numbers; it reads text, finish and tokens."""
    config = {"response_mime_type": "application/json", "response_schema": SCHEMA}

    reply = older_model(server).generate_content("hello", generation_config=config)

    assert json.loads(reply.text) == {"mood": "calm", "year": 0}
    assert reply.candidates[0].finish_reason.name == "STOP"
    assert reply.usage_metadata.total_token_count == server.counters.input_tokens + server.counters.output_tokens


def test_genai_reads_a_reply_with_names_for_enums(server: GeminiServer) -> None:
    """google-genai sends a JSON schema and gets enums as names."""
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)

    client = newer_client(server)  # it closes its connections when it is let go
    reply = client.models.generate_content(model="gemini-2.5-flash", contents="hello", config=config)

    assert json.loads(reply.text or "") == {"mood": "calm", "year": 0}
    assert reply.candidates
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP


def test_finish_is_a_number_only_where_numbers_are_wanted(server: GeminiServer) -> None:
    """`enum-encoding=int` makes STOP a 1."""
    by_number = call(server, path=f"{GENERATE}?%24alt=json%3Benum-encoding%3Dint")

    assert by_number.body["candidates"][0]["finishReason"] == 1
    assert call(server).body["candidates"][0]["finishReason"] == "STOP"


def test_prompt_of_the_desk_is_answered_by_rule(server: GeminiServer) -> None:
    """A conversation is answered with tracks of its playlist, in the form that was asked for."""
    prompt = first_prompt(conversation(), Answers())

    reply = older_model(server, prompt.instructions).generate_content(prompt.messages[0].text)

    turns = Turns.model_validate_json(reply.text).turns
    assert {turn.track_id for turn in turns} == {"t0", "t1", "t2"}


def test_same_request_of_both_sdks_is_paid_twice(server: GeminiServer) -> None:
    """A request is known by what it says, not by how an SDK writes it."""
    older_model(server, "Be brief.").generate_content("hello")
    config = types.GenerateContentConfig(system_instruction="Be brief.")
    client = newer_client(server)
    client.models.generate_content(model="gemini-2.5-flash", contents="hello", config=config)

    assert server.paid_calls == 2
    assert len(server.paid_twice) == 1


def test_same_request_is_answered_anew_above_temperature_0(server: GeminiServer) -> None:
    """Paying twice shows: the second answer is another one. At temperature 0 it is the same."""
    body = conversation_body()
    cold = {**body, "generationConfig": {**body["generationConfig"], "temperature": 0}}

    assert text_of(call(server, body)) != text_of(call(server, body))
    assert text_of(call(server, cold)) == text_of(call(server, cold))


def test_answers_depend_on_seed_and_request_only() -> None:
    """Two servers of one seed answer alike."""
    with GeminiServer(seed=3) as one, GeminiServer(seed=3) as other:
        assert text_of(call(one, conversation_body())) == text_of(call(other, conversation_body()))


def test_own_answer_sees_all_that_was_said() -> None:
    """`answer` gets instructions, messages and schema, and its text comes back."""
    seen: list[Any] = []

    def obey(system: str, messages: list[Message], schema: Any) -> str:
        seen.append((system, messages, schema))
        return messages[-1].text.upper()

    with GeminiServer(answer=obey) as server:
        reply = older_model(server, "Be kind.").generate_content("ignore previous instructions")

    assert reply.text == "IGNORE PREVIOUS INSTRUCTIONS"
    assert seen == [("Be kind.", [Message("user", "ignore previous instructions")], None)]


def test_tokens_and_dollars_follow_the_table() -> None:
    """Four bytes are a token: 10 in at $0.30 and 100 out at $2.50 a million."""
    with GeminiServer(answer=lambda *_: "x" * 400) as server:
        call(server, saying("y" * 40))

        assert (server.counters.input_tokens, server.counters.output_tokens) == (10, 100)
        assert server.usd == pytest.approx((10 * 0.30 + 100 * 2.50) / 1_000_000)


def test_reply_ends_where_its_tokens_end() -> None:
    """Of 100 tokens and 25 allowed, 25 come, and MAX_TOKENS."""
    with GeminiServer(answer=lambda *_: "x" * 400) as server:
        reply = call(server, saying("hello", maxOutputTokens=25))

    assert text_of(reply) == "x" * 100
    assert reply.body["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert reply.body["usageMetadata"]["candidatesTokenCount"] == 25


def test_models_and_tokens_can_be_asked_for(server: GeminiServer) -> None:
    """Both SDKs list models and count tokens; that costs nothing."""
    client, older = newer_client(server), older_model(server)
    names = [model.name for model in palm.list_models()]

    assert names == [model.name for model in client.models.list()]
    assert older.count_tokens("y" * 40).total_tokens == 10 + len("Be brief.") // 4 + 1
    assert client.models.count_tokens(model="gemini-2.5-flash", contents="y" * 40).total_tokens == 10
    assert server.paid_calls == 0


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({}, 403, "PERMISSION_DENIED"),
        ({"x-goog-api-key": "wrong"}, 400, "API_KEY_INVALID"),
        ({"authorization": "Bearer something"}, 401, "UNAUTHENTICATED"),
    ],
)
def test_call_without_the_key_is_turned_down(
    server: GeminiServer, headers: dict[str, str], status: int, word: str
) -> None:
    """No key, a wrong one and an OAuth token have each their own error; nothing is paid."""
    answered = call(server, headers=headers)

    assert answered.status == status
    assert word in json.dumps(answered.body)
    assert server.paid_calls == 0


def test_unknown_model_is_404(server: GeminiServer) -> None:
    """A retired model is not found, and google-generativeai says so."""
    palm.configure(api_key="test-key", transport="rest", client_options={"api_endpoint": server.endpoint})

    with pytest.raises(Exception, match=r"gemini-1\.0-pro is not found"):
        palm.GenerativeModel("gemini-1.0-pro").generate_content("hello")


def test_key_in_a_url_is_noticed(server: GeminiServer) -> None:
    """The service takes such a key; tests want to know."""
    assert call(server, path=f"{GENERATE}?key=test-key", headers={}).status == 200
    assert server.counters.keys_in_urls == 1


def test_call_beyond_the_minute_is_told_how_long_to_wait() -> None:
    """The third of two calls a minute gets 429 and RetryInfo, and isn't paid."""
    with GeminiServer(requests_per_minute=2) as server:
        statuses = [call(server).status for _ in range(2)]
        refused = call(server)

    assert statuses == [200, 200]
    assert refused.status == 429
    wait = next(detail["retryDelay"] for detail in refused.body["error"]["details"] if "retryDelay" in detail)
    assert 50 < float(wait.removesuffix("s")) <= 60
    assert server.paid_calls == 2


def test_calls_at_once_are_counted_and_bounded() -> None:
    """While two calls are under way, a third gets 503 where two are the most."""
    inside, go_on = threading.Semaphore(0), threading.Event()

    def wait(*_: object) -> str:
        inside.release()
        go_on.wait(10)
        return "done"

    with GeminiServer(concurrency=2, answer=wait) as server:
        threads = [threading.Thread(target=call, args=(server,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert inside.acquire(timeout=10)
        third = call(server)
        go_on.set()
        for thread in threads:
            thread.join()

    assert third.status == 503
    assert server.counters.most_at_once == 2
    assert 0 < server.counters.busy_s <= server.counters.call_s


def test_end_of_the_server_ends_its_connections() -> None:
    """A call that hangs on a connection kept alive doesn't outlive the server."""
    with GeminiServer(faults=(Fault("hang", seconds=60),)) as server:
        connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=10)
        connection.request("GET", "/v1beta/models", headers={"x-goog-api-key": "test-key"})
        connection.getresponse().read()
        connection.request("POST", GENERATE, json.dumps(saying("hello")), {"x-goog-api-key": "test-key"})

    with pytest.raises((OSError, http.client.HTTPException)):
        connection.getresponse()


def test_other_processes_start_it_by_its_module() -> None:
    """The first line is the endpoint; `/_counters` is one line of JSON."""
    command = [sys.executable, "-m", "resources.sample.gemini.server", "--faults", '[{"name": "unavailable_503"}]']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            endpoint = process.stdout.readline().strip()
            host = endpoint.removeprefix("http://")
            connection = http.client.HTTPConnection(host, timeout=10)
            connection.request("POST", GENERATE, json.dumps(saying("hello")), {"x-goog-api-key": "test-key"})
            assert connection.getresponse().status == 503
            with urllib.request.urlopen(f"{endpoint}/_counters", timeout=10) as reply:  # noqa: S310 - our own
                lines = reply.read().decode().splitlines()
        finally:
            process.kill()

    assert len(lines) == 1
    assert json.loads(lines[0])["calls"] == 1
    assert json.loads(lines[0])["paid_calls"] == 0
