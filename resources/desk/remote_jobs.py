"""The Batch API, asked until it answers: a job is submitted once, found again by its name, and read at its end."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, Protocol, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from resources.desk.calls import CallError, DeskClosed, Failure, Prompt, Reply
from resources.desk.clerks import FIRST_WAIT_S, LONG_PAUSE_S, Clock, Door, closing
from resources.desk.jobs import Job
from resources.desk_settings import DeskSection

LOST_AFTER = timedelta(days=4)  # the service ends a job after two days and deletes its results two days later
# Of a submission, they say that there is no job; others leave it open.
TURNED_DOWN: frozenset[Failure] = frozenset({"rejected", "bad_request", "daily_quota", "rate_limit"})
ENDED_BADLY = frozenset({"failed", "expired"})

Results = Mapping[str, Reply | CallError]
Done = TypeVar("Done")


class Jobs(Protocol):
    """Who has jobs done; every method raises CallError where the service can't be asked."""

    def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
        """Starts a job and returns its name."""
        ...

    def find(self, display_name: str) -> str | None:
        """The name of the job of this display name."""
        ...

    def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
        """How far it is."""
        ...

    def results(self, job_name: str) -> Iterator[tuple[str, Reply | CallError]]:
        """The results that there are, by key, in any order."""
        ...


class NotTaken(Exception):  # noqa: N818 - a state, and nobody's error
    """The service has surely not taken the job."""

    def __init__(self, why: CallError) -> None:
        super().__init__(str(why))
        self.why = why


class Ended(NamedTuple):
    """What came of a job: its last state, or "lost" or "unknown" where the service has none; a result for each call."""

    state: str
    results: Results

    @property
    def has_replies(self) -> bool:
        """Whether it was good for anything."""
        return any(isinstance(result, Reply) for result in self.results.values())


class RemoteJobs:
    """Jobs at the service. Without a door everything is asked once; else for as long as a reply may take.

    Every method raises DeskClosed, and Shut where the door closes.
    """

    def __init__(self, jobs: Jobs, desk: DeskSection, clock: Clock, *, log: Callable[[str], None]) -> None:
        self._jobs, self._desk, self._clock, self._log = jobs, desk, clock, log

    def found(self, job: Job, door: Door | None) -> str | None:
        """The service's name for a job; None if it has none."""
        return self._asked(lambda: self._jobs.find(job.name), door, job)

    def submitted(self, job: Job, prompts: Mapping[str, Prompt], door: Door | None) -> str:
        """The service's name for a job that it has from now on. Raises NotTaken."""

        def submit() -> str:
            # First of all: a process may have died, or a connection broken, after the service had it.
            if found := self._jobs.find(job.name):
                return found
            try:
                return self._jobs.submit(job.name, prompts)
            except CallError as error:
                if error.failure in TURNED_DOWN:
                    raise NotTaken(error) from error
                raise

        return self._asked(submit, door, job)

    def ended(self, job: Job, door: Door | None) -> Ended | None:
        """What came of a job; None while it runs."""
        try:
            state: str = self._asked(lambda: self._jobs.state(job.remote_name), door, job)
            if state == "running":
                return None
            pairs = self._asked(lambda: list(self._jobs.results(job.remote_name)), door, job)
        except DeskClosed as closed:
            if closed.reason != "rejected" or not self._is_lost(job):
                raise
            state, pairs = "lost", []
        results: dict[str, Reply | CallError] = {}
        for key, result in pairs:
            results.setdefault(key, result)
        # A job that failed or came too late is not billed; a result that only is not there may have been.
        failure: Failure = "outage" if state in ENDED_BADLY else "bad_body"
        none = CallError(failure, f"batch job {job.remote_name} is {state} and has no result for it")
        ended = Ended(state, {item.key: results.get(item.key, none) for item in job.items})
        self._log_of_missing(job, ended, strange=len(results.keys() - ended.results.keys()))
        return ended

    def _log_of_missing(self, job: Job, ended: Ended, *, strange: int) -> None:
        if strange:
            self._log(f"batch job {job.remote_name}: {strange} results of calls that it does not hold are ignored")
        if missing := sum(isinstance(result, CallError) for result in ended.results.values()):
            left = f"{missing} of {len(job.items)} calls have no reply and are to be asked again"
            self._log(f"batch job {job.remote_name} is {ended.state}: {left}")

    def _is_lost(self, job: Job) -> bool:
        opened = datetime.fromisoformat(job.day).replace(tzinfo=UTC)
        return datetime.fromtimestamp(self._clock.now(), UTC) - opened > LOST_AFTER

    def _asked(self, ask: Callable[[], Done], door: Door | None, job: Job) -> Done:
        if door:
            door.pass_through()
        started_s = self._clock.elapsed_s()
        jitter = wait_random_exponential(multiplier=FIRST_WAIT_S, max=self._desk.longest_wait_s)

        def is_passing(error: BaseException) -> bool:
            return isinstance(error, CallError) and self.closing(error) is None

        def wait_s(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            hint_s = getattr(error, "retry_after_s", None) or 0.0
            if hint_s > LONG_PAUSE_S and door:
                self._log(f"the Batch API asked for a pause: no call for {hint_s:.0f} s")
            return max(hint_s, jitter(state))

        def is_over(state: RetryCallState) -> bool:
            return door is None or self._clock.elapsed_s() - started_s + state.upcoming_sleep > self._desk.deadline_s

        retrying = Retrying(
            sleep=(door or Door(self._clock)).sleep,
            retry=retry_if_exception(is_passing),
            wait=wait_s,
            stop=is_over,
            reraise=True,
        )
        try:
            return retrying(ask)
        except CallError as error:
            why = self.closing(error)
            raise DeskClosed(why.reason if why else "unreachable", _advice(job, error)) from error

    def closing(self, error: CallError) -> DeskClosed | None:
        """Why there is no use in asking again; None if there is."""
        if error.failure == "bad_request":
            return DeskClosed("rejected", error.detail)
        return closing(error, deadline_s=self._desk.deadline_s)


def _advice(job: Job, error: CallError) -> str:
    if not job.remote_name:
        return f"batch job {job.name}: {error.detail}; the next run asks again whether the service has it"
    if error.failure in TURNED_DOWN:
        return (
            f"batch job {job.remote_name}: {error.detail}; run again with the GEMINI_API_KEY that submitted it, or "
            f"more than {LOST_AFTER.days} days after {job.day}, when it counts as lost"
        )
    return f"batch job {job.remote_name}: {error.detail}; it goes on at the service, and the next run fetches it"
