"""The need for a language model: requests in, one checked answer or refusal for each out, in order.

Every provider walks one path: the request becomes a prompt, each reply is read, repaired within narrow bounds, checked
strictly, and asked for again with what was wrong (`resources.desk.chains`). Text that came from outside (titles,
lyrics, playlist names) goes into a request's payload only, and only as `resources.outside_text.marked` leaves it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, JsonValue

from resources.hashing import digest_of

Repair = Literal["json", "track_id"]
WORDS = ("title", "description")  # of a schema, not of an answer: fields of these names stay


class Complaint(NamedTuple):
    """What is wrong with an answer: a fixed snake_case reason, and where and what, in words that a model may read."""

    reason: str
    detail: str


def accept(value: Any) -> Complaint | None:  # noqa: ARG001 - the check of a request that has no further rules
    """No complaint."""
    return None


@dataclass(frozen=True, slots=True)
class Request:
    """One piece of work: the task by name and in words, its data, the form of its answer and further rules for it.

    `closed` names fields of the answer, at any depth, that may hold only these strings. `check` looks at an answer
    that has the form; it must depend on nothing but the request.
    """

    task: str
    prompt_version: str
    instructions: str
    payload: dict[str, JsonValue]
    response_model: type[BaseModel]
    closed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check: Callable[[Any], Complaint | None] = field(default=accept, compare=False)


class Answer(NamedTuple):
    """An answer that fits its request, and what had to be repaired for that."""

    request_id: str
    value: BaseModel
    repairs: tuple[Repair, ...] = ()


class Refused(NamedTuple):
    """A request that got no usable answer, and why."""

    request_id: str
    reason: str
    detail: str


@dataclass(slots=True)
class Tally:
    """What some requests took. `calls` went to the model and `found` were answered before; money is in dollars."""

    requests: int = 0
    refused: int = 0
    calls: int = 0
    found: int = 0
    retries: int = 0
    asked_again: int = 0
    repaired: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    versions: set[str] = field(default_factory=set, compare=False)  # of the models that replied, as they say themselves

    def notes(self) -> dict[str, str | float]:
        """What the UI shows beside a partition; nothing that is zero but requests and dollars."""
        counts: dict[str, str | float] = {
            "requests": self.requests,
            "requests_refused": self.refused,
            "calls_to_the_model": self.calls,
            "replies_kept_from_before": self.found,
            "calls_repeated_after_errors": self.retries,
            "asked_again": self.asked_again,
            "answers_repaired": self.repaired,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }
        shown = {name: count for name, count in counts.items() if count or name == "requests"}
        versions: dict[str, str | float] = {"model_versions": ", ".join(sorted(self.versions))} if self.versions else {}
        return {**shown, "cost_usd": round(self.usd, 6), **versions}


class LanguageModel(Protocol):
    """Whoever answers requests; opened by `resources.desk.opening`.

    A model that can't be reached, money that is spent and a quota that is used up raise `DeskClosed`; a request that
    can't be done is refused.
    """

    @property
    def name(self) -> str:
        """The model and whatever else decides its answers; part of the key under which a reply is kept."""

    @property
    def tally(self) -> Tally:
        """What the requests of the last `answer` have taken so far."""

    @property
    def works_ahead(self) -> bool:
        """Whether it gains by being told early what will be asked."""

    def ahead(self, requests: Sequence[Request]) -> None:
        """Starts on what will be asked later, and waits for none of it."""

    def answer(self, requests: Sequence[Request], *, part: str = "all") -> Iterator[Answer | Refused]:
        """One result for each request, in order. `part` names the partition in progress lines and kept files."""


def request_id(request: Request) -> str:
    """SHA-256 of everything that an answer depends on but the model: equal requests have equal ids, on any machine."""
    schema = response_schema(request.response_model)
    parts = [request.task, request.prompt_version, request.instructions, request.payload, schema]
    return digest_of([*parts, {name: list(values) for name, values in request.closed.items()}])


@cache
def response_schema(model: type[BaseModel]) -> dict[str, JsonValue]:
    """The JSON schema of an answer as pydantic writes it, without our own words: another docstring asks nothing new."""
    return _wordless(model.model_json_schema())


def _wordless(schema: dict[str, Any]) -> dict[str, JsonValue]:
    plain: dict[str, JsonValue] = {}
    for name, part in schema.items():
        if name in ("properties", "$defs"):
            plain[name] = {field: _wordless(form) for field, form in part.items()}
        elif isinstance(part, list):
            plain[name] = [_wordless(inner) if isinstance(inner, dict) else inner for inner in part]
        elif name not in WORDS:
            plain[name] = _wordless(part) if isinstance(part, dict) else part
    return plain
