"""Batches that wait for a worker, and who is to blame when one dies. No Ray here."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from resources.refusals import Refusal
from resources.stations import Order

BATCH_TRIES = 3  # workers that a batch may lose before it is cut into its orders
ORDER_TRIES = 2  # workers that an order may then lose, alone
# The same on every run; the log has what the system said of the processes and nodes.
DETAIL = f"{ORDER_TRIES} workers that had nothing else died of it; if of too little memory, give each more"


@dataclass(slots=True, eq=False)
class Part:
    """Orders of one batch that a worker gets at once: all of them, or one.

    A suspect had a worker die and is done alone from then on.
    """

    batch: int
    places: Sequence[int]
    orders: Sequence[Order]
    losses: int = 0
    is_suspect: bool = False


class Work:
    """What is left of some batches, and the outcomes so far."""

    def __init__(self, batches: Sequence[Sequence[Order]], *, worker: str) -> None:
        self._worker = worker
        self._batches = batches
        self._outcomes: list[dict[int, dict[str, Any]]] = [{} for _ in batches]
        parts = [Part(number, range(len(orders)), orders) for number, orders in enumerate(batches)]
        self._waiting = deque(part for part in parts if part.orders)
        self._suspects: deque[Part] = deque()
        self._finished = [part.batch for part in parts if not part.orders]
        self.unfinished = len(batches)

    @property
    def waiting(self) -> int:
        """Parts that no worker has."""
        return len(self._waiting) + len(self._suspects)

    def next(self, *, is_alone: bool) -> Part | None:
        """The next part for a worker; a suspect only for one that has nothing else."""
        if is_alone and self._suspects:
            return self._suspects.popleft()
        return self._waiting.popleft() if self._waiting else None

    def done(self, part: Part, outcomes: Sequence[dict[str, Any]]) -> None:
        """Takes the outcomes of a part, one for each order."""
        held = self._outcomes[part.batch]
        held.update(zip(part.places, outcomes, strict=True))
        if len(held) == len(self._batches[part.batch]):
            self._finished.append(part.batch)

    def lost(self, parts: Sequence[Part]) -> None:
        """Puts back what a worker had when it died. One that was alone is to blame, of two nobody knows which."""
        for part in parts:
            part.is_suspect = True
            part.losses += 1
            is_blamed = len(parts) == 1 and part.losses >= (ORDER_TRIES if len(part.orders) == 1 else BATCH_TRIES)
            if not is_blamed:
                self._suspects.append(part)
            elif len(part.orders) > 1:
                self._suspects.extend(
                    Part(part.batch, [place], [order], is_suspect=True)
                    for place, order in zip(part.places, part.orders, strict=True)
                )
            else:
                refusal = Refusal(self._worker, "", "worker_died", DETAIL)
                self.done(part, [dict.fromkeys(part.orders[0].wants, refusal)])

    def finished(self) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Number and outcomes of the batches that got their last outcome since the last call."""
        while self._finished:
            number = self._finished.pop(0)
            held, self._outcomes[number] = self._outcomes[number], {}
            self.unfinished -= 1
            yield number, [held[place] for place in range(len(self._batches[number]))]
