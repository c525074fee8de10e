"""Everything that goes wrong with a language model in the cloud, by name, and the script of when it does.

A fault meets the next call unless it is told when: `Fault("rate_limit", seconds=2).times(3)` meets three calls,
`Fault("cut_body").on("canary")` every call whose text holds the word, `Fault("unavailable_503").in_share(0.1)` a tenth
of all calls, drawn by seed and call so that the order of threads does not matter. A call meets the first that applies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from threading import Lock
from typing import Literal

from resources.sample.gemini.protocol import (
    DAY_QUOTA,
    MINUTE_QUOTA,
    ApiError,
    bad_argument,
    no_model,
    over_quota,
    overloaded,
)

Endpoint = Literal[
    "generateContent", "countTokens", "models", "upload", "files", "download", "batchGenerateContent", "batches"
]
Layer = Literal["refusal", "transport", "reply", "text", "job"]

Name = Literal[
    "rate_limit",
    "daily_quota",
    "internal_500",
    "unavailable_503",
    "bad_request_400",
    "forbidden_403",
    "no_such_model_404",
    "bad_gateway_html_502",
    "captive_portal",
    "reset_connection",
    "hang",
    "cut_body",
    "cut_chunks",
    "reset_after_billing",
    "prompt_blocked",
    "no_candidates",
    "finish",
    "max_tokens",
    "empty_text",
    "no_usage",
    "thoughts",
    "hidden_thoughts",
    "only_thoughts",
    "fenced",
    "prose_around",
    "truncated_json",
    "wrong_schema",
    "unknown_track",
    "repeated_track",
    "title_for_id",
    "wrong_language",
    "missing_keys",
    "duplicate_keys",
    "error_lines",
    "expired_job",
    "failed_job",
    "stuck_job",
]
LAYERS: dict[Name, Layer] = {
    # No reply, not billed.
    "rate_limit": "refusal",
    "daily_quota": "refusal",
    "internal_500": "refusal",
    "unavailable_503": "refusal",
    "bad_request_400": "refusal",
    "forbidden_403": "refusal",
    "no_such_model_404": "refusal",
    "bad_gateway_html_502": "refusal",
    "captive_portal": "refusal",
    "reset_connection": "refusal",
    # Billed, and the reply comes late or not whole.
    "hang": "transport",
    "cut_body": "transport",
    "cut_chunks": "transport",
    "reset_after_billing": "transport",
    # A whole reply that is no answer, or lacks something.
    "prompt_blocked": "reply",
    "no_candidates": "reply",
    "finish": "reply",
    "max_tokens": "reply",
    "empty_text": "reply",
    "no_usage": "reply",
    "thoughts": "reply",
    "hidden_thoughts": "reply",  # counted and not shown: the rule with models that think
    "only_thoughts": "reply",  # nothing left of the tokens for an answer
    # An answer that is not what was asked for.
    "fenced": "text",
    "prose_around": "text",
    "truncated_json": "text",
    "wrong_schema": "text",
    "unknown_track": "text",
    "repeated_track": "text",
    "title_for_id": "text",
    "wrong_language": "text",
    # What becomes of a batch.
    "missing_keys": "job",
    "duplicate_keys": "job",
    "error_lines": "job",
    "expired_job": "job",
    "failed_job": "job",
    "stuck_job": "job",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and when it happens.

    `seconds` is how long a hang lasts, or the wait that a rate limit names (None: no RetryInfo). `reason` is why a
    prompt is blocked or a candidate ends (a number: one that nobody knows), and how `title_for_id` writes a track.
    `lines` is how many lines of a batch it spoils, or for how many more looks a stuck job runs. `calls` bounds how
    often it happens; None: for ever.
    """

    name: Name
    seconds: float | None = None
    reason: str | int = ""
    lines: int = 1
    calls: int | None = 1
    text: str = ""
    share: float = 1.0
    endpoint: Endpoint = "generateContent"

    def __post_init__(self) -> None:
        if self.name not in LAYERS:
            raise ValueError(f"unknown fault {self.name!r}; there are {', '.join(LAYERS)}")
        if self.endpoint != "generateContent" and self.layer not in {"refusal", "transport"}:
            raise ValueError(f"fault {self.name} spoils answers: it has no meaning at {self.endpoint}")

    @property
    def layer(self) -> Layer:
        """What of a call it spoils."""
        return LAYERS[self.name]

    def times(self, calls: int) -> "Fault":
        """The same in the next so many calls."""
        return replace(self, calls=calls)

    def on(self, text: str) -> "Fault":
        """The same in every call whose text or payload holds these words; `times` after it bounds that."""
        return replace(self, text=text, calls=None)

    def in_share(self, share: float) -> "Fault":
        """The same in this share of all calls."""
        return replace(self, share=share, calls=None)

    def at(self, endpoint: Endpoint) -> "Fault":
        """The same for another endpoint."""
        return replace(self, endpoint=endpoint)


class Script:
    """The faults to come; safe for threads."""

    def __init__(self, faults: tuple[Fault, ...], seed: int) -> None:
        self._lock, self._seed = Lock(), seed
        self._faults: list[tuple[Fault, list[int | None]]] = []
        self.add(*faults)

    def add(self, *faults: Fault) -> None:
        """Behind those that wait already."""
        with self._lock:
            self._faults.extend((fault, [fault.calls]) for fault in faults)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._faults.clear()

    def drawn(self, endpoint: Endpoint, draw: str, text: Callable[[], str] = str) -> Fault | None:
        """The fault of this call, if any. `draw` names the call; `text` is read only where a fault looks at it."""
        return self._first(lambda fault: fault.endpoint == endpoint and fault.layer != "job", draw, text)

    def drawn_for_job(self, draw: str, text: Callable[[], str]) -> Fault | None:
        """What becomes of this batch."""
        return self._first(lambda fault: fault.layer == "job", draw, text)

    def _first(self, fits: Callable[[Fault], bool], draw: str, text: Callable[[], str]) -> Fault | None:
        with self._lock:
            for place, (fault, left) in enumerate(self._faults):
                if left[0] == 0 or not fits(fault):
                    continue
                if fault.share < 1 and Random(f"{self._seed}/{place}/{draw}").random() >= fault.share:  # noqa: S311
                    continue
                if fault.text and fault.text not in text():
                    continue
                if left[0] is not None:
                    left[0] -= 1
                return fault
        return None


def refusal(fault: Fault, model: str) -> ApiError:
    """What a refusing fault answers in Google's form. The HTML ones and resets have none: they are not Google."""
    errors = {
        "rate_limit": over_quota(MINUTE_QUOTA, retry_after_s=fault.seconds),
        "daily_quota": over_quota(DAY_QUOTA, retry_after_s=fault.seconds),
        "unavailable_503": overloaded(),
        "bad_request_400": bad_argument("Request contains an invalid argument."),
        "forbidden_403": ApiError(403, "PERMISSION_DENIED", "The caller does not have permission"),
        "no_such_model_404": no_model(model, "generateContent"),
    }
    return errors.get(fault.name, ApiError(500, "INTERNAL", "An internal error has occurred. Please retry or report."))
