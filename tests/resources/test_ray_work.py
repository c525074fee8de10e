"""Who is to blame when a worker dies: arithmetic over batches, without Ray."""

from typing import Any

from resources.ray_work import BATCH_TRIES, DETAIL, ORDER_TRIES, Part, Work
from resources.refusals import Refusal
from resources.stations import Order

OUTCOME = {"tags": "slow"}


def _work(*sizes: int) -> Work:
    return Work(
        [[Order(f"{number}.{place}", ("tags",)) for place in range(size)] for number, size in enumerate(sizes)],
        worker="m:W",
    )


def _next(work: Work, *, is_alone: bool = True) -> Part:
    part = work.next(is_alone=is_alone)
    assert part
    return part


def _lose(work: Work, times: int) -> None:
    for _ in range(times):
        work.lost([_next(work)])


def test_batches_are_given_in_order_and_yielded_once() -> None:
    """Each batch is finished by its outcomes, in the order they come in; an empty one is from the start."""
    work = _work(1, 0, 1)
    first, last = _next(work), _next(work, is_alone=False)
    assert list(work.finished()) == [(1, [])]

    work.done(last, [OUTCOME])
    work.done(first, [OUTCOME])

    assert list(work.finished()) == [(2, [OUTCOME]), (0, [OUTCOME])]
    assert work.unfinished == 0
    assert list(work.finished()) == []


def test_of_two_nobody_is_blamed() -> None:
    """However often a worker dies of two batches, neither is cut nor refused: both are done again alone."""
    work = _work(2, 2)
    parts = [_next(work), _next(work)]

    work.lost(parts)

    assert work.next(is_alone=False) is None
    assert [_next(work), _next(work)] == parts
    assert [part.losses for part in parts] == [1, 1]


def test_a_batch_that_loses_three_workers_is_cut_into_its_orders() -> None:
    """Each of its orders is then done alone."""
    work = _work(2)
    _lose(work, BATCH_TRIES)

    assert [[order.item for order in _next(work).orders] for _ in range(2)] == [["0.0"], ["0.1"]]


def test_an_order_that_loses_two_more_is_refused_and_the_others_keep_their_places() -> None:
    """The refusal stands for all that is wanted of it, where the order was."""
    work = _work(3)
    _lose(work, BATCH_TRIES)
    by_item: dict[Any, Part] = {}
    while part := work.next(is_alone=True):
        by_item[part.orders[0].item] = part
    work.done(by_item["0.0"], [OUTCOME])
    work.done(by_item["0.2"], [OUTCOME])
    work.lost([by_item["0.1"]])
    _lose(work, ORDER_TRIES - 1)

    refused = {"tags": Refusal("m:W", "", "worker_died", DETAIL)}
    assert list(work.finished()) == [(0, [OUTCOME, refused, OUTCOME])]


def test_a_batch_that_dies_twice_is_still_done() -> None:
    """Two deaths are forgiven: they may have been the node's fault."""
    work = _work(2)
    _lose(work, BATCH_TRIES - 1)

    work.done(_next(work), [OUTCOME, OUTCOME])

    assert list(work.finished()) == [(0, [OUTCOME, OUTCOME])]
