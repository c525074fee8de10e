"""One paid call until there is a reply: admitted by the ledger, repeated after errors, kept before it is used."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from resources.desk.batch import Batches
from resources.desk.calls import MAY_BE_BILLED, CallError, DeskClosed, Prompt, Reply
from resources.desk.clerks import FIRST_WAIT_S, LONG_PAUSE_S, Clock, Door, Shut, closing
from resources.desk.ledger import Ledger, Ticket, Wait
from resources.desk.prices import cost_usd, likely_tokens, most_usd, price_of
from resources.desk.prompts import call_key
from resources.desk_settings import DeskSection, Gemini
from resources.language_model import Tally


class Calls(Protocol):
    """Who makes calls; raises CallError."""

    @property
    def name(self) -> str:
        """The model and every setting that changes its replies."""
        ...

    def call(self, prompt: Prompt) -> Reply:
        """Its reply, whether good or not."""
        ...


class Teller:
    """Gets replies and pays for them; for any number of threads."""

    def __init__(
        self,
        calls: Calls,
        batches: Batches,
        ledger: Ledger,
        gemini: Gemini,
        desk: DeskSection,
        clock: Clock,
        *,
        log: Callable[[str], None],
    ) -> None:
        self._calls, self._batches, self._ledger = calls, batches, ledger
        self._desk, self._clock, self._log = desk, clock, log
        self._lock, self._pause_until_s = Lock(), 0.0
        self._model, self._price = gemini.model, price_of(gemini, desk)

    def reply(self, prompt: Prompt, tally: Tally, door: Door) -> Reply:
        """The kept reply or a new one, which is kept by then; `tally` counts what it took.

        Raises CallError where the attempts or the time are used up or the prompt is turned down, and Shut where the
        door closes before there is a call. The time runs from the first call on: to stand in line at the rate limits is
        no failure.
        """
        errand = _Errand(
            prompt, call_key(self._calls.name, prompt), most_usd(self._price, prompt, is_batch=False), tally
        )
        jitter = wait_random_exponential(multiplier=FIRST_WAIT_S, max=self._desk.longest_wait_s)
        retrying = Retrying(
            sleep=door.sleep,
            retry=retry_if_exception(lambda error: isinstance(error, CallError) and error.failure != "bad_request"),
            wait=lambda state: self._wait_s(state, jitter(state)),
            stop=lambda state: self._is_over(errand, state.upcoming_sleep),
            reraise=True,
        )
        try:
            return retrying(self._attempt, errand, door)
        except CallError as error:
            if error.failure == "bad_request":
                raise
            spent_s = self._clock.elapsed_s() - errand.started_s
            detail = f"{error.detail} (given up after {errand.calls} calls in {spent_s:.0f} s)"
            door.gave_up(detail)
            raise CallError(error.failure, detail) from error

    def turned_down(self, error: CallError, door: Door) -> None:
        """Counts a prompt that is no good request; raises Shut if that is not its own fault."""
        is_first = not any(row.model == self._model and row.calls for row in self._ledger.spent())
        door.turned_down(error.detail, is_first=is_first)
        door.pass_through()

    def _attempt(self, errand: "_Errand", door: Door) -> Reply:
        """One call, or the reply that is there already."""
        ticket = self._admitted(errand, door)
        if isinstance(ticket, Reply):
            errand.tally.found += 1
            return ticket
        if not errand.calls:
            errand.started_s = self._clock.elapsed_s()
        errand.count_call()
        try:
            reply = self._calls.call(errand.prompt)
        except BaseException as error:
            self._take_back(ticket, errand, error)
            if isinstance(error, CallError):
                self._close_for(error, door)
            raise
        usd = cost_usd(self._price, reply, is_batch=False)
        self._ledger.settle(ticket, reply, usd=usd)
        door.answered()
        errand.tally.input_tokens += reply.input_tokens
        errand.tally.output_tokens += reply.output_tokens
        errand.tally.usd += usd
        return reply

    def _close_for(self, error: CallError, door: Door) -> None:
        """Raises Shut if no further call makes sense."""
        if why := closing(error, deadline_s=self._desk.deadline_s):
            door.close(why)
            raise Shut from error
        if error.failure == "bad_request":
            self.turned_down(error, door)

    def _admitted(self, errand: "_Errand", door: Door) -> Reply | Ticket:
        while True:
            door.pass_through()
            try:
                leave = self._leave(errand, door)
            except DeskClosed as closed:
                door.close(closed)
                raise Shut from closed
            if isinstance(leave, Reply | Ticket):
                return leave
            if errand.calls and self._is_late(errand, leave.seconds):
                raise CallError("outage", f"no leave for another call in time ({leave.reason})")
            if leave.reason == "paused":
                self._tell_of_pause(leave.seconds)
            door.sleep(leave.seconds)

    def _leave(self, errand: "_Errand", door: Door) -> Reply | Ticket | Wait:
        """What the ledger says, once nothing can be had from batch jobs: the reply, or the money they reserved."""
        try:
            leave = self._asked_for(errand)
        except DeskClosed as closed:
            if closed.reason != "budget":
                raise
            if self._batches.collect(errand.tally, door):
                return Wait(self._desk.batch_poll_s, "reserved")
            leave = self._asked_for(errand)  # another thread may have settled the last job just now
        if (
            isinstance(leave, Wait)
            and leave.reason == "under_way"
            and self._batches.fetch(errand.key, errand.tally, door)
        ):
            return Wait(0.0, "answered")
        return leave

    def _asked_for(self, errand: "_Errand") -> Reply | Ticket | Wait:
        return self._ledger.admit(
            errand.key,
            model=self._model,
            task=errand.prompt.task,
            tokens=likely_tokens(errand.prompt),
            usd=errand.most_usd,
        )

    def _take_back(self, ticket: Ticket, errand: "_Errand", error: BaseException) -> None:
        """Ends a call without reply; what nobody foresaw may have been billed."""
        is_free = isinstance(error, CallError) and error.failure not in MAY_BE_BILLED
        usd = 0.0 if is_free else errand.most_usd
        self._ledger.give_back(ticket, usd=usd)
        errand.tally.usd += usd
        if isinstance(error, CallError) and error.failure != "rate_limit":
            errand.failures += 1

    def _wait_s(self, state: RetryCallState, jitter_s: float) -> float:
        """Time to the next attempt; a rate limit stops everybody for as long as the server says."""
        error = _error_of(state)
        hint_s = error.retry_after_s or 0.0
        if error.failure == "rate_limit":
            self._ledger.pause(self._model, seconds=hint_s or jitter_s)
            self._tell_of_pause(hint_s)
        return max(hint_s, jitter_s)

    def _tell_of_pause(self, seconds: float) -> None:
        """Says a long one, once."""
        with self._lock:
            now_s = self._clock.elapsed_s()
            is_told = now_s < self._pause_until_s
            if seconds > LONG_PAUSE_S and not is_told:
                self._pause_until_s = now_s + seconds
                self._log(f"the service asked for a pause: no call for {seconds:.0f} s")

    def _is_over(self, errand: "_Errand", wait_s: float) -> bool:
        return errand.failures >= self._desk.attempts or self._is_late(errand, wait_s)

    def _is_late(self, errand: "_Errand", wait_s: float) -> bool:
        return self._clock.elapsed_s() - errand.started_s + wait_s > self._desk.deadline_s


@dataclass(slots=True)
class _Errand:
    """One reply to be got: what it may cost, and how far it is."""

    prompt: Prompt
    key: str
    most_usd: float
    tally: Tally
    calls: int = field(default=0, init=False)
    failures: int = field(default=0, init=False)
    started_s: float = field(default=0.0, init=False)

    def count_call(self) -> None:
        self.tally.calls += 1
        self.tally.retries += self.calls > 0
        self.calls += 1


def _error_of(state: RetryCallState) -> CallError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, CallError)
    return error
