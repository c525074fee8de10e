"""Child processes that run `Worker.prepare`: a decoder that crashes, hangs or eats memory costs its item, no more.

Run as `python -m resources.preparers <module:Class> <seconds>` with a socket as standard input. A message is one byte
that says what it is, and the descriptor of an unnamed file in memory with its `resources.wire` bytes: of 100 MB this
moved 1.4 GB a second, a pipe 0.3 to 0.8. A child ends when its parent's end of the socket closes, and by itself when an
item takes longer than its parent would have waited. Its address space is limited, so that `prepare` should import what
it needs and no torch. Linux only.
"""

import mmap
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from types import GenericAlias
from typing import Any

from resources.refusals import Refusal
from resources.wire import REFUSAL, RESULT, Piece, decoded, pieces

ADDRESS_SPACE_BYTES = 4 << 30  # of one child; with one rate wanted, three hours of float32 at 48 kHz are half of it
ITEM_TIMEOUT_S = 120.0
START_TIMEOUT_S = 120.0
# The kernel kills who has much memory, whoever took the rest: an item is to blame for a death only if it has several.
DEATHS, HANGS = 3, 2
GRACE_S = 2.0  # then a child ends itself, whose parent should have killed it
MAPPED_BYTES = 1 << 20  # larger messages are read where they lie, which keeps a descriptor open
ERROR = b"!"
SECRET = re.compile(r"RAY_AUTH_.*|(.*_)?(API_KEY|TOKEN)", re.IGNORECASE)  # decoders of hostile files run in the child
ROOT = Path(__file__).parents[1]
# There are as many children as shall work at once; and each thread of a library takes address space.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


class PreparerError(Exception):
    """`prepare` raised, or its process can't be started; holds the traceback's text."""


def worker_class(name: str) -> Any:
    """The class that "module:Class" names. Raises ValueError if there is none."""
    module, _, attribute = name.partition(":")
    found = getattr(import_module(module), attribute or "?", None)
    if not isinstance(found, type):
        raise ValueError(f"{name} is no class; expected module:Class")
    return found


class Preparers:
    """`count` processes that prepare items, started when first needed; with none the calling thread does it.

    A process that dies or hangs is replaced and its item tried again; after three deaths or two hangs it is refused
    (preparer_died, preparer_timeout), as is at once one too large for memory (out_of_memory). The location of such a
    refusal is empty.
    """

    def __init__(self, worker: str, settings: Any, *, count: int, timeout_s: float = ITEM_TIMEOUT_S) -> None:
        self._worker, self._settings, self._timeout_s = worker, settings, timeout_s
        self._class = worker_class(worker)
        self._threads = ThreadPoolExecutor(count) if count else None
        self._idle: SimpleQueue[_Child | None] = SimpleQueue()
        for _ in range(count):
            self._idle.put(None)
        self._children: set[_Child] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    def prepare(self, orders: Sequence[tuple[Any, tuple[str, ...]]]) -> list[Any]:
        """What `prepare` gives for each item and its wants, in order. Two threads may call at once.

        Raises PreparerError with the traceback's text if `prepare` raises.
        """
        if self._threads is None:
            return [_prepared(self._class, self._worker, self._settings, *order) for order in orders]
        return list(self._threads.map(self._asked, orders))

    def close(self) -> None:
        """Kills the processes, those at work too: who waits for them gets a PreparerError."""
        with self._lock:
            self._is_closed = True
            for child in self._children:
                child.process.kill()
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        for child in self._children:
            child.end()

    def _asked(self, order: tuple[Any, tuple[str, ...]]) -> Any:
        deaths = hangs = 0
        while True:
            try:
                return self._answer(*self._ask_one(order))
            except ConnectionError as error:
                deaths += 1
                if deaths == DEATHS:
                    return Refusal(self._worker, "", "preparer_died", str(error))
            except TimeoutError:
                hangs += 1
                if hangs == HANGS:
                    detail = f"took longer than {self._timeout_s:g} s"
                    return Refusal(self._worker, "", "preparer_timeout", detail)

    def _ask_one(self, order: tuple[Any, tuple[str, ...]]) -> tuple[bytes, memoryview]:
        """One process's answer. Raises TimeoutError, or ConnectionError with how the process ended."""
        item, wants = order
        child = self._idle.get()
        try:
            child = child or self._started()
            return child.ask([wants, item], self._timeout_s)
        except TimeoutError:
            self._forget(child)
            raise
        except ConnectionError as error:
            raise ConnectionError(self._forget(child)) from error
        finally:
            self._idle.put(child if child in self._children else None)

    def _started(self) -> "_Child":
        with self._lock:
            if self._is_closed:
                raise PreparerError(f"{self._worker}: its preparers are closed")
            child = _Child(self._worker, self._timeout_s)
            self._children.add(child)
        try:
            mark, raw = child.ask(self._settings, START_TIMEOUT_S)
        except (TimeoutError, ConnectionError) as error:
            raise PreparerError(f"{self._worker}: a preparer did not start: {self._forget(child)}") from error
        if mark == ERROR:
            self._forget(child)
            raise PreparerError(f"{self._worker}: a preparer did not start: {decoded(raw, str)}")
        return child

    def _forget(self, child: "_Child | None") -> str:
        """Ends a process that can't be used any more; returns how it ended."""
        assert child
        ended = child.end()
        with self._lock:
            self._children.discard(child)
            if self._is_closed:
                raise PreparerError(f"{self._worker}: its preparers were closed")
        return ended

    def _answer(self, mark: bytes, raw: memoryview) -> Any:
        if mark == ERROR:
            raise PreparerError(f"{self._worker}.prepare: {decoded(raw, str)}")
        return decoded(raw, Refusal if mark == REFUSAL else self._class.prepared)


class _Child:
    """A process and the socket to it."""

    def __init__(self, worker: str, timeout_s: float) -> None:
        self._socket, theirs = socket.socketpair()
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        with theirs:
            # -P: the folder the parent was started in must not shadow modules. Its own session: Ctrl-C is not for it.
            self.process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-P", "-m", "resources.preparers", worker, str(timeout_s)],
                stdin=theirs.fileno(),
                env={**_without_secrets(os.environ), **ONE_THREAD, "PYTHONPATH": path},
                start_new_session=True,
            )

    def ask(self, value: object, timeout_s: float) -> tuple[bytes, memoryview]:
        """The answer's mark and bytes. Raises ConnectionError if the process ends, TimeoutError if it takes longer."""
        self._socket.settimeout(timeout_s)
        _send(self._socket, RESULT, pieces(value))
        return _receive(self._socket)

    def end(self) -> str:
        """Kills the process if it still runs; returns how it ended."""
        self._socket.close()
        try:
            status = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if status == -signal.SIGKILL:
            return "killed (SIGKILL): perhaps the machine's memory ran out"
        return f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def main(worker: str, timeout_s: float) -> None:
    """Answers the parent until it is gone: first the settings, then orders."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = ADDRESS_SPACE_BYTES if limit == resource.RLIM_INFINITY else min(ADDRESS_SPACE_BYTES, limit)
    resource.setrlimit(resource.RLIMIT_AS, (most, limit))
    parent = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    with suppress(ConnectionError):
        _, raw = _receive(parent)
        try:
            kind = worker_class(worker)
            settings = decoded(raw, kind.settings)
        except Exception:
            return _send(parent, ERROR, pieces(traceback.format_exc()))
        _send(parent, RESULT, pieces(None))
        while True:
            _, raw = _receive(parent)
            signal.setitimer(signal.ITIMER_REAL, timeout_s + GRACE_S)
            _send(parent, *_answered(worker, kind, settings, raw))
            signal.setitimer(signal.ITIMER_REAL, 0)


def _answered(worker: str, kind: Any, settings: Any, raw: memoryview) -> tuple[bytes, list[Piece]]:
    message: Any = GenericAlias(tuple, (tuple[str, ...], kind.item))
    try:
        wants, item = decoded(raw, message)
        value = _prepared(kind, worker, settings, item, wants)
        return REFUSAL if isinstance(value, Refusal) else RESULT, pieces(value)
    except MemoryError as error:
        return REFUSAL, pieces(_too_large(worker, error))
    except Exception:
        return ERROR, pieces(traceback.format_exc())


def _prepared(kind: Any, worker: str, settings: Any, item: Any, wants: tuple[str, ...]) -> Any:
    try:
        return kind.prepare(settings, item, wants)
    except MemoryError as error:
        return _too_large(worker, error)


def _too_large(worker: str, error: MemoryError) -> Refusal:
    return Refusal(worker, "", "out_of_memory", str(error))


def _without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not SECRET.fullmatch(name)}


def _send(connection: socket.socket, mark: bytes, message: Sequence[Piece]) -> None:
    file = os.memfd_create("message", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as written:
            written.writelines(message)
        socket.send_fds(connection, [mark], [file])
    finally:
        os.close(file)


def _receive(connection: socket.socket) -> tuple[bytes, memoryview]:
    mark, files, _, _ = socket.recv_fds(connection, 1, 1)
    if not files:
        raise ConnectionResetError("the other end is closed")
    try:
        message = mmap.mmap(files[0], 0, access=mmap.ACCESS_COPY)
    finally:
        os.close(files[0])
    return mark, memoryview(message if len(message) > MAPPED_BYTES else message[:])


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
