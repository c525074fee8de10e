"""What the Gemini REST service says: errors in Google's form, replies with enums as names or numbers, token counts.

The forms are those of v1beta as google-generativeai 0.8.6 and google-genai 3.4.0 read them. A token is four bytes of
UTF-8, rounded up: our rule, so that a test can count by hand; the real tokenizer is close to it in English.
"""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

Json = dict[str, JsonValue]

BYTES_PER_TOKEN = 4
FINISH_REASONS = {
    "FINISH_REASON_UNSPECIFIED": 0,
    "STOP": 1,
    "MAX_TOKENS": 2,
    "SAFETY": 3,
    "RECITATION": 4,
    "OTHER": 5,
    "LANGUAGE": 6,
    "BLOCKLIST": 7,
    "PROHIBITED_CONTENT": 8,
    "SPII": 9,
    "MALFORMED_FUNCTION_CALL": 10,
    "IMAGE_SAFETY": 11,
    "UNEXPECTED_TOOL_CALL": 12,
}
BLOCK_REASONS = {
    "BLOCK_REASON_UNSPECIFIED": 0,
    "SAFETY": 1,
    "OTHER": 2,
    "BLOCKLIST": 3,
    "PROHIBITED_CONTENT": 4,
    "IMAGE_SAFETY": 5,
}
# google.rpc.Code of the statuses used here: the HTTP code of an error body and the code of a batch's error line differ.
RPC_CODES = {
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
TYPE_URL = "type.googleapis.com/google.rpc."
MINUTE_QUOTA = "GenerateRequestsPerMinutePerProjectPerModel"
DAY_QUOTA = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


class ApiError(Exception):
    """An error reply: HTTP code, canonical status, message and google.rpc details."""

    def __init__(self, code: int, status: str, message: str, details: list[Json] | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.message, self.details = code, status, message, details or []

    def body(self) -> Json:
        """The error as the HTTP body says it."""
        error: Json = {"code": self.code, "message": self.message, "status": self.status}
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}

    def rpc_status(self) -> Json:
        """The error as a line of a batch says it."""
        return {"code": RPC_CODES[self.status], "message": self.message}


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote, before it is put into a reply.

    `finish` is a name, or a number that no version knows. `blocked` turns the prompt down. Tokens are billed.
    """

    text: str
    finish: str | int = "STOP"
    blocked: str = ""
    thoughts: str = ""
    has_candidates: bool = True
    has_usage: bool = True
    output_tokens: int = 0
    thought_tokens: int = 0


def tokens_of(text: str) -> int:
    """Four bytes of UTF-8 are a token."""
    return -(-len(text.encode(errors="surrogatepass")) // BYTES_PER_TOKEN)


def first_tokens(text: str, tokens: int) -> str:
    """The start of a text that is no longer than so many tokens."""
    return text.encode(errors="surrogatepass")[: tokens * BYTES_PER_TOKEN].decode(errors="ignore")


def reply_body(written: Written, *, input_tokens: int, model: str, response_id: str, has_numbers: bool) -> Json:
    """A GenerateContentResponse; `has_numbers` writes enums as numbers (`enum-encoding=int`)."""
    body: Json = {}
    if written.blocked:
        body["promptFeedback"] = {"blockReason": _enum(written.blocked, BLOCK_REASONS, has_numbers=has_numbers)}
    elif written.has_candidates:
        body["candidates"] = [_candidate(written, has_numbers=has_numbers)]
    if written.has_usage:
        body["usageMetadata"] = _usage(written, input_tokens)
    return {**body, "modelVersion": model, "responseId": response_id}


def encoded(body: Any) -> bytes:
    """JSON as the service writes it: indented, UTF-8."""
    return json.dumps(body, ensure_ascii=False, indent=2).encode(errors="surrogatepass")


def unknown_key() -> ApiError:
    """The answer to a key that is not one."""
    reason: Json = {"@type": f"{TYPE_URL}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
    return ApiError(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [reason])


def no_key() -> ApiError:
    """The answer to a call without a key."""
    return ApiError(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers. Please use an API key.")


def bad_credentials() -> ApiError:
    """The answer to an OAuth token: this server knows none."""
    return ApiError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")


def no_model(model: str, method: str) -> ApiError:
    """The answer to a model that is unknown or retired."""
    message = f"models/{model} is not found for API version v1beta, or is not supported for {method}."
    return ApiError(404, "NOT_FOUND", message)


def bad_argument(message: str) -> ApiError:
    """The answer to a request that has the wrong form."""
    return ApiError(400, "INVALID_ARGUMENT", message)


def over_quota(quota_id: str, *, retry_after_s: float | None) -> ApiError:
    """429 with the quota's name, and how long to wait where that is known."""
    violation: Json = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": quota_id,
    }
    details: list[Json] = [{"@type": f"{TYPE_URL}QuotaFailure", "violations": [violation]}]
    if retry_after_s is not None:
        # A protobuf Duration in JSON: at most nine digits of a second, no exponent.
        delay = f"{retry_after_s:.9f}".rstrip("0").rstrip(".")
        details.append({"@type": f"{TYPE_URL}RetryInfo", "retryDelay": f"{delay}s"})
    return ApiError(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)


def overloaded() -> ApiError:
    """503, as at busy hours."""
    return ApiError(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")


def _candidate(written: Written, *, has_numbers: bool) -> Json:
    parts: list[JsonValue] = [{"text": written.thoughts, "thought": True}] if written.thoughts else []
    if written.text:
        parts.append({"text": written.text})
    content: Json = {"role": "model", **({"parts": parts} if parts else {})}
    return {
        "content": content,
        "finishReason": _enum(written.finish, FINISH_REASONS, has_numbers=has_numbers),
        "index": 0,
    }


def _usage(written: Written, input_tokens: int) -> Json:
    total = input_tokens + written.output_tokens + written.thought_tokens
    usage: Json = {"promptTokenCount": input_tokens, "candidatesTokenCount": written.output_tokens}
    if written.thought_tokens:
        usage["thoughtsTokenCount"] = written.thought_tokens
    return {**usage, "totalTokenCount": total}


def _enum(value: str | int, numbers: dict[str, int], *, has_numbers: bool) -> str | int:
    if isinstance(value, int) or not has_numbers:
        return value
    return numbers.get(value, value)
