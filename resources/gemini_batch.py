"""Gemini's Batch API through google-genai 3.4.0: many prompts as one job, at half the price, done within a day.

A job is a file of requests, one JSON line each, and answers are a file of lines in any order, joined by key. Nothing
here repeats a call or waits for a job: a call that fails raises CallError, and whoever has the job's name asks again.
The service deletes the files itself after two days.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pydantic import JsonValue

from resources.desk.calls import CallError, Prompt, Reply
from resources.desk.remote_jobs import TURNED_DOWN
from resources.desk_settings import DeskSection, Gemini
from resources.gemini import checked_endpoint, no_key
from resources.gemini_replies import error_of, line_error, reply_of, without_key
from resources.gemini_schema import gemini_schema

if TYPE_CHECKING:
    import httpx2

JobState = Literal["running", "done", "expired", "failed"]
Done = TypeVar("Done")

log = logging.getLogger(__name__)

# Every other state, also one that nobody knows yet, is of a job that may still end well.
ENDS: dict[str, JobState] = {
    "JOB_STATE_SUCCEEDED": "done",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "done",
    "JOB_STATE_EXPIRED": "expired",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_CANCELLED": "failed",
}
JSON_LINES = "jsonl"  # what the service's documentation calls the type of such files
PAGE_JOBS = 100


class GeminiJobs:
    """Jobs of one model. Every method raises CallError where the service can't be asked, or there is no key."""

    def __init__(self, settings: Gemini, desk: DeskSection, key: str) -> None:
        self._settings, self._desk, self._key = settings, desk, key
        checked_endpoint(settings)

    def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
        """Starts a job and returns its name.

        After a timeout, bad_body or outage the job may have been started all the same: `find` it before the next try.
        """
        with TemporaryDirectory(prefix="gemini-") as folder:
            path = Path(folder) / "requests.jsonl"
            with path.open("w", encoding="utf-8") as file:
                file.writelines(_line(key, prompt, self._settings) for key, prompt in prompts.items())
            config = {"display_name": display_name, "mime_type": JSON_LINES}
            uploaded = self._asked(lambda: self._client.files.upload(file=path, config=config))
        try:
            job = self._asked(
                lambda: self._client.batches.create(
                    model=self._settings.model, src=uploaded.name, config={"display_name": display_name}
                )
            )
        except CallError as error:
            if error.failure in TURNED_DOWN:  # there is surely no job that needs it
                self._delete(uploaded.name)
            raise
        return str(job.name)

    def find(self, display_name: str) -> str | None:
        """The name of the newest job of this display name that is running or done; None: there is none."""
        found = [job for job in self._jobs() if job.display_name == display_name and job.name]
        usable = [job for job in found if _state(job) in {"running", "done"}]
        never = datetime.min.replace(tzinfo=UTC)
        return str(max(usable, key=lambda job: job.create_time or never).name) if usable else None

    def state(self, job_name: str) -> JobState:
        """How far a job is. One that the service does not know raises CallError: the key may be another project's."""
        return _state(self._asked(lambda: self._client.batches.get(name=job_name)))

    def results(self, job_name: str) -> Iterator[tuple[str, Reply | CallError]]:
        """The result of each key that has one, once, a reply before an error; errors come last.

        A job that is expired or failed may have some results too. Lines that can't be read are passed over with a
        warning.
        """
        job = self._asked(lambda: self._client.batches.get(name=job_name))
        if not (job.dest and job.dest.file_name):
            if _state(job) == "done":
                raise CallError("bad_body", f"{job_name} is done, but names no file of results")
            return
        replied: set[str] = set()
        errors: dict[str, CallError] = {}
        with TemporaryDirectory(prefix="gemini-") as folder:
            path = Path(folder) / "results.jsonl"
            self._asked(lambda: self._client.files.download(file=job.dest.file_name, destination=path))
            for result in _results(path):
                if isinstance(result.found, CallError):
                    errors.setdefault(result.key, result.found)
                elif result.key not in replied:
                    replied.add(result.key)
                    yield result.key, result.found
        yield from ((key, without_key(error, self._key)) for key, error in errors.items() if key not in replied)

    def _jobs(self) -> Iterator[Any]:
        pages = self._asked(lambda: self._client.batches.list(config={"page_size": PAGE_JOBS}))
        while True:
            yield from pages.page
            # Not the pager's own iteration: it ends at the first page that is empty.
            if not pages.config.get("page_token"):
                return
            self._asked(pages.next_page)

    def _delete(self, file_name: str) -> None:
        try:
            self._asked(lambda: self._client.files.delete(name=file_name))
        except CallError as error:
            log.info("%s stays for two days: %s", file_name, error)

    def _asked(self, ask: Callable[[], Done]) -> Done:
        """What the service says. Raises CallError and nothing else that comes from a connection or a reply."""
        if not self._key:
            raise no_key()
        import httpx2

        try:
            return ask()
        except CallError as caught:
            error = caught
        except (httpx2.ConnectTimeout, httpx2.ConnectError, httpx2.ProxyError) as caught:
            error = CallError("outage", f"no connection; check the network and gemini.endpoint: {caught}")
        except httpx2.TimeoutException:
            error = CallError("timeout", f"no reply within {self._desk.read_timeout_s:g} s")
        except httpx2.TransportError as caught:
            error = CallError("bad_body", f"the connection broke off: {type(caught).__name__}: {caught}")
        except (ValueError, KeyError, TypeError, AttributeError) as caught:
            # The library reads replies without checking them: this is what it raises at a body that isn't one.
            error = CallError("bad_body", f"not a reply of the Batch API: {type(caught).__name__}: {caught}")
        raise without_key(error, self._key)  # here nothing points to what was caught, which holds the key's header

    @cached_property
    def _client(self) -> Any:
        import httpx2
        from google import genai

        hooks: Any = {"request": [self._limited], "response": [_checked]}
        options = genai.types.HttpOptions(
            base_url=checked_endpoint(self._settings) or None,
            api_version="v1beta",
            # Its own follows redirects, with the key.
            httpx_client=httpx2.Client(follow_redirects=False, event_hooks=hooks),
        )
        return genai.Client(vertexai=False, api_key=self._key, http_options=options)

    def _limited(self, request: "httpx2.Request") -> None:
        """The library knows one limit for everything, and none by default."""
        read_s, connect_s = self._desk.read_timeout_s, self._desk.connect_timeout_s
        request.extensions["timeout"] = {"connect": connect_s, "read": read_s, "write": read_s, "pool": connect_s}


class _Result(NamedTuple):
    key: str
    found: Reply | CallError


def _checked(response: "httpx2.Response") -> None:
    """Raises CallError for an error, before the library makes less of it: also for one with status 200."""
    is_upload = "/upload/" in response.request.url.path
    if response.status_code != 200 or (is_upload and response.read().lstrip().startswith(b'{"error"')):
        raise error_of(response.status_code, response.read(), retry_after=response.headers.get("Retry-After"))
    if "html" in response.headers.get("Content-Type", ""):  # a login page: no file of results without results
        raise CallError("bad_body", "status 200, but an HTML page")


def _state(job: Any) -> JobState:
    return ENDS.get(job.state.value if job.state else "", "running")


def _line(key: str, prompt: Prompt, settings: Gemini) -> str:
    """One line of the file of requests.

    What it may have cost at most goes with the key and comes back with it: results don't repeat the request.
    """
    request = json.dumps(_request(prompt, settings), ensure_ascii=False)
    bound_key = f"{key}-{len(request.encode())}-{prompt.max_output_tokens}"
    return f'{{"key": {json.dumps(bound_key)}, "request": {request}}}\n'


def _request(prompt: Prompt, settings: Gemini) -> dict[str, JsonValue]:
    """The request in JSON of the REST protocol, field by field that of `resources.gemini`."""
    return {
        "system_instruction": {"parts": [{"text": prompt.instructions}]},
        "contents": [{"role": message.role, "parts": [{"text": message.text}]} for message in prompt.messages],
        "generation_config": {
            "candidate_count": 1,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "max_output_tokens": prompt.max_output_tokens,
            "response_mime_type": "application/json",
            "response_schema": gemini_schema(prompt.schema),
        },
    }


def _results(path: Path) -> Iterator[_Result]:
    unread = 0
    with path.open("rb") as lines:
        for line in filter(bytes.strip, lines):
            result = _result(line)
            if result:
                yield result
            unread += result is None
    if unread:
        log.warning("%d lines of a batch's results can't be read; their requests count as without result", unread)


def _result(line: bytes) -> _Result | None:
    """The result in a line; None: it holds none."""
    try:
        read = json.loads(line)
        key, most_input, most_output = read["key"].rsplit("-", 2)
        if "response" not in read:
            return _Result(key, line_error(read["error"] if "error" in read else read["status"]))
        body = json.dumps(read["response"]).encode()
        return _Result(key, reply_of(body, most_input=int(most_input), most_output=int(most_output)))
    except CallError as error:
        return _Result(key, error)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
