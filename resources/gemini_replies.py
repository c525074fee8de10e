"""What the Gemini service answers, read in one way for single calls and batches: a reply, or why there is none.

The body is read here and not taken from google-generativeai: its messages are older than thinking. They have no place
for the mark that tells a thought from the answer, for the tokens of thoughts, and for finish reasons of later years.
"""

import re
from typing import Any

from pydantic import BaseModel, Field, JsonValue, ValidationError, model_validator

from resources.desk.calls import MAX_TOKENS, STOP, CallError, Failure, Reply

# Candidate.FinishReason and PromptFeedback.BlockReason of the protocol, v1beta. Whatever isn't here isn't a good end.
FINISHES = {
    "FINISH_REASON_UNSPECIFIED": (0, "unspecified"),
    "STOP": (1, STOP),
    "MAX_TOKENS": (2, MAX_TOKENS),
    "SAFETY": (3, "safety"),
    "RECITATION": (4, "recitation"),
    "OTHER": (5, "other"),
    "LANGUAGE": (6, "language"),
    "BLOCKLIST": (7, "blocklist"),
    "PROHIBITED_CONTENT": (8, "prohibited_content"),
    "SPII": (9, "spii"),
    "MALFORMED_FUNCTION_CALL": (10, "malformed_function_call"),
    "IMAGE_SAFETY": (11, "image_safety"),
}
BLOCKS = {
    "BLOCK_REASON_UNSPECIFIED": (0, "unspecified"),
    "SAFETY": (1, "safety"),
    "OTHER": (2, "other"),
    "BLOCKLIST": (3, "blocklist"),
    "PROHIBITED_CONTENT": (4, "prohibited_content"),
    "IMAGE_SAFETY": (5, "image_safety"),
}
# google.rpc.Code, as a line of a batch has it, to the HTTP code that a single call gets for the same.
HTTP_CODES = {1: 499, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 409, 11: 400, 12: 501}
HTTP_CODES |= {13: 500, 14: 503, 15: 500, 16: 401}
PASSING = frozenset({408, 409, 425, 499})  # of the codes below 500, those of a bad moment and not of a bad request
LONGEST_DETAIL = 300


def reply_of(body: bytes, *, most_input: int, most_output: int) -> Reply:
    """The reply in a body with status 200.

    A service that doesn't say what it counted, or counted no prompt, is taken to have billed `most_input` tokens and,
    where it wrote anything, `most_output`; one that counted no output for a text, the latter. Raises CallError:
    bad_body for what is no reply of this service, `error_of` an error in it.
    """
    try:
        read = _Body.model_validate_json(body)
    except ValidationError:
        raise CallError("bad_body", f"status 200, but not a reply of the service: {_shown(body)}") from None
    if read.error:
        raise error_of(200, body)
    if not read.model_fields_set:
        raise CallError("bad_body", f"status 200, but nothing of a reply in it: {_shown(body)}")
    candidate = read.candidates[0] if read.candidates else None
    text = candidate.text() if candidate else ""
    usage = read.usage or _Usage()
    output = usage.output()
    if candidate and (not usage.prompt or (text and not output)):
        output = max(output, most_output)
    return Reply(text, _finish(read, candidate, text), usage.prompt or most_input, output, read.model_version)


def error_of(status: int, body: bytes, *, retry_after: str | None = None) -> CallError:
    """Why a call has no reply; `retry_after` is that header. The code of an error with status 200 is in its body."""
    try:
        error = _ErrorBody.model_validate_json(body).error
    except ValidationError:
        error = _Error(message=_shown(body))
    status = status if status != 200 else error.code or 500
    said = f"{status} {error.status}".strip() + f": {_shortened(error.message).rstrip('.')}"
    return CallError(
        _failure(status, error), said + _advice(status, error), retry_after_s=_seconds_to_wait(error, retry_after)
    )


def line_error(status: JsonValue) -> CallError:
    """Why a line of a batch has no reply: an error in the form of google.rpc.Status, or of an HTTP body."""
    try:
        error = _Error.model_validate(status)
    except ValidationError:
        return CallError("bad_body", "a line of the batch has an error without a form")
    body = _ErrorBody(error=error).model_dump_json().encode()
    return error_of(HTTP_CODES.get(error.code, error.code or 500), body)


def without_key(error: CallError, key: str) -> CallError:
    """The same error, should a server or a proxy have repeated the key."""
    detail = error.detail.replace(key, "<key>") if key else error.detail
    return CallError(error.failure, detail, retry_after_s=error.retry_after_s)


class _Said(BaseModel):
    """A message of the service; null is what proto3 means by leaving a field out."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, said: object) -> object:
        return {name: value for name, value in said.items() if value is not None} if isinstance(said, dict) else said


class _Part(_Said):
    text: str = ""
    thought: bool = False


class _Content(_Said):
    parts: list[_Part] = []


class _Candidate(_Said):
    content: _Content | None = None
    finish: int | str = Field(default=0, alias="finishReason")

    def text(self) -> str:
        """What was answered; thoughts on the way are none of it."""
        return "".join(part.text for part in (self.content.parts if self.content else []) if not part.thought)


class _Usage(_Said, populate_by_name=True):
    prompt: int = Field(default=0, alias="promptTokenCount")
    candidates: int = Field(default=0, alias="candidatesTokenCount")
    thoughts: int = Field(default=0, alias="thoughtsTokenCount")
    total: int = Field(default=0, alias="totalTokenCount")

    def output(self) -> int:
        """All that is billed as output, by whichever count is higher."""
        return max(self.candidates + self.thoughts, self.total - self.prompt)


class _Feedback(_Said):
    block: int | str | None = Field(default=None, alias="blockReason")


class _Error(_Said):
    code: int = 0
    message: str = ""
    status: str = ""
    details: list[dict[str, Any]] = []


class _ErrorBody(_Said):
    error: _Error


class _Body(_Said):
    candidates: list[_Candidate] = []
    feedback: _Feedback | None = Field(default=None, alias="promptFeedback")
    usage: _Usage | None = Field(default=None, alias="usageMetadata")
    model_version: str = Field(default="", alias="modelVersion")
    error: _Error | None = None


def _finish(read: _Body, candidate: _Candidate | None, text: str) -> str:
    if read.feedback and read.feedback.block is not None:
        return f"blocked_{_word(read.feedback.block, BLOCKS, unknown='')}"
    if candidate is None:
        return "empty"
    finish = _word(candidate.finish, FINISHES, unknown="finish_")
    return "empty" if finish == STOP and not text else finish


def _word(value: int | str, known: dict[str, tuple[int, str]], *, unknown: str) -> str:
    """The word for a name or a number of the protocol; one that isn't known can't be taken for one that is."""
    for name, (number, word) in known.items():
        if value in (name, number):
            return word
    return unknown + re.sub(r"\W+", "_", str(value).lower())[:40]


def _failure(status: int, error: _Error) -> Failure:
    if status == 429:
        return "daily_quota" if any("perday" in quota for quota in _quotas(error)) else "rate_limit"
    if status == 400:
        return "rejected" if _is_about_key(status, error) else "bad_request"
    # 3xx: what redirects an API's POST is a login page on the way to it.
    return "outage" if status >= 500 or status in PASSING or status < 400 else "rejected"


def _quotas(error: _Error) -> list[str]:
    """The names of the quotas that were exceeded, without capitals and underscores."""
    violations = [found for detail in error.details for found in detail.get("violations") or []]
    names = [f"{found.get('quotaId')} {found.get('quotaMetric')}" for found in violations if isinstance(found, dict)]
    return [name.lower().replace("_", "") for name in names]


def _seconds_to_wait(error: _Error, retry_after: str | None) -> float | None:
    delays = [str(detail["retryDelay"]).removesuffix("s") for detail in error.details if "retryDelay" in detail]
    for said in (*delays, retry_after or ""):
        if re.fullmatch(r"\d{1,9}(\.\d+)?", said):
            return float(said)
    return None


def _advice(status: int, error: _Error) -> str:
    """What a person can do about a call that was turned down."""
    if _failure(status, error) not in {"rejected", "bad_request"}:
        return ""
    if _is_about_key(status, error):
        return "; check GEMINI_API_KEY and that its project may use this model"
    if status == 404:
        return "; check gemini.model, which may be retired, and gemini.endpoint"
    return "; check gemini.model and the other settings of gemini, or what the prompt holds"


def _is_about_key(status: int, error: _Error) -> bool:
    return status in {401, 403} or "API_KEY" in str(error.details) or "API key" in error.message


def _shown(body: bytes) -> str:
    text = body[: 4 * LONGEST_DETAIL].decode(errors="replace")
    return f"an HTML page ({len(body)} bytes)" if text.lstrip().startswith("<") else f"{_shortened(text)!r}"


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_DETAIL else f"{line[:LONGEST_DETAIL]}..."
