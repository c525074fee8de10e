"""Threads that make calls, and the door that stops them all."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, NamedTuple, TypeVar

from resources.desk.calls import CallError, DeskClosed, Failure

LOOK_S = 1.0  # polars has the system resume waits that a signal interrupts: without an end to them Ctrl-C is not seen
FIRST_WAIT_S = 1.0  # full jitter: a wait is anything up to this, the next anything up to twice this, and so on
LONG_PAUSE_S = 60.0  # one that somebody wonders about
UNREACHABLE_REPLIES = 8
REJECTED_REPLIES = 8
CLOSING: frozenset[Failure] = frozenset({"rejected", "daily_quota"})

Result = TypeVar("Result")


class Clock(NamedTuple):
    """What tells the time and waits; a test's own lets it pass at once."""

    elapsed_s: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    wait: Callable[[Event, float], bool] = Event.wait


REAL_TIME = Clock()


class Shut(Exception):  # noqa: N818 - a state, and nobody's error
    """The door is closed: the call was not made."""


class Door:
    """Calls may start until something closes it, for good; who sleeps at it then wakes."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._shut, self._lock = clock, Event(), Lock()
        self._given_up = self._turned_down = 0
        self.why: DeskClosed | None = None

    def close(self, why: DeskClosed | None = None) -> None:
        """The first reason counts; None: nobody waits for answers any more."""
        with self._lock:
            if not self._shut.is_set():
                self.why = why
                self._shut.set()

    def pass_through(self) -> None:
        """Raises Shut once it is closed."""
        if self._shut.is_set():
            raise Shut

    def sleep(self, seconds: float) -> None:
        """Returns after that time; raises Shut as soon as it is closed."""
        until = self._clock.elapsed_s() + seconds
        while (left_s := until - self._clock.elapsed_s()) > 0:
            self._clock.wait(self._shut, min(left_s, LOOK_S))
            self.pass_through()

    def answered(self) -> None:
        """The model can be reached, and understands what it is asked."""
        self._given_up = self._turned_down = 0

    def gave_up(self, detail: str) -> None:
        """A reply could not be got; closes at the eighth in a row."""
        with self._lock:
            self._given_up += 1
            is_unreachable = self._given_up >= UNREACHABLE_REPLIES
        if is_unreachable:
            self.close(DeskClosed("unreachable", f"{UNREACHABLE_REPLIES} replies in a row could not be got: {detail}"))

    def turned_down(self, detail: str, *, is_first: bool) -> None:
        """A prompt is no good request; closes if none was ever answered, and at the eighth in a row."""
        with self._lock:
            self._turned_down += 1
            is_no_prompts_fault = is_first or self._turned_down >= REJECTED_REPLIES
        if is_no_prompts_fault:
            self.close(DeskClosed("rejected", detail))


def closing(error: CallError, *, deadline_s: float) -> DeskClosed | None:
    """Why no further call makes sense after this error; None if one does."""
    if error.failure in CLOSING:
        return DeskClosed(error.failure, error.detail)
    if error.failure == "rate_limit" and (error.retry_after_s or 0.0) > deadline_s:
        hint = f"asked to wait {error.retry_after_s:.0f} s, which is longer than desk.deadline_s ({deadline_s:g} s)"
        return DeskClosed("daily_quota", f"{error.detail}; {hint}")
    return None


class Clerks:
    """Threads that do what is put before them, first come first served; started as they are needed.

    They are daemons, in no executor: Python must not wait at its end for a call that somebody gave up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._orders: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._until = math.inf

    def put(self, do: Callable[[], Result]) -> Future[Result]:
        """What `do` will have returned or raised."""
        future: Future[Result] = Future()
        self._orders.put((future, do))
        if len(self._threads) < self._most:
            self._threads.append(Thread(target=self._serve, name="clerk", daemon=True))
            self._threads[-1].start()
        return future

    def dismiss(self) -> None:
        """Each ends after what was put before; may be called again."""
        for _ in self._threads:
            self._orders.put(None)

    def hurry(self, most_s: float) -> None:
        """From now on nobody waits longer than this for them."""
        self._until = min(self._until, time.monotonic() + most_s)

    def join(self, most_s: float = math.inf) -> int:
        """Waits for them to end, and returns how many have not. An interrupt ends this waiting and any later one."""
        until = min(self._until, time.monotonic() + most_s)
        try:
            for thread in self._threads:
                while thread.is_alive() and (left_s := until - time.monotonic()) > 0:
                    thread.join(min(left_s, LOOK_S))
        except BaseException:
            self._until = 0.0
            raise
        return sum(thread.is_alive() for thread in self._threads)

    def outlast(self) -> None:
        """Waits for them to end, however long it takes."""
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            future, do = order
            try:
                future.set_result(do())
            except BaseException as error:  # whoever waits for it raises it
                future.set_exception(error)


def result_of(future: Future[Result]) -> Result:
    """What a clerk made, waited for."""
    while not future.done():
        wait([future], timeout=LOOK_S)
    return future.result()
