"""What the desk's tests ask, and stand-ins for the network: calls and jobs whose every reply is known."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event, Lock
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from resources.desk.calls import CallError, Prompt, Reply
from resources.desk.clerks import REAL_TIME, Clock
from resources.desk.ledger import Ledger
from resources.desk.online import PaidModel
from resources.desk.prompts import read_request
from resources.desk.remote_jobs import Jobs
from resources.desk_settings import Answers, DeskSection, Gemini
from resources.language_model import Request

ANSWERS = Answers(max_output_tokens=2048)
PAID = Gemini()
CALL_USD = (10 * 1.0 + 20 * 2.0) / 1_000_000  # of a reply of 10 and 20 tokens


class Number(BaseModel):
    """The answer to a request of these tests."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: int


def request(n: int) -> Request:
    """A request that is answered by its number."""
    return Request("count", "1", "Count.", {"n": n}, Number)


def number_of(prompt: Prompt) -> int:
    """The number of the request that a prompt belongs to."""
    n = read_request(prompt.messages[0].text)[1]["n"]
    assert isinstance(n, int)
    return n


def reply(value: object, finish: str = "stop") -> Reply:
    """A reply of 10 tokens in and 20 out."""
    return Reply(json.dumps({"value": value}), finish, 10, 20)


def good(prompt: Prompt) -> Reply:
    """The right answer."""
    return reply(number_of(prompt))


class Network:
    """Calls, each answered by `answer`; remembers the numbers asked for, in order."""

    name = "numbers"

    def __init__(self, answer: Callable[[Prompt], Reply] = good) -> None:
        self.answer = answer
        self.asked: list[int] = []

    def call(self, prompt: Prompt) -> Reply:
        """The answer."""
        self.asked.append(number_of(prompt))
        return self.answer(prompt)


class InTurn:
    """Answers that come in turn, whoever asks; a CallError is raised. The last one stays."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self._answers, self._lock = list(answers), Lock()

    def __call__(self, prompt: Prompt) -> Reply:
        """The next answer."""
        with self._lock:
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bureau:
    """Jobs that are done at the first look, or at the one after so many; remembers what was submitted."""

    def __init__(self, answer: Callable[[Prompt], Reply | CallError] = good, *, looks: int = 1) -> None:
        self.answer, self.looks = answer, looks
        self.submitted: dict[str, Mapping[str, Prompt]] = {}
        self.names: dict[str, str] = {}
        self.end: Literal["done", "expired", "failed"] = "done"
        self.looked = 0

    def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
        """Takes the job."""
        name = f"batches/{len(self.submitted)}"
        self.submitted[name], self.names[display_name] = prompts, name
        return name

    def find(self, display_name: str) -> str | None:
        """The job of this name."""
        return self.names.get(display_name)

    def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
        """How far it is."""
        self.looked += 1
        return "running" if self.looked < self.looks else self.end

    def results(self, job_name: str) -> Iterator[tuple[str, Reply | CallError]]:
        """Its results, the last first."""
        for key, prompt in reversed(list(self.submitted[job_name].items())):
            yield key, self.answer(prompt)


class FakeTime:
    """Time that passes when somebody waits, and then at once; `meanwhile` is what happens in that time."""

    def __init__(self) -> None:
        self.s, self._lock = 0.0, Lock()
        self.meanwhile: Callable[[], object] = bool
        self.waits: list[float] = []
        self.clock = Clock(lambda: self.s, lambda: 1_800_000_000 + self.s, self._wait)

    def _wait(self, event: Event, seconds: float) -> bool:
        self.meanwhile()
        with self._lock:
            self.s += seconds
            self.waits.append(seconds)
        return event.wait(0.0001)


def desk(**changes: Any) -> DeskSection:
    """A desk with money and without limits."""
    free = {"budget_usd": 100.0, "requests_per_minute": 10**8, "tokens_per_minute": 10**11, "batch_from": 0}
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 2.0}
    return DeskSection(**{**free, **prices, "concurrency": 4, "batch_poll_s": 0.01, **changes})


def paid(
    folder: Path,
    calls: Network,
    jobs: Jobs | None = None,
    *,
    clock: Clock = REAL_TIME,
    said: list[str] | None = None,
    **changes: Any,
) -> PaidModel:
    """A paid model over stand-ins."""
    log = said.append if said is not None else print
    return PaidModel(calls, jobs or Bureau(), PAID, desk(**changes), ANSWERS, folder=folder, log=log, clock=clock)


def values(outcomes: Sequence[Any]) -> list[int | str]:
    """The value of each answer, the reason of each refusal."""
    return [outcome.value.value if hasattr(outcome, "value") else outcome.reason for outcome in outcomes]


def until(is_so: Callable[[], object]) -> None:
    """Waits for something to happen elsewhere."""
    ends = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)


def asked_numbers(bureau: Bureau) -> list[list[int]]:
    """The numbers in each job."""
    return [sorted(number_of(prompt) for prompt in job.values()) for job in bureau.submitted.values()]


def spent_usd(folder: Path) -> tuple[float, float]:
    """Dollars spent, and dollars reserved."""
    with Ledger(folder, desk()) as ledger:
        spent = ledger.spent()
    return sum(row.usd for row in spent), sum(row.reserved_usd for row in spent)
