"""The Batch API of the sample Gemini server: a job is made, worked at while nobody looks, and read as a file."""

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from pydantic import JsonValue

from resources.sample.gemini.answers import Model, payload_text
from resources.sample.gemini.counters import Counters
from resources.sample.gemini.faults import Fault, Script, refusal
from resources.sample.gemini.files import Files, page_of, timestamp
from resources.sample.gemini.http import HttpCall
from resources.sample.gemini.protocol import ApiError, Json, bad_argument, reply_body
from resources.sample.gemini.requests import parsed, read_generate

PENDING, RUNNING, SUCCEEDED = "BATCH_STATE_PENDING", "BATCH_STATE_RUNNING", "BATCH_STATE_SUCCEEDED"
FAILED, CANCELLED, EXPIRED = "BATCH_STATE_FAILED", "BATCH_STATE_CANCELLED", "BATCH_STATE_EXPIRED"
TYPE_URL = "type.googleapis.com/google.ai.generativelanguage.v1main."
LOST_LINE: Json = {"code": 13, "message": "Internal error encountered."}
WORK_WAIT_S = 5.0  # a look waits so long for the work: tests need no loop


@dataclass(slots=True)
class Batch:
    """One job."""

    name: str
    model: str
    display_name: str
    source: Json
    lines: list[Json]
    has_file: bool
    looks_left: int
    fault: Fault | None
    made_at: datetime
    state: str = PENDING
    output: Json = field(default_factory=dict)
    errors: int = 0
    done: threading.Event = field(default_factory=threading.Event)


class Batches:
    """All jobs of a server. Each answers its lines in a thread of its own and bills them at the batch price."""

    def __init__(
        self,
        files: Files,
        script: Script,
        counters: Counters,
        model: Model,
        stopping: threading.Event,
        *,
        seed: int,
        looks: int,
    ) -> None:
        self._files, self._script, self._counters = files, script, counters
        self._model, self._stopping = model, stopping
        self._seed, self._looks, self._lock = seed, looks, threading.Lock()
        self._batches: dict[str, Batch] = {}

    def create(self, model: str, body: Any) -> Json:
        """Accept a job: `batch.inputConfig` names a file of lines or holds the requests."""
        asked = body.get("batch") if isinstance(body, dict) else None
        source = asked.get("inputConfig") or asked.get("input_config") if isinstance(asked, dict) else None
        if not isinstance(asked, dict) or not isinstance(source, dict):
            raise bad_argument("* BatchGenerateContentRequest.batch.input_config: must be specified.")
        display_name = str(asked.get("displayName") or asked.get("display_name") or "")
        file_name = source.get("fileName") or source.get("file_name")
        lines = self._lines(str(file_name)) if file_name else _inlined(source)
        if not lines:
            raise bad_argument("* BatchGenerateContentRequest.batch.input_config: has no requests.")
        name = f"batches/{self._files.fresh_name()}"
        fault = self._script.drawn_for_job(f"job/{name}", lambda: display_name)
        looks = self._looks + (fault.lines if fault and fault.name == "stuck_job" else 0)
        shown: Json = {"fileName": str(file_name)} if file_name else {}
        batch = Batch(name, model, display_name, shown, lines, bool(file_name), looks, fault, datetime.now(UTC))
        with self._lock:
            self._batches[name] = batch
        threading.Thread(target=self._work, args=(batch,), name=name, daemon=True).start()
        return _operation(batch)

    def asked(self, call: HttpCall, name: str, method: str) -> Json:
        """List, get, cancel or delete. Each get is one look."""
        if name == "batches":
            with self._lock:
                operations = [_operation(batch) for batch in self._batches.values()]
            return page_of("operations", operations[::-1], call)
        batch = self._found(name)
        if method == "cancel" or call.method == "DELETE":
            with self._lock:
                if batch.state in {PENDING, RUNNING}:
                    batch.state = CANCELLED
                if call.method == "DELETE":
                    del self._batches[name]
            return {}
        self._look(batch)
        return _operation(batch)

    def _lines(self, file_name: str) -> list[Json]:
        lines: list[Json] = []
        for number, text in enumerate(self._files.found(file_name).content.splitlines(), start=1):
            line = parsed(text)
            if not isinstance(line, dict):
                raise bad_argument(f"Line {number} of {file_name} is no JSON object.")
            lines.append(line)
        return lines

    def _look(self, batch: Batch) -> None:
        if batch.looks_left > 0:
            batch.looks_left -= 1
            if batch.state == PENDING:
                batch.state = RUNNING
        elif batch.state in {PENDING, RUNNING} and batch.done.wait(WORK_WAIT_S):
            end = {"expired_job": EXPIRED, "failed_job": FAILED}.get(batch.fault.name if batch.fault else "", SUCCEEDED)
            with self._lock:
                batch.state = end if batch.state != CANCELLED else CANCELLED

    def _work(self, batch: Batch) -> None:
        if batch.fault is None or batch.fault.name not in {"expired_job", "failed_job"}:
            answered: list[Json] = []
            for line in batch.lines:
                if batch.state == CANCELLED or self._stopping.is_set():
                    return
                answered.append(self._answered(batch.model, line))
            Random(f"{self._seed}/{batch.name}").shuffle(answered)  # noqa: S311 - the service promises no order
            answered = _spoilt(answered, batch.fault)
            batch.errors = sum("error" in line for line in answered)
            batch.output = self._stored(batch, answered)
        batch.done.set()

    def _answered(self, model: str, line: Json) -> Json:
        known: Json = {name: line[name] for name in ("key", "metadata") if name in line}
        try:
            asked = read_generate(model, line.get("request"))
            draw = f"{asked.identity}/{self._counters.asked_before(asked.identity)}"
            fault = self._script.drawn("generateContent", draw, lambda: payload_text(asked))
            if fault and fault.layer == "refusal":
                raise refusal(fault, model)
        except ApiError as error:
            return {**known, "error": error.rpc_status()}
        before = self._counters.answered_before(asked.identity)
        written = self._model.write(asked, answered_before=before, fault=fault)
        self._counters.paid(asked, written, is_batch=True)
        response = reply_body(
            written,
            input_tokens=asked.input_tokens,
            model=model,
            response_id=f"{asked.identity[:16]}-{before}",
            has_numbers=False,
        )
        return {**known, "response": response}

    def _stored(self, batch: Batch, answered: list[Json]) -> Json:
        if not batch.has_file:
            return {"inlinedResponses": {"inlinedResponses": list(answered)}}
        content = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in answered)
        name = f"files/batch-{batch.name.removeprefix('batches/')}"
        lines = content.encode(errors="surrogatepass")
        self._files.store(lines, name=name, mime_type="application/jsonl", is_generated=True)
        return {"responsesFile": name}

    def _found(self, name: str) -> Batch:
        with self._lock:
            batch = self._batches.get(name)
        if batch is None:
            raise ApiError(404, "NOT_FOUND", f"Batch {name} was not found.")
        return batch


def _inlined(source: Json) -> list[Json]:
    requests: Any = source.get("requests") or {}
    lines = requests.get("requests") if isinstance(requests, dict) else None
    return [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []


def _spoilt(answered: list[Json], fault: Fault | None) -> list[Json]:
    """The output of a job with its faulty lines. What is missing or an error here was billed."""
    if fault is None:
        return answered
    first, rest = answered[: fault.lines], answered[fault.lines :]
    match fault.name:
        case "missing_keys":
            return rest
        case "duplicate_keys":
            return [*first, *rest, *first]
        case "error_lines":
            return [*map(_lost, first), *rest]
        case _:
            return answered


def _lost(line: Json) -> Json:
    return {**{name: inner for name, inner in line.items() if name != "response"}, "error": LOST_LINE}


def _operation(batch: Batch) -> Json:
    """A long-running operation whose metadata is the batch."""
    is_done = batch.state not in {PENDING, RUNNING}
    now = timestamp(datetime.now(UTC))
    stats: Counter[str] = Counter(requestCount=len(batch.lines))
    if batch.state == SUCCEEDED:
        stats.update(successfulRequestCount=len(batch.lines) - batch.errors, failedRequestCount=batch.errors)
    else:
        stats.update(pendingRequestCount=len(batch.lines))
    metadata: dict[str, JsonValue] = {
        "@type": f"{TYPE_URL}GenerateContentBatch",
        "name": batch.name,
        "model": f"models/{batch.model}",
        "displayName": batch.display_name,
        "inputConfig": batch.source,
        "createTime": timestamp(batch.made_at),
        "updateTime": now,
        "batchStats": {name: str(count) for name, count in stats.items() if count},
        "state": batch.state,
        **({"endTime": now} if is_done else {}),
    }
    operation: Json = {"name": batch.name, "metadata": metadata}
    if is_done:
        operation["done"] = True
    if batch.state == SUCCEEDED:
        metadata["output"] = batch.output
        operation["response"] = {"@type": f"{TYPE_URL}GenerateContentBatchOutput", **batch.output}
    elif batch.state == FAILED:
        operation["error"] = LOST_LINE
    return operation
