"""A worker and the processes that prepare for it."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from resources.stations import Order, Station
from tests.resources.some_workers import Item, Multiplier, Pair, Settings, noted

BOTH = ("product", "array")


class Forgetful(Multiplier):
    """Gives no outcome for the last order."""

    def run(self, orders: Sequence[Order], prepared: Sequence[Any]) -> list[dict[str, Any]]:
        """All outcomes but the last."""
        return super().run(orders, prepared)[:-1]


class Babbler(Multiplier):
    """Gives what was not wanted."""

    def run(self, orders: Sequence[Order], prepared: Sequence[Any]) -> list[dict[str, Any]]:
        """Outcomes of another name."""
        return [{"sum": 1.0} for _ in orders]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Callable[..., Station]]:
    """Makes stations that are closed after the test."""
    made: list[Station] = []

    def make(worker: type[Any] = Multiplier, preparers: int = 0) -> Station:
        name = f"{worker.__module__}:{worker.__name__}"
        made.append(Station(name, Settings(str(tmp_path), 3.0), preparers=preparers))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize("preparers", [0, 2])
def test_every_order_gets_what_it_wants_in_order(station: Callable[..., Station], preparers: int) -> None:
    """Three times each value, of one, two or three samples; nothing of what was not wanted."""
    orders = [Order(Item(1.0), ("product",)), Order(Item(2.0, size=2), BOTH), Order(Item(3.0, size=3), ("array",))]
    outcomes = station(preparers=preparers).do(orders)
    assert [list(outcome) for outcome in outcomes] == [["product"], ["product", "array"], ["array"]]
    assert [outcome.get("product") for outcome in outcomes] == [3, 6, None]
    assert [outcome["array"].tolist() for outcome in outcomes[1:]] == [[6, 6], [9, 9, 9]]


def test_a_refusal_in_preparing_counts_for_all_that_is_wanted(station: Callable[..., Station], tmp_path: Path) -> None:
    """The worker gets the other orders only."""
    outcomes = station().do([Order(Item(1.0, "refuse"), BOTH), Order(Item(2.0), ("product",))])
    assert [outcomes[0][want].reason for want in BOTH] == ["unreadable", "unreadable"]
    assert outcomes[1] == {"product": 6}
    assert noted(tmp_path) == ["started", "2"]


def test_a_worker_is_not_run_for_nothing(station: Callable[..., Station], tmp_path: Path) -> None:
    """Neither with no orders, nor when all were refused in preparing."""
    one = station()
    assert one.do([]) == []
    one.do([Order(Item(1.0, "refuse"), BOTH)])
    assert noted(tmp_path) == ["started"]


@pytest.mark.parametrize("worker", [Forgetful, Babbler])
def test_a_worker_that_breaks_its_word_is_named(station: Callable[..., Station], worker: type[Any]) -> None:
    """Too few outcomes, or others than were wanted, are an error that names the class."""
    with pytest.raises(ValueError, match=rf"{worker.__name__}.run: expected an outcome of each order"):
        station(worker).do([Order(Item(1.0), BOTH), Order(Item(2.0), BOTH)])


def test_one_batch_is_prepared_while_the_model_has_another(station: Callable[..., Station]) -> None:
    """Each of the two waits for the other, so that they end only if they overlap."""
    Pair.is_running.clear()
    Pair.is_prepared.clear()
    one = station(Pair)
    with ThreadPoolExecutor(2) as threads:
        first, second = (threads.submit(one.do, [Order(Item(value), ("product",))]) for value in (1.0, 2.0))
        assert (first.result(), second.result()) == ([{"product": 1}], [{"product": 2}])
