"""One call to a language model: what is sent, what comes back, and how it fails."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import JsonValue

STOP = "stop"
MAX_TOKENS = "max_tokens"


class Message(NamedTuple):
    """One message of a prompt: the payload or a complaint by "user", an earlier reply by "model"."""

    role: Literal["user", "model"]
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one call sends. `schema` is JSON schema of the plain kind: no $ref, closed sets as enum.

    `is_lengthened` says that `max_output_tokens` is twice what was asked for first, because that was too short.
    """

    task: str
    instructions: str
    messages: tuple[Message, ...]
    schema: dict[str, JsonValue]
    max_output_tokens: int
    is_lengthened: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back and was, or would be, billed.

    `finish` is "stop" for a reply that is whole, "max_tokens" for one cut off, else why there is none: "safety",
    "recitation", "blocked_<reason>" for a prompt turned down, "empty", or the model's own word in lower case.
    `output_tokens` counts hidden thinking too.
    """

    text: str
    finish: str
    input_tokens: int
    output_tokens: int
    model_version: str = ""


# Whatever goes wrong before there is a reply.
Failure = Literal[
    "rate_limit",  # 429 of a minute's limit: wait as told and try again; nothing was billed
    "daily_quota",  # 429 of a day's limit: closes the desk
    "outage",  # 5xx, no connection: try again; nothing was billed
    "bad_body",  # not the service's JSON, or cut off: try again; may have been billed
    "timeout",  # no reply in time: try again; may have been billed
    "bad_request",  # 400: this prompt's fault where others were answered, else the settings'
    "rejected",  # 401, 403, 404, a wrong key: closes the desk
]
MAY_BE_BILLED: frozenset[Failure] = frozenset({"bad_body", "timeout"})


class CallError(Exception):
    """A call without a reply. Its text never holds the key."""

    def __init__(self, failure: Failure, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{failure}: {detail}")
        self.failure, self.detail, self.retry_after_s = failure, detail, retry_after_s


class DeskClosed(Exception):  # noqa: N818 - a state, and nobody's error
    """No further call makes sense: `reason` is budget, daily_quota, rejected, unreachable or interrupted.

    What was answered until then is kept: the next run goes on from there.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


Call = Callable[[Prompt], Reply]  # raises CallError
