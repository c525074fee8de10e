"""The pace that all processes share."""

import itertools
from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.desk.ledger import Ledger, Ticket, Wait
from tests.resources.desk.some_ledgers import NOON, Clock, admit, desk, ticket, total


def test_the_minute_has_a_limit(tmp_path: Path) -> None:
    """122 a minute, which are those of 60 s and of the 1 s that a full bucket holds: 2 at once, then 2 each second."""
    clock = Clock()
    with Ledger(tmp_path, desk(requests_per_minute=122), clock=clock) as ledger:
        ticket(ledger, "a"), ticket(ledger, "b")
        wait = admit(ledger, "c")
        assert isinstance(wait, Wait)
        assert wait == (pytest.approx(0.5), "rate_limit")
        assert total(ledger)[1] == 2
        clock.now += wait.seconds
        ticket(ledger, "c")
        assert isinstance(admit(ledger, "d"), Wait)


def test_tokens_have_a_limit_too(tmp_path: Path) -> None:
    """A prompt of two minutes' tokens passes when the bucket is full, and the next waits until it is paid for."""
    clock = Clock()
    with Ledger(tmp_path, desk(tokens_per_minute=6100), clock=clock) as ledger:  # 100 a second
        assert isinstance(admit(ledger, "small", tokens=100), Ticket)
        assert admit(ledger, "big", tokens=12_200) == (pytest.approx(1), "rate_limit")
        clock.now += 1
        assert isinstance(admit(ledger, "big", tokens=12_200), Ticket)
        assert admit(ledger, "next", tokens=100) == (pytest.approx(15), "rate_limit")
        clock.now += 15
        assert admit(ledger, "next", tokens=100) == (pytest.approx(15), "rate_limit")
        clock.now += 122 - 15
        assert isinstance(admit(ledger, "next", tokens=100), Ticket)


class Call(NamedTuple):
    """A call that asks for the first time at a moment."""

    number: int
    at: float
    tokens: int


def served(folder: Path, calls: Iterable[Call], *, tokens_per_minute: int, late_s: float = 0.0) -> dict[int, float]:
    """When each call passes, of callers in two processes who ask again when they are told to, or so much later."""
    clock, passed = Clock(), dict[int, float]()
    pace = desk(tokens_per_minute=tokens_per_minute)
    with Ledger(folder, pace, clock=clock) as one, Ledger(folder, pace, clock=clock) as other:
        queue = [(NOON + call.at, call.number, call) for call in calls]
        heapify(queue)
        while queue:
            clock.now, number, call = heappop(queue)
            got = admit((one, other)[number % 2], str(number), 0, tokens=call.tokens)
            if isinstance(got, Wait):
                heappush(queue, (clock.now + got.seconds + late_s * (number % 3), number, call))
            else:
                passed[number] = clock.now
    return passed


def calls_of(most_tokens: int) -> st.SearchStrategy[list[Call]]:
    """Calls of up to so many tokens."""
    pairs = st.lists(st.tuples(st.floats(0, 5), st.integers(1, most_tokens)), min_size=1, max_size=40)
    return pairs.map(lambda some: [Call(number, *pair) for number, pair in enumerate(sorted(some))])


@settings(max_examples=50, deadline=None)
@given(calls_of(20), st.sampled_from([0.0, 0.01, 1.0, 2.0]))
def test_no_minute_holds_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, calls: list[Call], late_s: float
) -> None:
    """However calls of up to a bucket come and come again, any 60 seconds hold at most 1220 tokens (a bucket: 20)."""
    passed = served(tmp_path_factory.mktemp("pace"), calls, tokens_per_minute=1220, late_s=late_s)
    tokens = {call.number: call.tokens for call in calls}
    for begin in passed.values():
        assert sum(tokens[number] for number, at in passed.items() if begin <= at < begin + 60) <= 1220


@settings(max_examples=50, deadline=None)
@given(calls_of(300))
def test_calls_large_and_small_pass_in_the_order_they_came(
    tmp_path_factory: pytest.TempPathFactory, calls: list[Call]
) -> None:
    """Also those of several buckets; those of one moment in any order."""
    passed = served(tmp_path_factory.mktemp("pace"), calls, tokens_per_minute=1220)
    came = sorted((call.at, passed[call.number]) for call in calls)
    for (at, first), (later_at, second) in itertools.pairwise(came):
        assert first <= second + 1e-3 or at == later_at


def test_a_large_call_finds_its_turn_among_small_ones(tmp_path: Path) -> None:
    """Small ones that come all the time leave it its 15.5 s of flow: it passes when the 10 before it have."""
    small = [Call(number, number * 0.1, 20) for number in range(200)]  # 20 tokens are a second of flow
    passed = served(tmp_path, [*small, Call(200, 0.95, 310)], tokens_per_minute=1220)
    assert sorted(passed, key=passed.__getitem__).index(200) == 10
    assert passed[200] - NOON == pytest.approx(10)  # when those are paid for and the bucket is full


def test_a_place_in_the_queue_is_kept_for_a_while(tmp_path: Path) -> None:
    """Who was told to ask in 10 s and doesn't holds others up for 5 s more; coming back then, he is the last."""
    clock = Clock()
    with Ledger(tmp_path, desk(tokens_per_minute=6100), clock=clock) as ledger:  # 100 a second
        assert isinstance(admit(ledger, "first", tokens=1000), Ticket)
        assert admit(ledger, "gone", tokens=1000) == (pytest.approx(10), "rate_limit")
        assert admit(ledger, "next", tokens=100) == (pytest.approx(15), "rate_limit")
        clock.now += 14.9
        assert admit(ledger, "next", tokens=100) == (pytest.approx(10), "rate_limit")
        clock.now += 0.2
        assert isinstance(admit(ledger, "next", tokens=100), Ticket)
        assert admit(ledger, "gone", tokens=1000) == (pytest.approx(1), "rate_limit")


def test_all_processes_share_the_pace(tmp_path: Path) -> None:
    """What one ledger takes, another waits for."""
    clock = Clock()
    pace = desk(requests_per_minute=61)  # a bucket holds one
    with Ledger(tmp_path, pace, clock=clock) as one, Ledger(tmp_path, pace, clock=clock) as other:
        ticket(one, "a")
        assert admit(other, "b") == (pytest.approx(1), "rate_limit")


def test_a_pause_is_for_all_and_one_model(tmp_path: Path) -> None:
    """The longest of them holds, and it passes."""
    clock = Clock()
    with Ledger(tmp_path, desk(), clock=clock) as one, Ledger(tmp_path, desk(), clock=clock) as other:
        one.pause("m", seconds=30)
        one.pause("m", seconds=10)
        clock.now += 10
        assert admit(other, "a") == Wait(20, "paused")
        assert isinstance(admit(other, "b", model="another"), Ticket)
        clock.now += 20
        ticket(other, "a")


def test_a_clock_set_back_stops_nobody(tmp_path: Path) -> None:
    """What was noted an hour ahead is no reason to wait an hour."""
    clock = Clock()
    with Ledger(tmp_path, desk(requests_per_minute=1), clock=clock) as ledger:
        ticket(ledger, "a")
        ledger.pause("m", seconds=30)
        clock.now -= 3600
        ticket(ledger, "b")
