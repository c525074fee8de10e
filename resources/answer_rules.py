"""The embedded language model: rules that answer each task from its structured payload.

A request and the seed decide every word. Each task has a module: `answer_conversation`, `answer_mgphot`,
`answer_query`, `answer_relevance`. Calls cost nothing, and a bad answer isn't asked for again: it would be the same.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel, JsonValue, ValidationError

from resources import answer_conversation, answer_mgphot, answer_query, answer_relevance
from resources.desk.calls import STOP, Prompt, Reply
from resources.desk.chains import BAD_PAYLOAD, UNKNOWN_TASK, chain, drive
from resources.desk_settings import Answers
from resources.language_model import Answer, Refused, Request, Tally, request_id

GRAMMAR_VERSION = 1
ASKED_ONCE = Answers(re_asks=0, is_datamarked=False)


class Rules(NamedTuple):
    """The rules of one task: the payload that they read, and the function that answers it."""

    payload: type[BaseModel]
    answer: Callable[[Any, random.Random], dict[str, JsonValue]]


RULES = {
    "conversation": Rules(answer_conversation.Payload, answer_conversation.conversation),
    "mgphot": Rules(answer_mgphot.Payload, answer_mgphot.mgphot),
    "query": Rules(answer_query.Payload, answer_query.queries),
    "relevance": Rules(answer_relevance.Payload, answer_relevance.relevance),
}


class UnknownTask(LookupError):  # noqa: N818 - said of a request
    """There are no rules for a task."""


class BadPayload(ValueError):  # noqa: N818 - said of a request
    """A task's rules can't read a payload."""


@dataclass(slots=True)
class RuleAnswerer:
    """Answers each task that it has rules for; others are refused as `unknown_task`, unreadable ones `bad_payload`."""

    seed: int
    tally: Tally = field(default_factory=Tally, init=False, compare=False)

    @property
    def name(self) -> str:
        """Grammar version and seed."""
        return f"rules-{GRAMMAR_VERSION}-{self.seed}"

    @property
    def works_ahead(self) -> bool:
        """No."""
        return False

    def ahead(self, requests: Sequence[Request]) -> None:
        """Does nothing: rules are fast."""

    def answer(self, requests: Sequence[Request], *, part: str = "all") -> Iterator[Answer | Refused]:  # noqa: ARG002
        """One result for each request, in order, each as it is asked for."""
        self.tally = tally = Tally()
        return (self._answered(request, tally) for request in requests)

    def _answered(self, request: Request, tally: Tally) -> Answer | Refused:
        identity = request_id(request)
        try:
            text = answer_text(request.task, request.payload, seed=self.seed, identity=identity)
        except (UnknownTask, BadPayload) as error:
            tally.requests += 1
            tally.refused += 1
            return Refused(identity, UNKNOWN_TASK if isinstance(error, UnknownTask) else BAD_PAYLOAD, str(error))

        def call(_: Prompt) -> Reply:
            tally.calls += 1
            return Reply(text, STOP, 0, 0)

        return drive(chain(request, ASKED_ONCE, tally), call)


def answer_text(task: str, payload: Mapping[str, JsonValue], *, seed: int, identity: str) -> str:
    """The answer to a payload as JSON; seed and identity decide the draws.

    Raises LookupError for a task without rules, ValueError for a payload that the task's rules can't read.
    """
    if task not in RULES:
        raise UnknownTask(f"{task}: wanted one of {', '.join(RULES)}")
    rules = RULES[task]
    try:
        read = rules.payload.model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise BadPayload(f"{task}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    draw = random.Random(f"{seed}/{identity}")  # noqa: S311 - phrasings, no secrets
    return json.dumps(rules.answer(read, draw), ensure_ascii=False)
