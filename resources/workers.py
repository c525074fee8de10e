"""Inputs through workers, each worked on once: equal ones together, finished ones kept, results in order.

Where the workers are, in this process or on a cluster, is the pool's matter (`resources.stations`,
`resources.ray_workers`). Outcomes go over the wire's bytes either way, so that kept and fresh ones are alike.
"""

import atexit
import math
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from tqdm import tqdm

from resources.kept import Kept
from resources.model_settings import WorkersSection
from resources.refusals import TRANSIENT, Refusal
from resources.stations import Order, Station
from resources.wire import decoded_outcome, encoded_outcome

FLUSH_S = 5.0  # a killed process loses what it finished in this time
LOOK_S = 1.0  # polars has the system resume waits that a signal interrupts: without an end to them Ctrl-C is not seen
GRACE_S = 7.0  # for what is under way at an interrupt: a model may take minutes for it
INTERRUPTED = 128 + signal.SIGINT  # a shell's status of it
UNDER_WAY = 2  # batches: one is prepared while the model has the other
BAR_DELAY_S = 2.0

Outcomes = dict[str, Any]  # by need's name: a result or Refusal
Waiting = deque[tuple[int, Sequence[Order]]]
Answer = tuple[int, list[Outcomes]] | BaseException | None  # a batch's, or what went wrong; None: a thread's last


class Need(NamedTuple):
    """One thing wanted of every input.

    `identity` names the model, settings and code that it depends on; None: it is not kept. `kind` is a result's type.
    """

    name: str
    identity: str | None
    kind: type


class Task(NamedTuple):
    """An input, and the hash of its content."""

    key: str
    item: Any


class Pool(Protocol):
    """Stations that take batches."""

    def stream(self, batches: Sequence[Sequence[Order]]) -> Iterator[tuple[int, list[Outcomes]]]:
        """Number and outcomes of each batch, as they finish."""
        ...

    def close(self) -> None:
        """Ends the stations."""
        ...


class LocalPool:
    """One station in this process, with two batches under way. Not for two threads at once."""

    def __init__(self, worker: str, settings: Any, *, preparers: int) -> None:
        self._station = Station(worker, settings, preparers=preparers)
        self._threads: list[Thread] = []
        self._until = math.inf

    def stream(self, batches: Sequence[Sequence[Order]]) -> Iterator[tuple[int, list[Outcomes]]]:
        """Number and outcomes of each batch, as they finish.

        What a worker raises is raised here, once the other batch under way is finished and yielded. So is an
        interrupt, but what takes longer than GRACE_S is given up.
        """
        waiting: Waiting = deque(enumerate(batches))
        answers: SimpleQueue[Answer] = SimpleQueue()
        # Daemons, in no executor: a model can't be stopped, and Python must not wait for it when it ends.
        self._threads = [Thread(target=self._work, args=(waiting, answers), daemon=True) for _ in range(UNDER_WAY)]
        for thread in self._threads:
            thread.start()
        working, failure = UNDER_WAY, None
        try:
            while working and time.monotonic() < self._until:
                answer = self._next(answers)
                if answer is None:
                    working -= 1
                elif isinstance(answer, BaseException):
                    waiting.clear()
                    failure = failure if failure and isinstance(answer, Exception) else answer
                else:
                    yield answer
            if failure is not None:
                raise failure
        finally:
            waiting.clear()

    def close(self) -> None:
        """Ends the preparing processes, then waits, GRACE_S at most, for the model to finish what it has."""
        if any(thread.is_alive() for thread in self._threads):
            atexit.register(_end_without, self._threads)
        self._station.close()
        until = min(self._until, time.monotonic() + GRACE_S)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self, waiting: Waiting, answers: SimpleQueue[Answer]) -> None:
        while True:
            try:
                number, batch = waiting.popleft()
            except IndexError:
                return answers.put(None)
            try:
                answers.put((number, self._station.do(batch)))
            except BaseException as error:
                answers.put(error)

    def _next(self, answers: SimpleQueue[Answer]) -> Answer:
        """The next answer; an interrupt counts as one. Ctrl-C may arrive twice: a second starts no second grace."""
        try:
            while (left_s := self._until - time.monotonic()) > 0:
                with suppress(Empty):
                    return answers.get(timeout=min(LOOK_S, left_s))
        except BaseException as interrupt:  # of the whole loop: it often comes when the waiting ends
            self._until = min(self._until, time.monotonic() + GRACE_S)
            return interrupt
        return None


class Crew:
    """Workers for some needs, started when first needed; a context manager that ends them."""

    def __init__(
        self,
        pool: Callable[[], Pool],
        needs: Sequence[Need],
        *,
        kept: Path | None,
        batch: int,
        log: Callable[[str], None],
    ) -> None:
        self._start, self._needs, self._batch, self._log = pool, needs, batch, log
        identities = {need.identity for need in needs if need.identity is not None}
        self._kept = {identity: Kept(kept, identity) for identity in sorted(identities)} if kept else {}
        self._pool: Pool | None = None
        self.made = 0  # inputs worked on, those found kept left out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.close()
            self._pool = None

    def map(self, tasks: Sequence[Task], *, part: str) -> list[Outcomes]:
        """The outcomes of each task, in order; what was kept of the part is not made again.

        Tasks of one key share their outcomes. A Refusal with an empty location gets the task's key. What a worker
        raises is raised here, after what is finished was kept.
        """
        started = time.monotonic()
        distinct: dict[str, Task] = {}
        for task in tasks:
            distinct.setdefault(task.key, task)
        outcomes = self._found(distinct, part)
        found = {key for key in distinct if not self._wants(outcomes[key])}
        self.made += len(distinct) - len(found)
        self._make(list(distinct.values()), outcomes, part)
        for kept in self._kept.values():
            kept.merge(part)

        refused = sum(any(isinstance(made, Refusal) for made in outcomes[task.key].values()) for task in tasks)
        line = f"{part}: {len(tasks)} rows, {sum(task.key in found for task in tasks)} kept, {refused} refused"
        rate = (len(distinct) - len(found)) / max(time.monotonic() - started, 1e-9)
        self._log(f"{line}, {rate:.1f} rows/s" if rate else line)
        return [{need.name: outcomes[task.key][need.name] for need in self._needs} for task in tasks]

    def _found(self, keys: Collection[str], part: str) -> dict[str, Outcomes]:
        outcomes: dict[str, Outcomes] = {key: {} for key in keys}
        payloads = {identity: kept.read(part) for identity, kept in self._kept.items()}
        for need in self._needs:
            kept = payloads.get(need.identity, {}) if need.identity is not None else {}
            for key in kept.keys() & outcomes.keys():
                with suppress(ValueError):  # of an older kind: made again
                    outcomes[key][need.name] = decoded_outcome(kept[key], need.kind)
        return outcomes

    def _wants(self, made: Outcomes) -> tuple[str, ...]:
        return tuple(need.name for need in self._needs if need.name not in made)

    def _make(self, tasks: Sequence[Task], outcomes: dict[str, Outcomes], part: str) -> None:
        """Adds the outcomes that are missing.

        Batches are cut before what was kept is left out: after a kill the rest is in the batches it would have been
        in, and so comes out the same to the last bit.
        """
        planned = [tasks[first : first + self._batch] for first in range(0, len(tasks), self._batch)]
        batches = [[task for task in batch if self._wants(outcomes[task.key])] for batch in planned]
        batches = [batch for batch in batches if batch]
        if not batches:
            return
        self._pool = self._pool or self._start()
        orders = [[Order(task.item, self._wants(outcomes[task.key])) for task in batch] for batch in batches]
        pending = _Pending(self._kept, part)
        rows = sum(map(len, batches))
        try:
            with tqdm(total=rows, desc=f"  {part}", unit="row", leave=False, disable=None, delay=BAR_DELAY_S) as bar:
                for number, made in self._pool.stream(orders):
                    keys = [task.key for task in batches[number]]
                    pending.add(self._taken(keys, made, outcomes))
                    bar.update(len(keys))
        finally:
            pending.flush()

    def _taken(
        self, keys: Sequence[str], made: Sequence[Outcomes], outcomes: dict[str, Outcomes]
    ) -> dict[str, dict[str, bytes]]:
        """Takes a batch's outcomes over; returns what is to be kept of them, by identity and key."""
        payloads: dict[str, dict[str, bytes]] = {identity: {} for identity in self._kept}
        for key, by_name in zip(keys, made, strict=True):
            for need in [need for need in self._needs if need.name in by_name]:
                outcome = by_name[need.name]
                if isinstance(outcome, Refusal):
                    outcome = outcome._replace(location=outcome.location or key)
                raw = encoded_outcome(outcome)
                try:
                    outcomes[key][need.name] = decoded_outcome(raw, need.kind)
                except ValueError as error:
                    raise ValueError(f"{need.name} of {key} is no {need.kind}: {error}") from error
                is_transient = isinstance(outcome, Refusal) and outcome.reason in TRANSIENT
                if need.identity in self._kept and not is_transient:
                    payloads[need.identity][key] = raw
        return payloads


def crew(
    settings: WorkersSection,
    worker: str,
    worker_settings: Any,
    needs: Sequence[Need],
    *,
    kept: Path | None,
    batch: int | None = None,
    log: Callable[[str], None],
) -> Crew:
    """The workers that the profile wants, in this process or on a Ray cluster."""

    def start() -> Pool:
        if settings.kind == "ray":
            from resources.ray_workers import RayPool

            return RayPool(worker, worker_settings, section=settings)
        return LocalPool(worker, worker_settings, preparers=settings.preparers)

    return Crew(start, needs, kept=kept, batch=batch or settings.batch, log=log)


class _Pending:
    """Finished batches of a part on their way to the disk, by identity and key."""

    def __init__(self, kept: Mapping[str, Kept], part: str) -> None:
        self._kept, self._part = kept, part
        self._payloads: dict[str, dict[str, bytes]] = {identity: {} for identity in kept}
        self._flushed = time.monotonic()

    def add(self, payloads: Mapping[str, Mapping[str, bytes]]) -> None:
        for identity, added in payloads.items():
            self._payloads[identity].update(added)
        if time.monotonic() - self._flushed >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        for identity, payloads in self._payloads.items():
            if payloads:
                self._kept[identity].write(self._part, payloads)
                self._payloads[identity] = {}
        self._flushed = time.monotonic()


def _end_without(threads: Sequence[Thread]) -> None:
    """Ends the process in order but for threads that are inside a model: torch would end it by SIGABRT."""
    if any(thread.is_alive() for thread in threads):
        atexit.unregister(_end_without)
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)
