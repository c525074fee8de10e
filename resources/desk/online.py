"""The language model that costs money: requests through threads or batch jobs, each reply paid for once and kept."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Self

from tqdm import tqdm

from resources.desk.batch import Batches
from resources.desk.calls import CallError, DeskClosed, Prompt, Reply
from resources.desk.chains import answer_in_rounds
from resources.desk.clerks import REAL_TIME, Clock, Door, Shut, result_of
from resources.desk.ledger import Ledger
from resources.desk.prices import price_of
from resources.desk.prompts import call_key, first_prompt
from resources.desk.remote_jobs import Jobs
from resources.desk.retrying import Calls, Teller
from resources.desk.visits import Visit, Walk
from resources.desk_settings import Answers, DeskSection, Gemini
from resources.language_model import Answer, Refused, Request, Tally

LOOK_AHEAD = 4  # requests per thread: as many are looked up at once, and may be answered before somebody wants them
LOOKED_UP = 500  # prompts at once, where they are only counted
GRACE_S = 30.0  # for calls under way at an interrupt, which are paid for: most take less
AT_ONCE_S = 0.2  # what threads without a call take to end
BAR_DELAY_S = 2.0

_Results = dict[str, Reply | CallError]


class PaidModel:
    """A LanguageModel whose calls cost money; a context manager that ends its calls under way. One `answer` at a time.

    Raises ValueError where the price is missing.
    """

    def __init__(
        self,
        calls: Calls,
        jobs: Jobs,
        gemini: Gemini,
        desk: DeskSection,
        answers: Answers,
        *,
        folder: Path,
        log: Callable[[str], None],
        clock: Clock = REAL_TIME,
    ) -> None:
        price_of(gemini, desk)  # raises, before there is a ledger
        self._calls, self._desk, self._answers, self._log, self._clock = calls, desk, answers, log, clock
        self._ledger = Ledger(folder, desk, clock=clock.now)
        self._batches = Batches(jobs, self._ledger, gemini, desk, clock, log=log)
        self._teller = Teller(calls, self._batches, self._ledger, gemini, desk, clock, log=log)
        self._works_ahead = bool(desk.batch_from)
        self._visits: list[Visit] = []
        self._tally = Tally()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The model and its settings."""
        return self._calls.name

    @property
    def tally(self) -> Tally:
        """What the requests of the last `answer` have taken so far; whole when it has ended."""
        return self._tally

    @property
    def works_ahead(self) -> bool:
        """Whether it makes batch jobs; False once one had no room."""
        return self._works_ahead

    def ahead(self, requests: Sequence[Request]) -> None:
        """Submits the first prompts that nobody has asked yet as batch jobs, if they are enough for that.

        Whatever stands in the way (money, a quota, the service) is logged and ends working ahead.
        """
        if not self._works_ahead:
            return
        missing = {key: request for some in self._missing(requests) for key, request in some.items()}
        free = missing.keys() - self._batches.held(missing.keys()) if len(missing) >= self._desk.batch_from else set()
        if len(free) < self._desk.batch_from:
            return
        left = (key for key in missing if key in free)
        while keys := list(islice(left, self._desk.batch_most_calls)):
            prompts = {key: first_prompt(missing[key], self._answers) for key in keys}
            if why := self._batches.ahead(prompts):
                self._works_ahead = False
                self._log(f"nothing more is submitted ahead: {why}")
                return

    def answer(self, requests: Sequence[Request], *, part: str = "all") -> Iterator[Answer | Refused]:
        """One result for each request, in order.

        Raises DeskClosed once the calls under way have ended. At an interrupt, or when nobody wants further results,
        no call starts any more and those under way have GRACE_S; a second interrupt gives them up.
        """
        visit = Visit(self._clock, self._desk.concurrency)
        self._visits.append(visit)
        self._tally = visit.tally
        started_s = self._clock.elapsed_s()
        bar = tqdm(total=len(requests), desc=f"  {part}", unit="request", leave=False, disable=None, delay=BAR_DELAY_S)
        try:
            with bar:
                has_jobs = self._batches.collect(visit.tally)
                for outcome in self._outcomes(requests, visit, has_jobs=has_jobs):
                    bar.update()
                    yield outcome
        except Shut:
            raise visit.door.why or DeskClosed("interrupted", "it was closed while requests were under way") from None
        except BaseException as error:
            if not isinstance(error, Exception):
                visit.clerks.hurry(GRACE_S)
            raise
        finally:
            try:
                self._end(visit)
            finally:
                visit.add_up()
                self._log(_line(part, visit.tally, self._clock.elapsed_s() - started_s))

    def close(self) -> None:
        """Starts no more calls and waits, GRACE_S at most, for those under way."""
        for visit in list(self._visits):
            visit.clerks.hurry(GRACE_S)
            self._end(visit)
        if self._visits:
            # Who is still inside a call needs the ledger afterwards, if this process lives on.
            Thread(target=_close_after, args=(self._visits, self._ledger), daemon=True).start()
        else:
            self._ledger.close()

    def _outcomes(self, requests: Sequence[Request], visit: Visit, *, has_jobs: bool) -> Iterator[Answer | Refused]:
        if self._desk.batch_from and self._wants_jobs(requests, has_jobs=has_jobs):
            yield from answer_in_rounds(requests, self._answers, visit.tally, partial(self._round, visit))
            return
        ahead = LOOK_AHEAD * self._desk.concurrency
        for first in range(0, len(requests), ahead):
            walks = [Walk(request, self._answers) for request in requests[first : first + ahead]]
            self._replay(walks)
            for walk in walks:
                if walk.prompt is not None:
                    walk.future = visit.clerks.put(partial(self._finish, walk, visit.door))
            visit.walks.extend(walks)
            while len(visit.walks) > ahead:
                yield visit.next_outcome()
        while visit.walks:
            yield visit.next_outcome()

    def _replay(self, walks: Sequence[Walk]) -> None:
        """Takes requests as far as kept replies go, all in step: no thread is woken for them."""
        going = {walk: walk.prompt for walk in walks}
        while going:
            keys = {walk: call_key(self.name, prompt) for walk, prompt in going.items() if prompt is not None}
            kept = self._ledger.found(set(keys.values()))
            going = {}
            for walk, key in keys.items():
                if key in kept:
                    walk.tally.found += 1
                    walk.take(kept[key])
                    going[walk] = walk.prompt

    def _finish(self, walk: Walk, door: Door) -> None:
        while walk.prompt is not None:
            walk.take(self._reply(walk.prompt, walk.tally, door))

    def _reply(self, prompt: Prompt, tally: Tally, door: Door) -> Reply | CallError:
        try:
            return self._teller.reply(prompt, tally, door)
        except CallError as error:
            return error

    def _wants_jobs(self, requests: Sequence[Request], *, has_jobs: bool) -> bool:
        """Whether so many first replies are missing that they go as jobs, or one of them is under way in a job."""
        if len(requests) < self._desk.batch_from and not has_jobs:
            return False
        missing: set[str] = set()
        for some in self._missing(requests):
            missing |= some.keys()
            if len(missing) >= self._desk.batch_from:
                return True
        return bool(missing and self._batches.held(missing))

    def _missing(self, requests: Sequence[Request]) -> Iterator[dict[str, Request]]:
        """The requests without a first reply by its key, some at a time."""
        for first in range(0, len(requests), LOOKED_UP):
            some = requests[first : first + LOOKED_UP]
            asked = {call_key(self.name, first_prompt(request, self._answers)): request for request in some}
            kept = self._ledger.found(asked)
            yield {key: request for key, request in asked.items() if key not in kept}

    def _round(self, visit: Visit, prompts: Sequence[Prompt]) -> Iterable[Reply | CallError]:
        """The replies of a round: many missing ones come by jobs, few by threads; what jobs lost is asked once more."""
        keys = [call_key(self.name, prompt) for prompt in prompts]
        asked = dict(zip(keys, prompts, strict=True))
        came: dict[str, Reply | CallError] = dict(self._ledger.found(asked))
        visit.tally.found += sum(key in came for key in keys)
        jobs, calls = self._asked({key: prompt for key, prompt in asked.items() if key not in came}, visit)
        came |= jobs | calls
        if lost := {key: asked[key] for key, result in jobs.items() if _is_lost(result)}:
            jobs, calls = self._asked(lost, visit)
            came |= jobs | calls
            if not any(isinstance(result, Reply) for result in jobs.values()):
                for error in filter(_is_lost, jobs.values()):
                    visit.door.gave_up(str(error))
                visit.door.pass_through()
        return [came[key] for key in keys]

    def _asked(self, missing: Mapping[str, Prompt], visit: Visit) -> tuple[_Results, _Results]:
        """What came of calls that are made: by jobs, and by threads."""
        is_many = len(missing) >= self._desk.batch_from
        in_jobs = missing.keys() if is_many else self._batches.held(missing.keys())
        tallies = {key: Tally() for key in missing if key not in in_jobs}
        visit.late.extend(tallies.values())
        futures = {
            key: visit.clerks.put(partial(self._reply, missing[key], tally, visit.door))
            for key, tally in tallies.items()
        }
        wanted = {key: prompt for key, prompt in missing.items() if key in in_jobs}
        jobs = self._batches.replies(wanted, visit.tally, visit.jobs_door)
        if any(isinstance(result, Reply) for result in jobs.values()):
            visit.door.answered()
        else:
            for error in jobs.values():
                if isinstance(error, CallError) and error.failure == "bad_request":
                    self._teller.turned_down(error, visit.door)
        return jobs, {key: result_of(future) for key, future in futures.items()}

    def _end(self, visit: Visit) -> None:
        """Waits for the threads of an `answer` that starts no more calls."""
        visit.door.close()
        visit.jobs_door.close()
        visit.clerks.dismiss()
        if busy := visit.clerks.join(AT_ONCE_S):
            self._log(f"{busy} calls under way are paid for and waited for; interrupt again to give them up")
        if not visit.clerks.join() and visit in self._visits:
            self._visits.remove(visit)


def _is_lost(result: Reply | CallError) -> bool:
    """Whether it may come if it is asked for again."""
    return isinstance(result, CallError) and result.failure != "bad_request"


def _line(part: str, tally: Tally, elapsed_s: float) -> str:
    counts = f"{tally.requests} requests, {tally.calls} calls, {tally.found} found, {tally.refused} refused"
    return f"{part}: {counts}, {tally.usd:.4f} usd, {tally.requests / max(elapsed_s, 1e-9):.1f} requests/s"


def _close_after(visits: Sequence[Visit], ledger: Ledger) -> None:
    for visit in visits:
        visit.clerks.outlast()
    ledger.close()
