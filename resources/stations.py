"""One worker and the processes that prepare for it: what a process that works consists of, here or on a cluster."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from resources.preparers import Preparers, worker_class
from resources.refusals import Refusal


class Order(NamedTuple):
    """One input and the names of what is wanted of it."""

    item: Any
    wants: tuple[str, ...]


class Worker(Protocol):
    """Does orders with models; a class named "module:Class", made once for each process that works.

    `settings`, `item` and `prepared` name the types that travel to and from preparers (see `resources.wire`).
    """

    settings: ClassVar[Any]
    item: ClassVar[Any]
    prepared: ClassVar[Any]

    def __init__(self, settings: Any) -> None: ...

    @staticmethod
    def prepare(settings: Any, item: Any, wants: tuple[str, ...]) -> Any:
        """What needs no model, such as decoding. A Refusal counts for all that is wanted of the item."""
        ...

    def run(self, orders: Sequence[Order], prepared: Sequence[Any]) -> list[dict[str, Any]]:
        """For each order, by want: its result or Refusal. Two threads may call at once."""
        ...


class Station:
    """One worker and the processes that prepare for it.

    `do` may be called by two threads at once, so that one batch is prepared while the model has another.
    """

    def __init__(self, worker: str, settings: Any, *, preparers: int) -> None:
        self._name = worker
        self._worker: Worker = worker_class(worker)(settings)
        self._preparers = Preparers(worker, settings, count=preparers)

    def do(self, orders: Sequence[Order]) -> list[dict[str, Any]]:
        """One outcome per order, in order: by want, its result or Refusal."""
        prepared = self._preparers.prepare(orders)
        outcomes = [dict.fromkeys(order.wants, value) for order, value in zip(orders, prepared, strict=True)]
        ready = [position for position, value in enumerate(prepared) if not isinstance(value, Refusal)]
        if ready:
            wanted = [orders[position] for position in ready]
            made = self._worker.run(wanted, [prepared[position] for position in ready])
            if [set(outcome) for outcome in made] != [set(order.wants) for order in wanted]:
                raise ValueError(f"{self._name}.run: expected an outcome of each order for each of its wants")
            for position, outcome in zip(ready, made, strict=True):
                outcomes[position] = outcome
        return outcomes

    def close(self) -> None:
        """Ends the preparing processes at once; who waits for one gets an error."""
        self._preparers.close()
