"""Every fault of the sample Gemini server, seen without an SDK."""

import http.client
import json
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from resources.sample.gemini.answers import KNOWN_TO_NO_ONE
from resources.sample.gemini.counters import Limits, Quota
from resources.sample.gemini.faults import LAYERS, Fault, Name, Script
from resources.sample.gemini.protocol import ApiError
from resources.sample.gemini.server import GeminiServer
from resources.sample.gemini.service import Latency
from tests.resources.sample.gemini.calls import Answered, Turns, call, conversation_body, saying, text_of


@pytest.fixture
def server() -> Iterator[GeminiServer]:
    """A server that nothing goes wrong with yet."""
    with GeminiServer() as started:
        yield started


def met(server: GeminiServer, fault: Fault, body: Any = None) -> Answered:
    """A call that meets the fault; the next one meets none."""
    server.script(fault)
    answered = call(server, body)
    assert "candidates" in call(server, body).body
    return answered


def details(answered: Answered) -> str:
    """An error's details as text."""
    return json.dumps(answered.body["error"]["details"])


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [
        ("rate_limit", 429, "RESOURCE_EXHAUSTED"),
        ("daily_quota", 429, "RESOURCE_EXHAUSTED"),
        ("internal_500", 500, "INTERNAL"),
        ("unavailable_503", 503, "UNAVAILABLE"),
        ("bad_request_400", 400, "INVALID_ARGUMENT"),
        ("forbidden_403", 403, "PERMISSION_DENIED"),
        ("no_such_model_404", 404, "NOT_FOUND"),
    ],
)
def test_refusal_has_googles_form_and_costs_nothing(server: GeminiServer, name: Name, status: int, word: str) -> None:
    """HTTP status, code and canonical status agree; only the call after it is paid."""
    answered = met(server, Fault(name))

    assert (answered.status, answered.body["error"]["code"], answered.body["error"]["status"]) == (status, status, word)
    assert (server.calls, server.paid_calls) == (2, 1)


def test_rate_limit_names_the_wait_only_where_it_has_one(server: GeminiServer) -> None:
    """RetryInfo is there with seconds, and missing without; the quota is a minute's."""
    told, untold = met(server, Fault("rate_limit", seconds=2.5)), met(server, Fault("rate_limit"))

    assert '"retryDelay": "2.5s"' in details(told)
    assert "retryDelay" not in details(untold)
    assert "PerMinute" in details(untold)


def test_daily_quota_is_named_in_its_id(server: GeminiServer) -> None:
    """A quotaId with PerDay tells it from a minute's limit."""
    assert "PerDay" in details(met(server, Fault("daily_quota")))


@pytest.mark.parametrize(("name", "status"), [("bad_gateway_html_502", 502), ("captive_portal", 200)])
def test_someone_elses_page_is_html(server: GeminiServer, name: Name, status: int) -> None:
    """A gateway's error and a portal's welcome are no JSON and cost nothing."""
    answered = met(server, Fault(name))

    assert answered.status == status
    assert b"<html>" in answered.body
    assert server.paid_calls == 1


@pytest.mark.parametrize(
    ("name", "error", "paid"),
    [
        ("reset_connection", ConnectionResetError, 0),
        ("reset_after_billing", ConnectionResetError, 1),
        ("cut_body", http.client.IncompleteRead, 1),
        ("cut_chunks", http.client.IncompleteRead, 1),
    ],
)
def test_broken_connection(server: GeminiServer, name: Name, error: type[Exception], paid: int) -> None:
    """A reply that is cut off was billed; a connection reset before it wasn't."""
    server.script(Fault(name))

    with pytest.raises(error):
        call(server)

    assert server.paid_calls == paid


def test_hanging_call_is_billed_though_nobody_waits(server: GeminiServer) -> None:
    """A client that gives up has paid all the same."""
    server.script(Fault("hang", seconds=60))
    connection = http.client.HTTPConnection(server.endpoint.removeprefix("http://"), timeout=0.2)
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    connection.request("POST", path, json.dumps(saying("hello")), {"x-goog-api-key": "test-key"})

    with pytest.raises(TimeoutError):
        connection.getresponse()

    assert server.paid_calls == 1


def test_blocked_prompt_has_a_reason_and_no_candidates(server: GeminiServer) -> None:
    """Its input is billed."""
    body = met(server, Fault("prompt_blocked", reason="SAFETY")).body

    assert body["promptFeedback"] == {"blockReason": "SAFETY"}
    assert "candidates" not in body
    assert server.paid_calls == 2


@pytest.mark.parametrize(
    ("fault", "finish", "has_text"),
    [
        (Fault("finish", reason="SAFETY"), "SAFETY", False),
        (Fault("finish", reason="RECITATION"), "RECITATION", False),
        (Fault("finish", reason=99), 99, True),
        (Fault("finish", reason="OTHER"), "OTHER", True),
        (Fault("empty_text"), "STOP", False),
        (Fault("max_tokens"), "MAX_TOKENS", True),
        (Fault("only_thoughts"), "MAX_TOKENS", False),
    ],
)
def test_candidate_that_is_no_answer(server: GeminiServer, fault: Fault, finish: str | int, has_text: bool) -> None:
    """How it ends, and whether it has text."""
    candidate = met(server, fault).body["candidates"][0]

    assert candidate["finishReason"] == finish
    assert ("parts" in candidate["content"]) == has_text


def test_reply_may_lack_candidates_or_usage(server: GeminiServer) -> None:
    """Each by its own fault."""
    assert "candidates" not in met(server, Fault("no_candidates")).body
    assert "usageMetadata" not in met(server, Fault("no_usage")).body


def test_thoughts_are_a_part_of_their_own_and_billed(server: GeminiServer) -> None:
    """Shown, they come first and are marked; hidden, only their tokens are there, in the total too."""
    shown, hidden = met(server, Fault("thoughts")).body, met(server, Fault("hidden_thoughts")).body

    parts = shown["candidates"][0]["content"]["parts"]
    usage = hidden["usageMetadata"]
    assert [part.get("thought", False) for part in parts] == [True, False]
    assert len(hidden["candidates"][0]["content"]["parts"]) == 1
    assert (
        usage["thoughtsTokenCount"]
        == usage["totalTokenCount"] - usage["promptTokenCount"] - usage["candidatesTokenCount"]
        > 0
    )


@pytest.mark.parametrize("name", [name for name, layer in LAYERS.items() if layer == "text"])
def test_spoilt_answer_ends_cleanly_and_differs(server: GeminiServer, name: Name) -> None:
    """An answer that is not what was asked for looks like any other: STOP."""
    body = met(server, Fault(name), conversation_body()).body

    text = body["candidates"][0]["content"]["parts"][0]["text"]
    assert body["candidates"][0]["finishReason"] == "STOP"
    if name == "fenced":
        assert text.startswith("```json\n")
    elif name == "prose_around":
        assert Turns.model_validate_json(text[text.index("{") : text.rindex("}") + 1])
    elif name in {"truncated_json", "wrong_schema"}:
        with pytest.raises(ValueError, match="validation error"):
            Turns.model_validate_json(text)


def test_wrong_tracks_in_an_answer(server: GeminiServer) -> None:
    """An id of no track, one twice, a title in an id's place, and words of another language."""

    def turns(name: Name) -> list[Any]:
        return list(Turns.model_validate_json(text_of(met(server, Fault(name), conversation_body()))).turns)

    assert KNOWN_TO_NO_ONE in {turn.track_id for turn in turns("unknown_track")}
    assert len({turn.track_id for turn in turns("repeated_track")}) == 2
    named = {turn.track_id for turn in turns("title_for_id")} - {"t0", "t1", "t2"}
    assert named.pop() in {f"Green Hill {place} The Quiet Larks" for place in range(3)}
    assert all("anderen Sprache" in turn.response for turn in turns("wrong_language"))


def test_faults_come_in_order(server: GeminiServer) -> None:
    """Two of one, then one of another, then none."""
    server.script(Fault("internal_500").times(2), Fault("unavailable_503"))

    assert [call(server).status for _ in range(4)] == [500, 500, 503, 200]


def test_refusals_do_not_change_the_answer(server: GeminiServer) -> None:
    """The call that gets through is answered as if it had been the first."""
    server.script(Fault("unavailable_503").times(2))
    refused = [call(server, conversation_body()).status for _ in range(2)]
    with GeminiServer() as calm:
        wanted = text_of(call(calm, conversation_body()))

    assert refused == [503, 503]
    assert text_of(call(server, conversation_body())) == wanted


def test_fault_waits_for_a_text(server: GeminiServer) -> None:
    """Every call that holds the words meets it, also where marks stand between them; others don't."""
    server.script(Fault("forbidden_403").on("slow days"))

    assert [call(server, saying(text)).status for text in ("quick", "slow days", "slow")] == [200, 403, 200]
    assert call(server, conversation_body()).status == 403


def test_fault_meets_a_share_of_calls() -> None:
    """About a fifth of 200 calls, the same ones whatever the threads do."""

    def refused(order: list[int]) -> set[int]:
        script = Script((Fault("internal_500").in_share(0.2),), seed=7)
        found: set[int] = set()

        def draw(places: list[int]) -> None:
            found.update(place for place in places if script.drawn("generateContent", f"call-{place}"))

        threads = [threading.Thread(target=draw, args=(order[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    places = list(range(200))
    assert 20 <= len(refused(places)) <= 60
    assert refused(places) == refused(Random(1).sample(places, 200))


def test_fault_can_meet_another_endpoint(server: GeminiServer) -> None:
    """A list of models that is a portal's page; answers go on."""
    server.script(Fault("captive_portal").at("models"))

    assert call(server).status == 200
    assert b"<html>" in call(server, path="/v1beta/models", method="GET").body


def test_unknown_fault_is_named() -> None:
    """The error lists those that there are."""
    with pytest.raises(ValueError, match="unknown fault 'boredom'; there are rate_limit, "):
        Fault("boredom")  # type: ignore[arg-type]


def test_quota_is_a_sliding_window() -> None:
    """Two calls in any 10 s: the third waits until the first has left the window."""
    now = [0.0]
    quota = Quota(Limits(requests_per_minute=12, window_s=10), lambda: now[0])
    quota.admit(1)
    now[0] = 4.0
    quota.admit(1)

    with pytest.raises(ApiError) as refused:
        quota.admit(1)

    assert '"retryDelay": "6s"' in json.dumps(refused.value.details)
    now[0] = 10.0
    quota.admit(1)


def test_quota_of_tokens() -> None:
    """100 tokens a minute: 60 and 50 don't fit together."""
    quota = Quota(Limits(tokens_per_minute=100), lambda: 0.0)
    quota.admit(60)

    with pytest.raises(ApiError, match="quota"):
        quota.admit(50)


def test_latency_is_fixed_or_log_normal() -> None:
    """Without sigma the median itself; with it half of the draws are above, and each call has its own."""
    drawn = [Latency(2.0, 0.5).drawn(7, f"call-{place}") for place in range(400)]

    assert Latency(2.0).drawn(7, "any") == 2.0
    assert 160 < sum(seconds > 2.0 for seconds in drawn) < 240
    assert drawn[0] == Latency(2.0, 0.5).drawn(7, "call-0")


def test_spoilt_answer_belongs_to_one_endpoint() -> None:
    """A list of models can't be fenced."""
    with pytest.raises(ValueError, match="no meaning at models"):
        Fault("fenced").at("models")
