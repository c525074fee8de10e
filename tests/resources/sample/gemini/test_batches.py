"""The Batch and File APIs of the sample Gemini server, asked by google-genai."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from resources.sample.gemini.faults import Fault
from resources.sample.gemini.files import CHUNK_BYTES
from resources.sample.gemini.server import GeminiServer
from tests.resources.sample.gemini.calls import call, conversation_body, saying

MODEL = "gemini-2.5-flash"
KEYS = [f"k{place}" for place in range(8)]


@pytest.fixture
def server() -> Iterator[GeminiServer]:
    """A server that nothing goes wrong with yet."""
    with GeminiServer() as started:
        yield started


@pytest.fixture
def client(server: GeminiServer) -> genai.Client:
    """Its client."""
    return genai.Client(api_key="test-key", http_options=types.HttpOptions(base_url=server.endpoint))


def uploaded(client: genai.Client, lines: list[Any]) -> str:
    """The name of a file of JSON lines."""
    content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    config = types.UploadFileConfig(mime_type="application/jsonl", display_name="requests")
    return client.files.upload(file=io.BytesIO(content), config=config).name or ""


def job_of(client: genai.Client, lines: list[Any] | None = None) -> str:
    """The name of a new job; without lines, one of eight keys."""
    requests = [{"key": key, "request": saying(key)} for key in KEYS] if lines is None else lines
    config = types.CreateBatchJobConfig(display_name="job-1")
    return client.batches.create(model=MODEL, src=uploaded(client, requests), config=config).name or ""


def states(client: genai.Client, job: str, looks: int) -> list[str]:
    """What so many looks see."""
    return [(client.batches.get(name=job).state or types.JobState.JOB_STATE_UNSPECIFIED).name for _ in range(looks)]


def output(client: genai.Client, job: str) -> list[Any]:
    """The lines of a finished job."""
    dest = client.batches.get(name=job).dest
    assert dest
    assert dest.file_name
    return [json.loads(line) for line in client.files.download(file=dest.file_name).splitlines()]


def test_job_runs_and_ends_with_a_line_for_each_key(client: genai.Client, server: GeminiServer) -> None:
    """Pending, running, succeeded; the lines come in another order, each paid once at half the price."""
    job = job_of(client)
    seen = states(client, job, 2)
    lines = output(client, job)

    keys = [line["key"] for line in lines]
    assert seen == ["JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    assert sorted(keys) == KEYS
    assert keys != KEYS
    assert all(line["response"]["candidates"][0]["finishReason"] == "STOP" for line in lines)
    assert (server.paid_calls, server.paid_twice, server.calls) == (8, [], 0)
    online = GeminiServer()
    with online:
        for key in KEYS:
            call(online, saying(key))
    assert server.usd == pytest.approx(online.usd / 2)


def test_job_and_call_answer_alike(client: genai.Client, server: GeminiServer) -> None:
    """The first answer to a request is the same both ways."""
    job = job_of(client, [{"key": "a", "request": conversation_body()}])
    states(client, job, 2)
    with GeminiServer() as online:
        wanted = call(online, conversation_body()).body["candidates"]

    assert output(client, job)[0]["response"]["candidates"] == wanted


def test_jobs_are_listed_with_their_names(client: genai.Client) -> None:
    """All pages of the list; a job is found by its display name."""
    jobs = [job_of(client), job_of(client)]

    listed = list(client.batches.list(config=types.ListBatchJobsConfig(page_size=1)))

    assert sorted(job.name or "" for job in listed) == sorted(jobs)
    assert {job.display_name for job in listed} == {"job-1"}


@pytest.mark.parametrize(
    ("fault", "keys"),
    [
        (Fault("missing_keys", lines=3), 5),
        (Fault("duplicate_keys", lines=2), 10),
        (Fault("error_lines", lines=2), 8),
    ],
)
def test_job_with_faulty_lines(client: genai.Client, server: GeminiServer, fault: Fault, keys: int) -> None:
    """Lines are missing, there twice, or errors; all were billed."""
    server.script(fault)
    job = job_of(client)
    states(client, job, 2)
    lines = output(client, job)

    assert len(lines) == keys
    assert sum("error" in line for line in lines) == (2 if fault.name == "error_lines" else 0)
    assert all(("error" in line) != ("response" in line) for line in lines)
    assert server.paid_calls == 8


@pytest.mark.parametrize(
    ("fault", "state"),
    [(Fault("expired_job"), "JOB_STATE_EXPIRED"), (Fault("failed_job"), "JOB_STATE_FAILED")],
)
def test_job_without_output_costs_nothing(client: genai.Client, server: GeminiServer, fault: Fault, state: str) -> None:
    """Expired and failed jobs have no file."""
    server.script(fault)
    job = job_of(client)

    assert states(client, job, 2)[-1] == state
    assert client.batches.get(name=job).dest is None
    assert server.paid_calls == 0


def test_stuck_job_runs_for_more_looks(client: genai.Client, server: GeminiServer) -> None:
    """Three more than usual."""
    server.script(Fault("stuck_job", lines=3))
    job = job_of(client)

    assert states(client, job, 5) == ["JOB_STATE_RUNNING"] * 4 + ["JOB_STATE_SUCCEEDED"]


def test_faults_of_calls_are_errors_of_lines(client: genai.Client, server: GeminiServer) -> None:
    """A line that is refused by the script or has the wrong form is an error line with its key."""
    server.script(Fault("internal_500").on("k1"))
    bad = {"key": "bad", "request": {"contents": []}}
    job = job_of(client, [{"key": "k0", "request": saying("k0")}, {"key": "k1", "request": saying("k1")}, bad])
    states(client, job, 2)

    codes = {line["key"]: line.get("error", {}).get("code") for line in output(client, job)}
    assert codes == {"k0": None, "k1": 13, "bad": 3}
    assert server.paid_calls == 1


def test_cancelled_and_deleted_jobs(client: genai.Client) -> None:
    """A cancelled job says so; a deleted one is not found."""
    job = job_of(client)
    client.batches.cancel(name=job)
    assert states(client, job, 3)[-1] == "JOB_STATE_CANCELLED"

    client.batches.delete(name=job)
    with pytest.raises(errors.ClientError, match="404"):
        client.batches.get(name=job)


def test_requests_can_be_sent_inline(client: genai.Client) -> None:
    """A job without files answers in its own description."""
    source: Any = [{"contents": [{"parts": [{"text": "hello"}], "role": "user"}], "metadata": {"key": "k0"}}]
    job = client.batches.create(model=MODEL, src=source).name or ""
    states(client, job, 2)

    dest = client.batches.get(name=job).dest
    assert dest
    assert dest.inlined_responses
    assert dest.inlined_responses[0].metadata == {"key": "k0"}


def test_job_of_a_file_that_is_not_there(client: genai.Client) -> None:
    """No file, no model, no lines: each is an error at once."""
    with pytest.raises(errors.ClientError, match="may not exist"):
        client.batches.create(model=MODEL, src="files/nothing")
    with pytest.raises(errors.ClientError, match="not found"):
        client.batches.create(model="gemini-0", src=uploaded(client, [{}]))
    with pytest.raises(errors.ClientError, match="no requests"):
        client.batches.create(model=MODEL, src=uploaded(client, []))


def test_lost_reply_of_a_new_job_leaves_the_job(client: genai.Client, server: GeminiServer) -> None:
    """Whoever sends it again then pays twice: the list shows that it is there."""
    server.script(Fault("cut_body").at("batchGenerateContent"))
    with pytest.raises(Exception, match=r"(?i)peer closed|incomplete"):
        job_of(client)

    assert len(list(client.batches.list())) == 1


def test_files_are_listed_read_and_deleted(client: genai.Client) -> None:
    """An uploaded file has a size and can't be downloaded; a deleted one is gone."""
    name = uploaded(client, [{"a": 1}])

    assert client.files.get(name=name).size_bytes == len('{"a": 1}\n')
    assert [file.name for file in client.files.list()] == [name]
    with pytest.raises(errors.ClientError, match="Only generated files"):
        client.files.download(file=name)
    client.files.delete(name=name)
    with pytest.raises(errors.ClientError, match="403"):
        client.files.get(name=name)


def test_large_file_goes_up_in_chunks(server: GeminiServer, client: genai.Client) -> None:
    """9 MiB are two chunks of 8 and 1 MiB, and the start: three calls."""
    content = io.BytesIO(b"x" * (9 * 1024 * 1024))

    file = client.files.upload(file=content, config=types.UploadFileConfig(mime_type="text/plain"))

    assert file.size_bytes == 9 * 1024 * 1024
    assert server.counters.by_endpoint["upload"] == 3
    assert (8 * 1024 * 1024) % CHUNK_BYTES == 0
