"""Batch jobs: google-genai against a server that speaks Gemini's protocol, and against worse ones."""

import json
import logging
import socket
import tempfile
import threading
import traceback
from contextlib import contextmanager
from dataclasses import replace

import pytest

from resources.desk.calls import CallError, Message, Prompt, Reply
from resources.desk_settings import DeskSection, Gemini
from resources.gemini import GeminiCalls
from resources.gemini_batch import GeminiJobs
from resources.sample.gemini.faults import Fault
from resources.sample.gemini.http import HttpReply, HttpServer
from resources.sample.gemini.requests import read_generate
from resources.sample.gemini.server import GeminiServer

KEY = "test-key-that-nobody-may-see"
SCHEMA = {
    "type": "object",
    "properties": {
        "track_id": {"type": "string", "enum": ["t1", "t2"]},
        "words": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
    },
    "required": ["track_id", "words"],
}
PROMPT = Prompt("task", "You choose tracks.", (Message("user", "Choose."),), SCHEMA, 256)
REPLY = {
    "candidates": [{"content": {"parts": [{"text": "yes"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1},
}


@pytest.fixture
def server():
    """One that repeats what it is told, and is done at the first look."""
    with GeminiServer(key=KEY, answer=lambda _, messages, __: messages[0].text, batch_looks=0) as server:
        yield server


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where temporary files go; nothing may be left there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def jobs_of(endpoint, key=KEY, **desk):
    """Jobs of a server, with settings of the desk."""
    return GeminiJobs(Gemini(endpoint=endpoint), DeskSection(**desk), key)


def prompts(count):
    """Different ones."""
    return {
        f"key-{number}": replace(PROMPT, messages=(Message("user", f"number {number}"),)) for number in range(count)
    }


def everything(jobs, name):
    """All results of a job once it has ended."""
    assert jobs.state(name) == "done"
    return list(jobs.results(name))


def error_of(ask):
    """What asking raises."""
    with pytest.raises(CallError) as caught:
        ask()
    return caught.value


@contextmanager
def answering(handle):
    """A server of one function; yields its endpoint and the calls that it got."""
    got = []

    def handled(call):
        got.append(call)
        return handle(call)

    server = HttpServer(("127.0.0.1", 0), handled)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.endpoint, got
    finally:
        server.stop()


def a_job(state="BATCH_STATE_SUCCEEDED", name="batches/one", **metadata):
    """A job as the service says it."""
    output = {"responsesFile": "files/results"}
    return {"name": name, "metadata": {"state": state, "output": output, "displayName": "day", **metadata}}


def taking_uploads(reply):
    """A handle that takes a file, by the two steps of an upload, and answers this."""

    def handle(call):
        is_start = call.headers["x-goog-upload-command"] == "start"
        url = {"X-Goog-Upload-URL": f"http://{call.headers['host']}/upload/x"} if is_start else {}
        headers = {"X-Goog-Upload-Status": "active" if is_start else "final", **url}
        return HttpReply(200, b"{}" if is_start else json.dumps(reply).encode(), headers=headers)

    return handle


def serving(lines):
    """A handle for one finished job with these lines of results, bytes or JSON."""
    content = b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)

    def handle(call):
        body = content if call.path.endswith(":download") else json.dumps(a_job()).encode()
        return HttpReply(200, body)

    return handle


def test_each_key_gets_its_own_reply_in_whatever_order_they_come(server):
    """The sample server shuffles, as the service may."""
    jobs = jobs_of(server.endpoint)
    results = dict(everything(jobs, jobs.submit("day", prompts(20))))
    assert {key: reply.text for key, reply in results.items()} == {
        f"key-{number}": f"number {number}" for number in range(20)
    }
    assert all(reply.finish == "stop" for reply in results.values())


def test_a_job_asks_exactly_what_single_calls_ask(server):
    """Their replies are kept under the same key."""
    asked = []

    def handle(call):
        asked.append(read_generate("m", json.loads(call.body)))
        return HttpReply(200, json.dumps(REPLY).encode())

    prompt = replace(PROMPT, messages=(Message("user", "ä"), Message("model", "{}"), Message("user", "again")))
    with answering(handle) as (endpoint, _):
        GeminiCalls(Gemini(endpoint=endpoint), DeskSection(), KEY).call(prompt)
    with answering(taking_uploads({"error": {"code": 503}})) as (endpoint, got):
        error_of(lambda: jobs_of(endpoint).submit("day", {"key": prompt}))
    assert read_generate("m", json.loads(got[1].body)["request"]) == asked[0]


def test_a_job_is_found_by_its_display_name(server):
    """Whoever lost its name between submission and storing it asks for it."""
    jobs = jobs_of(server.endpoint)
    name = jobs.submit("day", prompts(1))
    assert (jobs.find("day"), jobs.find("other day")) == (name, None)


def test_a_job_that_came_to_nothing_is_not_found(server):
    """It has to be submitted again."""
    server.script(Fault("failed_job"))
    jobs = jobs_of(server.endpoint)
    name = jobs.submit("day", prompts(1))
    assert (jobs.state(name), jobs.find("day")) == ("failed", None)


def test_the_newest_of_several_jobs_is_found_over_all_pages_also_behind_an_empty_one():
    """The library's own iteration ends at an empty page."""
    pages = {
        "": {"operations": [a_job(name="batches/old", createTime="2026-01-01T00:00:00Z")], "nextPageToken": "2"},
        "2": {"operations": [], "nextPageToken": "3"},
        "3": {"operations": [a_job(name="batches/new", createTime="2026-01-02T00:00:00Z")]},
    }
    with answering(lambda call: HttpReply(200, json.dumps(pages[call.query.get("pageToken", "")]).encode())) as (
        endpoint,
        _,
    ):
        assert jobs_of(endpoint).find("day") == "batches/new"


@pytest.mark.filterwarnings("ignore:.*is not a valid JobState")
@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("BATCH_STATE_PENDING", "running"),
        ("BATCH_STATE_RUNNING", "running"),
        ("JOB_STATE_QUEUED", "running"),
        ("JOB_STATE_PAUSED", "running"),
        ("JOB_STATE_CANCELLING", "running"),
        ("BATCH_STATE_OF_LATER_YEARS", "running"),
        (None, "running"),
        ("BATCH_STATE_SUCCEEDED", "done"),
        ("JOB_STATE_SUCCEEDED", "done"),
        ("JOB_STATE_PARTIALLY_SUCCEEDED", "done"),
        ("BATCH_STATE_FAILED", "failed"),
        ("BATCH_STATE_CANCELLED", "failed"),
        ("BATCH_STATE_EXPIRED", "expired"),
    ],
)
def test_only_a_known_end_is_an_end(said, state):
    """A job that is given up while it may still end well would be paid twice."""
    with answering(lambda _: HttpReply(200, json.dumps(a_job(said)).encode())) as (endpoint, _):
        assert jobs_of(endpoint).state("batches/one") == state


def test_an_expired_job_has_no_results(server):
    """Row 88."""
    server.script(Fault("expired_job"))
    jobs = jobs_of(server.endpoint)
    name = jobs.submit("day", prompts(2))
    assert (jobs.state(name), list(jobs.results(name))) == ("expired", [])


def test_missing_lines_are_missing_keys(server):
    """Row 88: whoever submitted them sees which."""
    server.script(Fault("missing_keys", lines=2))
    jobs = jobs_of(server.endpoint)
    assert len(everything(jobs, jobs.submit("day", prompts(5)))) == 3


def test_a_line_that_is_there_twice_counts_once(server):
    """Row 88."""
    server.script(Fault("duplicate_keys", lines=2))
    jobs = jobs_of(server.endpoint)
    keys = [key for key, _ in everything(jobs, jobs.submit("day", prompts(5)))]
    assert sorted(keys) == sorted(prompts(5))


def test_an_error_line_is_an_error_of_its_key(server):
    """Row 88: INTERNAL of google.rpc is an outage, and not billed."""
    server.script(Fault("error_lines", lines=1))
    jobs = jobs_of(server.endpoint)
    results = [found for _, found in everything(jobs, jobs.submit("day", prompts(3)))]
    assert [type(found) for found in results] == [Reply, Reply, CallError]
    assert results[-1].failure == "outage"


@pytest.mark.parametrize(
    ("fault", "finish"),
    [
        (Fault("finish", reason="SAFETY"), "safety"),
        (Fault("prompt_blocked", reason="OTHER"), "blocked_other"),
        (Fault("no_candidates"), "empty"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_finishes_are_those_of_single_calls(server, fault, finish):
    """Rows 72-73, read in the same place."""
    server.script(fault)
    jobs = jobs_of(server.endpoint)
    assert [reply.finish for _, reply in everything(jobs, jobs.submit("day", prompts(1)))] == [finish]


def test_a_reply_without_usage_counts_all_that_was_sent(server):
    """Also for a process that did not submit the job: the bounds came back with the key."""
    server.script(Fault("no_usage"))
    name = jobs_of(server.endpoint).submit("day", prompts(1))
    ((_, reply),) = everything(jobs_of(server.endpoint), name)
    assert reply.input_tokens > len(json.dumps(SCHEMA))
    assert reply.output_tokens == 256


def test_lines_that_can_not_be_read_are_passed_over_with_a_warning(caplog):
    """Of seven lines one is good; what is said of the others is how many."""
    lines = [
        b"not json\n",
        b"\n",
        {"key": "without-bounds", "response": REPLY},
        {"response": REPLY},
        {"key": "k-9-9"},
        ["k-9-9"],
        {"key": "good-9-9", "response": REPLY},
        b'{"key": "cut-9-9", "resp',
    ]
    with answering(serving(lines)) as (endpoint, _), caplog.at_level(logging.WARNING):
        results = list(jobs_of(endpoint).results("batches/one"))
    assert results == [("good", Reply("yes", "stop", 5, 1))]
    assert "6 lines" in caplog.text


def test_a_reply_of_a_key_counts_more_than_its_error_wherever_it_stands():
    """Errors that were made good by the service's own retries."""
    error = {"key": "k-9-9", "error": {"code": 14, "message": "busy"}}
    other = {"key": "j-9-9", "status": {"code": 8, "message": "quota"}}
    with answering(serving([error, other, {"key": "k-9-9", "response": REPLY}, error])) as (endpoint, _):
        results = list(jobs_of(endpoint).results("batches/one"))
    assert [key for key, _ in results] == ["k", "j"]
    assert results[1][1].failure == "rate_limit"


def test_a_response_that_is_none_is_an_error_of_its_key():
    """An empty response with status 200, say."""
    with answering(serving([{"key": "k-9-9", "response": {}}])) as (endpoint, _):
        ((key, error),) = jobs_of(endpoint).results("batches/one")
    assert (key, error.failure) == ("k", "bad_body")


def test_results_stay_to_be_had_again(server):
    """A crash while they are stored must find them again, also by another process."""
    jobs = jobs_of(server.endpoint)
    name = jobs.submit("day", prompts(3))
    for again in (jobs, jobs_of(server.endpoint)):
        assert len(everything(again, name)) == 3


def test_without_a_key_nothing_is_asked(server):
    """Every step says which variable is missing; making the jobs says nothing yet."""
    jobs = jobs_of(server.endpoint, key="")
    for ask in (lambda: jobs.submit("day", prompts(1)), lambda: jobs.find("day"), lambda: jobs.state("batches/one")):
        error = error_of(ask)
        assert (error.failure, "GEMINI_API_KEY" in error.detail) == ("rejected", True)
    assert not server.counters.by_endpoint


def test_a_line_of_a_bad_request_is_one(server):
    """INVALID_ARGUMENT, as the service writes it into results."""
    server.script(Fault("bad_request_400"))
    jobs = jobs_of(server.endpoint)
    ((_, error),) = everything(jobs, jobs.submit("day", prompts(1)))
    assert error.failure == "bad_request"


def test_requests_of_a_job_that_was_turned_down_are_deleted(server):
    """Nobody needs them."""
    server.script(Fault("bad_request_400").at("batchGenerateContent"))
    jobs = jobs_of(server.endpoint)
    assert error_of(lambda: jobs.submit("day", prompts(1))).failure == "bad_request"
    assert list(jobs._client.files.list()) == []


def test_requests_of_a_job_that_may_have_been_started_stay(server):
    """The reply was cut, and the job is there: without its requests it would fail."""
    server.script(Fault("cut_body").at("batchGenerateContent"))
    jobs = jobs_of(server.endpoint)
    assert error_of(lambda: jobs.submit("day", prompts(1))).failure == "bad_body"
    name = jobs.find("day")
    assert name
    assert len(everything(jobs, name)) == 1


STEPS = ["upload", "batchGenerateContent", "batches", "download"]
FAULTS = [
    (Fault("rate_limit", seconds=2), "rate_limit", 2.0),
    (Fault("unavailable_503"), "outage", None),
    (Fault("captive_portal"), "bad_body", None),
    (Fault("cut_body"), "bad_body", None),
    (Fault("reset_connection"), "bad_body", None),
    (Fault("hang", seconds=3), "timeout", None),
]


def walk(jobs):
    """All steps of a job."""
    name = jobs.submit("day", prompts(1))
    jobs.state(name)
    return list(jobs.results(name))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("fault", "failure", "retry_after_s"), FAULTS, ids=lambda value: getattr(value, "name", value))
def test_every_step_fails_as_its_cause_says_once_and_without_the_key(
    server, caplog, step, fault, failure, retry_after_s
):
    """Rows 65-71. Nothing is tried again here, no log or error holds the key, and no temporary file stays."""
    caplog.set_level(logging.DEBUG)
    server.script(fault.at(step))
    jobs = jobs_of(server.endpoint, read_timeout_s=0.8 if fault.name == "hang" else 30.0)
    error = error_of(lambda: walk(jobs))
    assert (error.failure, error.retry_after_s) == (failure, retry_after_s)
    assert error.__cause__ is error.__context__ is None
    seen = "".join(traceback.format_exception(error)) + repr(jobs) + repr([vars(record) for record in caplog.records])
    assert KEY not in seen
    assert server.snapshot()["keys_in_urls"] == 0


def test_a_finished_job_without_a_file_of_results_is_a_bad_body():
    """There must be some: it is paid."""
    with answering(lambda _: HttpReply(200, json.dumps(a_job(output={})).encode())) as (endpoint, _):
        assert error_of(lambda: list(jobs_of(endpoint).results("batches/one"))).failure == "bad_body"


def test_an_upload_that_is_turned_down_with_status_200_says_why():
    """As the service does for a type of file that it doesn't take."""
    turned_down = {"code": 400, "message": "Unsupported MIME type: jsonl", "status": "INVALID_ARGUMENT"}
    with answering(taking_uploads({"error": turned_down})) as (endpoint, _):
        error = error_of(lambda: jobs_of(endpoint).submit("day", prompts(1)))
    assert (error.failure, "Unsupported MIME type" in error.detail) == ("bad_request", True)


def test_a_redirect_is_not_followed():
    """Where it leads to would be shown the key."""
    with answering(serving([])) as (elsewhere, got):
        moved = HttpReply(302, b"", headers={"Location": f"{elsewhere}/login"})
        with answering(lambda _: moved) as (endpoint, _):
            assert error_of(lambda: jobs_of(endpoint).state("batches/one")).failure == "outage"
    assert got == []


def test_nobody_listening_is_an_outage():
    """A port that was just free."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert error_of(lambda: jobs_of(f"http://127.0.0.1:{port}").state("batches/one")).failure == "outage"


def test_a_job_that_is_not_there_is_no_state(server):
    """It may be another project's, and running: to submit it again would pay twice."""
    assert error_of(lambda: jobs_of(server.endpoint).state("batches/none")).failure == "rejected"


def test_settings_of_the_cloud_in_the_environment_change_nothing(server, monkeypatch):
    """The library would go to another service, or take another key."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v1")
    assert len(walk(jobs_of(server.endpoint))) == 1
