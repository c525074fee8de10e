"""Inputs through workers, each worked on once: equal ones together, finished ones kept, results in order.

Where the workers are, in this process or on a cluster, is the pool's matter (`resources.stations`,
`resources.ray_workers`). Outcomes go over the wire's bytes either way, so that kept and fresh ones are alike.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from tqdm import tqdm

from resources.kept import Kept
from resources.profile import WorkersSection
from resources.refusals import Refusal
from resources.stations import Order, Station
from resources.wire import decoded_outcome, encoded_outcome

# Refusals that say nothing of the input: the next run tries again.
TRANSIENT = frozenset({"out_of_memory", "worker_died", "preparer_died", "preparer_timeout"})
FLUSH_S = 5.0  # a killed process loses what it finished in this time
LOOK_S = 1.0  # polars has the system resume waits that a signal interrupts: without an end to them Ctrl-C is not seen
BAR_DELAY_S = 2.0

Outcomes = dict[str, Any]  # by need's name: a result or Refusal


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
    """One station in this process, with two batches under way."""

    def __init__(self, worker: str, settings: Any, *, preparers: int) -> None:
        self._station = Station(worker, settings, preparers=preparers)
        self._threads = ThreadPoolExecutor(2)

    def stream(self, batches: Sequence[Sequence[Order]]) -> Iterator[tuple[int, list[Outcomes]]]:
        """Number and outcomes of each batch, as they finish.

        What a worker raises is raised here, once the other batch under way is finished and yielded.
        """
        waiting = {self._threads.submit(self._station.do, batch): number for number, batch in enumerate(batches)}
        failure: BaseException | None = None
        try:
            while waiting:
                done, _ = wait(waiting, timeout=LOOK_S, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=waiting.__getitem__):
                    number = waiting.pop(future)
                    error = future.exception()
                    if error is None:
                        yield number, future.result()
                    elif failure is None:
                        failure = error
                if failure is not None:
                    waiting = _without_cancelled(waiting)
            if failure is not None:
                raise failure
        finally:
            _without_cancelled(waiting)

    def close(self) -> None:
        """Ends the preparing processes, then waits for the model to finish what it has."""
        self._station.close()
        self._threads.shutdown(cancel_futures=True)


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


def _without_cancelled(futures: dict[Future[list[Outcomes]], int]) -> dict[Future[list[Outcomes]], int]:
    """Cancels what has not begun."""
    return {future: number for future, number in futures.items() if not future.cancel()}
