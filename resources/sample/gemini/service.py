"""What the sample Gemini service does with a call: who may, which endpoint, and what goes wrong by the script."""

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp

from resources.sample.gemini.answers import Model, payload_text
from resources.sample.gemini.batches import Batches
from resources.sample.gemini.counters import Counters, Quota
from resources.sample.gemini.faults import Endpoint, Fault, Script, refusal
from resources.sample.gemini.files import Files
from resources.sample.gemini.http import HTML_TYPE, Delivery, HttpCall, HttpReply
from resources.sample.gemini.protocol import (
    ApiError,
    Json,
    bad_credentials,
    encoded,
    no_key,
    no_model,
    reply_body,
    unknown_key,
)
from resources.sample.gemini.requests import Asked, parsed, read_count, read_generate

VERSIONS = frozenset({"v1", "v1beta", "v1alpha"})
HAS_NUMBERS = "enum-encoding=int"
DELIVERIES: dict[str, Delivery] = {"cut_body": "cut_body", "cut_chunks": "cut_chunks", "reset_after_billing": "reset"}
BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
PORTAL = b"<!doctype html><html><body><h1>Welcome to the guest network</h1><p>Please sign in.</p></body></html>"


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds that an answer takes: always the median, or log-normal around it."""

    median_s: float = 0.0
    sigma: float = 0.0

    def drawn(self, seed: int, draw: str) -> float:
        """The time of one call."""
        if not self.sigma:
            return self.median_s
        return self.median_s * exp(self.sigma * random.Random(f"{seed}/latency/{draw}").gauss())  # noqa: S311


class Service:
    """Gemini behind its HTTP: `handle` answers a call."""

    def __init__(  # noqa: PLR0913 - the parts that it is made of
        self,
        *,
        key: str,
        models: tuple[str, ...],
        seed: int,
        model: Model,
        script: Script,
        counters: Counters,
        quota: Quota,
        latency: Latency,
        batch_looks: int,
    ) -> None:
        self._key, self._models, self._seed, self._model = key, models, seed, model
        self._script, self._counters, self._quota, self._latency = script, counters, quota, latency
        self.stopping = threading.Event()
        self._files = Files(seed)
        self._batches = Batches(self._files, script, counters, model, self.stopping, seed=seed, looks=batch_looks)

    def handle(self, call: HttpCall) -> HttpReply:
        """The reply to one call; also counts it."""
        if call.path == "/_counters":
            return HttpReply(200, json.dumps(self._counters.snapshot()).encode() + b"\n")
        try:
            reply = self._routed(call)
        except ApiError as error:
            reply = HttpReply(error.code, encoded(error.body()))
        self._counters.ended(0 if reply.delivery == "reset" else reply.status)
        return reply

    def _routed(self, call: HttpCall) -> HttpReply:
        is_upload, place = _place(call.path)
        name, _, method = place.partition(":")
        endpoint = _endpoint(name, method, is_upload=is_upload)
        self._counters.arrived(endpoint, has_key_in_url="key" in call.query)
        if not (is_upload and "upload_id" in call.query):  # an upload's address is its own secret
            self._check_key(call)
        if endpoint == "generateContent":
            return self._generate(name.removeprefix("models/"), call)
        return self._with_fault(endpoint, call, lambda: self._plain(endpoint, name, method, call))

    def _plain(self, endpoint: Endpoint, name: str, method: str, call: HttpCall) -> HttpReply:
        """Every endpoint but generateContent."""
        if endpoint == "upload":
            return self._files.upload(call)
        if endpoint == "download":
            return HttpReply(200, self._files.content(name), "application/octet-stream")
        return HttpReply(200, encoded(self._said(endpoint, name, method, call)))

    def _said(self, endpoint: Endpoint, name: str, method: str, call: HttpCall) -> Json:
        model = name.removeprefix("models/")
        match endpoint:
            case "files":
                return self._files.asked(call, name)
            case "batches":
                return self._batches.asked(call, name, method)
            case "countTokens":
                return {"totalTokens": read_count(self._known(model, method), parsed(call.body)).input_tokens}
            case "batchGenerateContent":
                return self._batches.create(self._known(model, method), parsed(call.body))
            case _:
                return self._model_cards(call, name, method)

    def _model_cards(self, call: HttpCall, name: str, method: str) -> Json:
        if call.method != "GET" or method:
            raise no_model(name.removeprefix("models/"), method or call.method)
        if name == "models":
            return {"models": [_model_card(model) for model in self._models]}
        return _model_card(self._known(name.removeprefix("models/"), "generateContent"))

    def _known(self, model: str, method: str) -> str:
        if model not in self._models:
            raise no_model(model, method)
        return model

    def _generate(self, model: str, call: HttpCall) -> HttpReply:
        start = time.monotonic()
        asked = read_generate(self._known(model, "generateContent"), parsed(call.body))
        with self._counters.under_way():
            self._quota.admit(asked.input_tokens)
            draw = f"{asked.identity}/{self._counters.asked_before(asked.identity)}"
            fault = self._script.drawn("generateContent", draw, lambda: payload_text(asked))
            if fault and fault.layer == "refusal":
                return _refused(fault, model)
            body = self._billed(asked, fault, has_numbers=HAS_NUMBERS in call.query.get("$alt", ""))
            left_s = start + self._latency.drawn(self._seed, draw) - time.monotonic()
            return self._delivered(fault, HttpReply(200, encoded(body)), after_s=left_s)

    def _billed(self, asked: Asked, fault: Fault | None, *, has_numbers: bool) -> Json:
        before = self._counters.answered_before(asked.identity)
        written = self._model.write(asked, answered_before=before, fault=fault)
        self._counters.paid(asked, written, is_batch=False)
        return reply_body(
            written,
            input_tokens=asked.input_tokens,
            model=asked.model,
            response_id=f"{asked.identity[:16]}-{before}",
            has_numbers=has_numbers,
        )

    def _with_fault(self, endpoint: Endpoint, call: HttpCall, serve: Callable[[], HttpReply]) -> HttpReply:
        draw = f"{endpoint}/{self._counters.by_endpoint[endpoint]}"
        fault = self._script.drawn(endpoint, draw, lambda: f"{call.path}\n{call.body.decode(errors='replace')}")
        if fault and fault.layer == "refusal":
            return _refused(fault, "")
        return self._delivered(fault, serve())

    def _delivered(self, fault: Fault | None, reply: HttpReply, *, after_s: float = 0.0) -> HttpReply:
        """The reply, late or not whole; none once the server stops."""
        is_broken = fault is not None and fault.layer == "transport"
        late_s = (fault.seconds or 0.0) if fault and is_broken else 0.0
        if self.stopping.wait(max(0.0, after_s) + late_s):
            return replace(reply, delivery="reset")
        return replace(reply, delivery=DELIVERIES.get(fault.name, "whole")) if fault and is_broken else reply

    def _check_key(self, call: HttpCall) -> None:
        key = call.headers.get("x-goog-api-key") or call.query.get("key")
        if key is None:
            raise bad_credentials() if "authorization" in call.headers else no_key()
        if key != self._key:
            raise unknown_key()


def _place(path: str) -> tuple[bool, str]:
    """Whether it is an upload, and the path behind the version."""
    parts = path.strip("/").split("/")
    is_upload = parts[0] == "upload"
    version, *rest = parts[is_upload:] or [""]
    if version not in VERSIONS or not rest:
        raise ApiError(404, "NOT_FOUND", "Requested entity was not found.")
    return is_upload, "/".join(rest)


def _endpoint(name: str, method: str, *, is_upload: bool) -> Endpoint:
    collection = name.split("/", maxsplit=1)[0]
    if is_upload:
        return "upload"
    if collection == "files":
        return "download" if method == "download" else "files"
    if collection == "batches":
        return "batches"
    if collection != "models":
        raise ApiError(404, "NOT_FOUND", "Requested entity was not found.")
    methods: dict[str, Endpoint] = {
        "generateContent": "generateContent",
        "countTokens": "countTokens",
        "batchGenerateContent": "batchGenerateContent",
    }
    return methods.get(method, "models")


def _refused(fault: Fault, model: str) -> HttpReply:
    if fault.name == "bad_gateway_html_502":
        return HttpReply(502, BAD_GATEWAY, HTML_TYPE)
    if fault.name == "captive_portal":
        return HttpReply(200, PORTAL, HTML_TYPE)
    if fault.name == "reset_connection":
        return HttpReply(500, b"", delivery="reset")
    error = refusal(fault, model)
    return HttpReply(error.code, encoded(error.body()))


def _model_card(model: str) -> Json:
    return {
        "name": f"models/{model}",
        "version": "001",
        "displayName": model,
        "description": "A model of the sample world",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "batchGenerateContent"],
        "temperature": 1.0,
        "maxTemperature": 2.0,
        "topP": 0.95,
        "topK": 64,
    }
