"""Many calls as jobs of the Batch API, at half the price: each submitted once, whatever happens to this process."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from resources.desk.calls import MAY_BE_BILLED, CallError, DeskClosed, Prompt, Reply
from resources.desk.clerks import LOOK_S, Clock, Door
from resources.desk.jobs import Job, JobItem
from resources.desk.ledger import Ledger, Wait
from resources.desk.prices import cost_usd, most_usd, price_of
from resources.desk.remote_jobs import ENDED_BADLY, Ended, Jobs, NotTaken, RemoteJobs
from resources.desk_settings import DeskSection, Gemini
from resources.language_model import Tally

HALVINGS = 4  # of a job for which there is no room, before it is given up: a sixteenth


class Batches:
    """Batch jobs under the ledger. One that was submitted is gone on with by whoever comes next; safe for threads."""

    def __init__(
        self,
        jobs: Jobs,
        ledger: Ledger,
        gemini: Gemini,
        desk: DeskSection,
        clock: Clock,
        *,
        log: Callable[[str], None],
    ) -> None:
        self._service = RemoteJobs(jobs, desk, clock, log=log)
        self._ledger, self._desk, self._clock, self._log = ledger, desk, clock, log
        self._model, self._price = gemini.model, price_of(gemini, desk)
        # While one thread submits a job, it must not look to another like one that was left behind.
        self._lock = Lock()
        self._collect_at_s, self._goes_on = -math.inf, False
        self._told: set[str] = set()

    def held(self, keys: AbstractSet[str]) -> set[str]:
        """Those of the calls that open jobs hold."""
        return {item.key for job in self._ledger.jobs(self._model) for item in job.items if item.key in keys}

    def collect(self, tally: Tally, door: Door | None = None) -> bool:
        """Settles the open jobs that have ended, of all models; whether any did, or still runs.

        More often than every `batch_poll_s` it repeats what it said. A job that can't be looked at is told, and stays.
        """
        with self._turn():
            if self._clock.elapsed_s() < self._collect_at_s:
                return self._goes_on
            self._goes_on = False
            for job in self._open_jobs():
                try:
                    is_running = self._fetched(job, tally, door) is None
                    self._goes_on = True
                    if is_running and door:
                        self._tell("", "batch jobs under way reserve what others need: waiting for them to end")
                except DeskClosed as closed:
                    self._tell(f"{job.name}/{closed.reason}", str(closed))
                    if closed.reason == "unreachable":
                        break
            self._collect_at_s = self._clock.elapsed_s() + self._desk.batch_poll_s
            return self._goes_on

    def fetch(self, key: str, tally: Tally, door: Door) -> bool:
        """Settles the job that makes this call, if one does and it has ended; whether it did.

        Raises DeskClosed where the job can't be looked at, and Shut.
        """
        with self._turn():
            for job in self._ledger.jobs(self._model):
                if any(item.key == key for item in job.items):
                    if self._fetched(job, tally, door):
                        return True
                    self._tell(job.name, f"batch job {job.remote_name} makes {len(job.items)} calls that are wanted")
        return False

    def ahead(self, prompts: Mapping[str, Prompt]) -> str:
        """Submits a job of these calls and waits for nothing; empty, or why it didn't."""
        try:
            job = self._job(list(prompts), prompts, None)
        except (DeskClosed, NotTaken) as error:
            return str(error)
        is_short = isinstance(job, Wait) and job.reason == "reserved"
        return "calls under way reserve what is left of the budget" if is_short else ""

    def replies(self, asked: Mapping[str, Prompt], tally: Tally, door: Door) -> dict[str, Reply | CallError]:
        """The reply of each call, or why it has none, once all of their jobs have ended; `tally` counts what it took.

        What stands in the way of one job is raised, as DeskClosed, when no other runs that might clear it away. Raises
        Shut where the door closes. Whatever then runs at the service the ledger knows.
        """
        at = _Round(asked, tally, door)
        while missing := {key: prompt for key, prompt in asked.items() if key not in at.came}:
            if kept := self._ledger.found(missing):
                at.came |= kept
                tally.found += len(kept)
                continue
            wait_s = self._start(missing, at)
            if self._has_ended(at):
                continue
            if at.closed and not at.running:
                is_for_want_of_room = at.closed.reason == "budget" or at.halvings == HALVINGS
                if not (is_for_want_of_room and self.collect(tally, door)):
                    raise at.closed
                at.closed = None
            door.sleep(wait_s)
        return at.came

    def _start(self, missing: Mapping[str, Prompt], at: "_Round") -> float:
        """Puts the calls that are in no job yet into jobs, new or found open; returns the time to the next look."""
        held = {item.key for job in at.running.values() for item in job.items}
        free = [key for key in missing if key not in held]
        try:
            while free and at.closed is None:
                job = self._fitting_job(free, missing, at, halvings=at.halvings)
                if isinstance(job, Wait):
                    return job.seconds
                at.running[job.number] = job
                in_job = {item.key for item in job.items}
                free = [key for key in free if key not in in_job]
        except DeskClosed as closed:
            if closed.reason == "unreachable":
                raise
            at.closed = closed
        return self._desk.batch_poll_s

    def _fitting_job(
        self, free: Sequence[str], prompts: Mapping[str, Prompt], at: "_Round", *, halvings: int
    ) -> Job | Wait:
        """A job of the first of these calls: of as many as there is room for in the budget and at the service."""
        size = max(min(len(free), self._desk.batch_most_calls) >> halvings, 1)
        try:
            return self._job(free[:size], prompts, at.door)
        except DeskClosed as closed:
            if closed.reason != "budget" or size == 1 or halvings == HALVINGS:
                raise
        except NotTaken as no:
            if why := self._service.closing(no.why):
                raise why from no
            if at.halvings == HALVINGS:
                raise DeskClosed("daily_quota", _crowded(size, no.why)) from no
            at.halvings += 1
            wait_s = no.why.retry_after_s or self._desk.batch_poll_s
            self._log(f"the Batch API has no room for a job of {size} calls: half as many in {wait_s:.0f} s")
            return Wait(wait_s, "rate_limit")
        return self._fitting_job(free, prompts, at, halvings=halvings + 1)

    def _job(self, keys: Sequence[str], prompts: Mapping[str, Prompt], door: Door | None) -> Job | Wait:
        """A submitted job that holds calls of these. Raises NotTaken, and the job is dropped."""
        items = [JobItem(key, prompts[key].task, most_usd(self._price, prompts[key], is_batch=True)) for key in keys]
        with self._turn():
            while True:
                job = self._ledger.open_job(items, model=self._model)
                if isinstance(job, Wait):
                    return job
                if job.remote_name:
                    self._tell(job.name, f"batch job {job.remote_name} makes {len(job.items)} calls that are wanted")
                    return job
                if all(item.key in prompts for item in job.items):
                    return self._submitted(job, prompts, door)
                if adopted := self._adopted(job, door):
                    return adopted

    def _submitted(self, job: Job, prompts: Mapping[str, Prompt], door: Door | None) -> Job:
        try:
            remote_name = self._service.submitted(job, {item.key: prompts[item.key] for item in job.items}, door)
        except NotTaken:
            self._ledger.settle_job(job, {})
            raise
        self._log(f"batch job {remote_name}: {len(job.items)} calls; should this process end, the next goes on with it")
        self._goes_on = True
        return self._ledger.submitted(job, remote_name)

    def _adopted(self, job: Job, door: Door | None) -> Job | None:
        """A job that somebody meant to submit, if the service has it; else it is dropped, and its calls are free."""
        if remote_name := self._service.found(job, door):
            return self._ledger.submitted(job, remote_name)
        self._ledger.settle_job(job, {})
        return None

    def _has_ended(self, at: "_Round") -> bool:
        """Looks at the jobs that are waited for; whether any has ended."""
        failed, has_ended = None, False
        for number, job in list(at.running.items()):
            try:
                with self._turn():
                    ended = self._fetched(job, at.tally, at.door)
            except DeskClosed as closed:
                if closed.reason == "unreachable":
                    raise
                at.closed = closed
                del at.running[number]
                continue
            if ended:
                del at.running[number]
                at.closed, at.halvings, has_ended = None, 0, True
                failed = at.take(job, ended) or failed
        at.closed = failed or at.closed
        return has_ended

    def _fetched(self, job: Job, tally: Tally, door: Door | None) -> Ended | None:
        """What came of a job, settled; None while it runs."""
        known = job if job.remote_name else self._adopted(job, door)
        if known is None:
            return Ended("unknown", {})
        ended = self._service.ended(known, door)
        if ended:
            self._settle(known, ended, tally)
        return ended

    def _settle(self, job: Job, ended: Ended, tally: Tally) -> None:
        most = {item.key: item.usd for item in job.items}
        replies = {key: result for key, result in ended.results.items() if isinstance(result, Reply)}
        new = replies.keys() - self._ledger.found(replies).keys()  # another process may have fetched it first
        usd = {key: self._usd(job.model, reply, most[key]) for key, reply in replies.items()}
        lost_usd = sum(most[key] for key, result in ended.results.items() if _may_be_billed(result))
        self._ledger.settle_job(job, {key: (reply, usd[key]) for key, reply in replies.items()}, lost_usd=lost_usd)
        tally.calls += len(new)
        tally.input_tokens += sum(replies[key].input_tokens for key in new)
        tally.output_tokens += sum(replies[key].output_tokens for key in new)
        tally.usd += sum(usd[key] for key in new) + lost_usd

    def _usd(self, model: str, reply: Reply, most: float) -> float:
        """What the reply was billed, or the most it may have been where the model's price is not known any more."""
        try:
            price = self._price if model == self._model else price_of(Gemini(model=model), DeskSection())
        except ValueError:
            return most
        return cost_usd(price, reply, is_batch=True)

    def _open_jobs(self) -> list[Job]:
        models = {row.model for row in self._ledger.spent() if row.reserved_usd}
        return [job for model in sorted(models) for job in self._ledger.jobs(model)]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        while not self._lock.acquire(timeout=LOOK_S):
            pass
        try:
            yield
        finally:
            self._lock.release()

    def _tell(self, name: str, line: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self._log(line)


@dataclass(slots=True)
class _Round:
    """Calls that are asked for by jobs: what came, what runs, and what stands in the way of the rest."""

    asked: Mapping[str, Prompt]
    tally: Tally
    door: Door
    came: dict[str, Reply | CallError] = field(default_factory=dict)
    running: dict[int, Job] = field(default_factory=dict)
    halvings: int = 0
    closed: DeskClosed | None = None

    def take(self, job: Job, ended: Ended) -> DeskClosed | None:
        """Takes the results of a job; returns why not if it came to nothing."""
        if ended.state in ENDED_BADLY and not ended.has_replies:
            reason = "rejected" if ended.state == "failed" else "unreachable"
            advice = "run again to submit its calls anew, or one by one with desk.batch_from=0 (MUSIC_DESK__BATCH_FROM)"
            return DeskClosed(reason, f"batch job {job.remote_name} is {ended.state} without a single reply: {advice}")
        self.came |= {key: result for key, result in ended.results.items() if key in self.asked}
        return None


def _may_be_billed(result: Reply | CallError) -> bool:
    return isinstance(result, CallError) and result.failure in MAY_BE_BILLED


def _crowded(size: int, error: CallError) -> str:
    return (
        f"the Batch API takes no job of {size} calls: {error.detail}; run again later, or lower desk.batch_most_calls "
        "(MUSIC_DESK__BATCH_MOST_CALLS)"
    )
