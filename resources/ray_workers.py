"""Workers on a Ray cluster: actors with one station each, and two batches under way in each.

Ray places the actors and says when one died; who gets which batch, and what is done again, is decided here: Ray's own
retries of an actor's tasks lost 3 of 24 batches when a node died.
"""

import logging
import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from resources.model_settings import WorkersSection
from resources.ray_cluster import connected, is_own
from resources.ray_work import Part, Work
from resources.stations import Order, Station

START_TIMEOUT_S = 300.0  # a cluster that grows needs minutes for a node with GPUs;
OWN_START_TIMEOUT_S = 60.0  # this machine doesn't grow
LOOK_S = 1.0
LAST_WORD_S = 30.0  # what a dead worker had finished arrives within this
CLOSE_S = 10.0
FALSE_STARTS = 3  # times that every worker may die before it is ready
UNDER_WAY = 2  # batches of one worker: one is prepared while the model has the other

log = logging.getLogger(__name__)


class WorkersError(RuntimeError):
    """No worker can be placed, or none lives until it is ready."""


class RayPool:
    """Workers on the cluster that `connected` finds. Not for two threads at once.

    They are made when the first batch comes and stay for the next stream; a driver that is killed leaves none behind.
    """

    def __init__(
        self, worker: str, settings: Any, *, section: WorkersSection, start_timeout_s: float | None = None
    ) -> None:
        if section.gpus_each > 1 and not section.gpus_each.is_integer():
            raise ValueError(f"workers.gpus_each={section.gpus_each}: above 1 only whole GPUs, below it any share")
        self._worker = worker
        self._settings = settings
        self._section = section
        own_or_given_s = OWN_START_TIMEOUT_S if is_own() else START_TIMEOUT_S
        self._start_timeout_s = own_or_given_s if start_timeout_s is None else start_timeout_s
        self._hands: list[_Hand] = []
        self._false_starts = 0
        self._is_shortage_told = False
        self._ray: Any = None

    def stream(self, batches: Sequence[Sequence[Order]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Number and outcomes of each batch, as they finish. An order whose workers die is refused: worker_died.

        What a worker raises is raised here as it was, once the batches under way are finished and yielded. Raises
        ClusterError, and WorkersError where no worker can be had.
        """
        work = Work(batches, worker=self._worker)
        self._ray, self._false_starts = connected(), 0
        failure: Exception | None = None
        try:
            while work.unfinished and (failure is None or any(hand.parts for hand in self._hands)):
                try:
                    if failure is None:
                        self._hire(work)
                        self._hand_out(work)
                    self._settle(work)
                except Exception as error:
                    failure = failure or error
                yield from work.finished()
            if failure is not None:
                raise failure
        finally:
            # Left early: whoever is still busy would answer to nobody.
            self._dismiss([hand for hand in self._hands if hand.parts or failure is not None])

    def close(self) -> None:
        """Ends all workers."""
        if not self._hands or not self._ray.is_initialized():
            return
        goodbyes = [hand.actor.close.remote() for hand in self._hands if hand.is_ready]
        if goodbyes:
            self._ray.wait(goodbyes, num_returns=len(goodbyes), timeout=CLOSE_S)
        self._dismiss(list(self._hands))

    def _hire(self, work: Work) -> None:
        """A worker for each part of the work, at most as many as the profile says."""
        wanted = min(work.waiting + sum(len(hand.parts) for hand in self._hands), self._section.count)
        if self._false_starts >= FALSE_STARTS * self._section.count:
            return  # the others go on; the last that dies raises
        # No CPUs: other tasks could keep workers off a small node. But Ray spreads only what takes something: a byte.
        actors = self._ray.remote(StationActor).options(
            num_cpus=0,
            num_gpus=self._section.gpus_each,
            memory=1,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=UNDER_WAY,
            scheduling_strategy="SPREAD",
        )
        paths = [path or os.getcwd() for path in sys.path]  # noqa: PTH109 - a string among strings
        for _ in range(wanted - len(self._hands)):
            actor = actors.remote()
            opened = actor.open.remote(self._worker, self._settings, self._section.preparers, paths)
            self._hands.append(_Hand(actor, time.monotonic(), placed=actor.place.remote(), opened=opened))

    def _hand_out(self, work: Work) -> None:
        """Every worker gets its first part before any gets its second, of which those without one are left enough."""
        for hand in self._hands:
            if hand.is_ready and not hand.parts and (part := work.next(is_alone=True)):
                hand.parts[hand.actor.do.remote(part.orders)] = part
        for hand in self._hands:
            is_shared = len(hand.parts) == 1 and not any(part.is_suspect for part in hand.parts.values())
            idle = sum(not other.parts for other in self._hands)
            if is_shared and work.waiting > idle and (part := work.next(is_alone=False)):
                hand.parts[hand.actor.do.remote(part.orders)] = part

    def _settle(self, work: Work) -> None:
        """Takes one answer, if one comes. Raises what a worker raised."""
        refs = {ref: hand for hand in self._hands for ref in hand.refs}
        done, _ = self._ray.wait(list(refs), num_returns=1, timeout=LOOK_S) if refs else ([], [])
        if not done:
            self._check_placed()
            return
        ref, hand = done[0], refs[done[0]]
        try:
            answer = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            if hand.parts.pop(ref, None) is None:
                self._dismiss([hand])  # it can't be made
            raise error.cause from None
        except self._deaths as error:
            self._bury(hand, error, work)
            return
        if ref == hand.placed:
            hand.placed, hand.node = None, answer
            log.info("a worker is on node %s", answer)
        elif ref == hand.opened:
            hand.opened, self._false_starts = None, 0
        else:
            work.done(hand.parts.pop(ref), answer)

    @property
    def _deaths(self) -> tuple[type[Exception], ...]:
        """What Ray raises for a process, a node or a result that is gone."""
        names = ("RayActorError", "WorkerCrashedError", "OutOfMemoryError", "NodeDiedError", "ObjectLostError")
        return tuple(getattr(self._ray.exceptions, name) for name in names)

    def _bury(self, hand: "_Hand", error: Exception, work: Work) -> None:
        """Puts back what a dead worker had not finished."""
        self._dismiss([hand])
        lost = []
        for ref, part in hand.parts.items():
            try:
                work.done(part, self._ray.get(ref, timeout=LAST_WORD_S))
            except self._ray.exceptions.RayError:
                lost.append(part)
        cause = _words(error)
        log.warning("a worker died, batches to be done again: %d. %s", len(lost), cause)
        work.lost(lost)
        if getattr(error, "actor_init_failed", False):
            raise WorkersError(f"every node of the cluster needs the same installation of this project: {error}")
        self._false_starts += not hand.is_ready
        if self._false_starts >= FALSE_STARTS * self._section.count and not self._hands:
            raise WorkersError(
                f"{self._worker}: {self._false_starts} workers in a row died before they were ready. If memory was"
                f" short, a smaller MUSIC_WORKERS__COUNT leaves each more. The last: {cause}"
            )

    def _check_placed(self) -> None:
        """Raises WorkersError when no worker found a place in time; when some did, the log says so once."""
        waited_since = time.monotonic() - self._start_timeout_s
        late = [hand for hand in self._hands if hand.placed is not None and hand.asked_at < waited_since]
        if not late or (self._is_shortage_told and len(late) < len(self._hands)):
            return
        nodes = sum(node["Alive"] for node in self._ray.nodes())
        gpus, free = (each.get("GPU", 0) for each in (self._ray.cluster_resources(), self._ray.available_resources()))
        shortage = (
            f"{len(self._hands) - len(late)} of {len(self._hands)} workers placed: wanted {self._section.gpus_each:g}"
            f" GPUs each, the cluster has {gpus:g} on {nodes} nodes, {free:g} of them free"
        )
        if len(late) == len(self._hands):
            raise WorkersError(f"{shortage}; see MUSIC_WORKERS__GPUS_EACH")
        self._is_shortage_told = True
        log.warning("%s; those go on alone", shortage)

    def _dismiss(self, hands: Sequence["_Hand"]) -> None:
        for hand in hands:
            self._hands.remove(hand)
            if self._ray.is_initialized():  # not while Python ends
                self._ray.kill(hand.actor)


class StationActor:
    """One station in a process of the cluster; its methods may be called by two threads at once."""

    def __init__(self) -> None:
        self._station: Station | None = None

    def place(self) -> str:
        """The node it is on; that it answers says that there is a place for it."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def open(self, worker: str, settings: Any, preparers: int, paths: Sequence[str]) -> None:
        """Makes the station. `paths` are where the driver imports from; on its machine they lead to the same."""
        sys.path.extend(path for path in paths if path not in sys.path)
        try:
            self._station = Station(worker, settings, preparers=preparers)
        except ImportError as error:
            wanted = f"{error}; every node of the cluster needs the same installation of this project as the driver"
            raise _portable(type(error)(wanted, name=error.name, path=error.path)) from None
        except Exception as error:
            raise _portable(error) from None

    def do(self, orders: Sequence[Order]) -> list[dict[str, Any]]:
        """The station's outcomes."""
        assert self._station
        try:
            return self._station.do(orders)
        except Exception as error:
            raise _portable(error) from None

    def close(self) -> None:
        """Ends the station's preparing processes."""
        if self._station:
            self._station.close()


@dataclass(slots=True, eq=False)
class _Hand:
    """One actor, seen from here: its node once known, and what it was asked and has not answered yet."""

    actor: Any
    asked_at: float
    placed: Any
    opened: Any
    node: str = ""
    parts: dict[Any, Part] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        return self.opened is None

    @property
    def refs(self) -> list[Any]:
        return [ref for ref in (self.placed, self.opened, *self.parts) if ref is not None]


def _portable(error: Exception) -> Exception:
    """The error, or its words where it can't travel, with a note of where in the worker it came from."""
    place = f"In process {os.getpid()} of {socket.gethostname()}:\n{traceback.format_exc()}"
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - bytes of its own making
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.add_note(place)
    return error


def _words(error: Exception) -> str:
    """Ray's reason alone: without the first line, the tabs, which say who died, and the advice."""
    lines = [line for line in str(error).splitlines()[1:] if not line.startswith("\t")]
    return " ".join(lines).partition(" Some common causes")[0] or str(error)
