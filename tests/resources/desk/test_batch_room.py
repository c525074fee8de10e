"""Batch jobs for which there is no room: in the budget, or in the service's quota of tokens under way."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Literal

import pytest

from resources.desk.calls import CallError, DeskClosed, Prompt
from resources.desk.prices import most_usd, price_of
from resources.desk.prompts import first_prompt
from tests.resources.desk.some_calls import (
    ANSWERS,
    CALL_USD,
    PAID,
    Bureau,
    FakeTime,
    Network,
    asked_numbers,
    desk,
    paid,
    request,
    spent_usd,
    values,
)

TEN = [request(n) for n in range(10)]
FORTY = [request(n) for n in range(40)]
JOBS = {"batch_from": 5}
MOST_USD = most_usd(price_of(PAID, desk()), first_prompt(request(10), ANSWERS), is_batch=True)


class Narrow(Bureau):
    """A service that takes so many calls at once, all running jobs together; each job runs for three looks."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.tried = room, list[int]()
        self.left: dict[str, int] = {}

    def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
        """Takes the job, if there is room."""
        self.tried.append(len(prompts))
        running = sum(len(self.submitted[name]) for name, left in self.left.items() if left)
        if running + len(prompts) > self.room:
            raise CallError("rate_limit", "429 RESOURCE_EXHAUSTED: enqueued tokens", retry_after_s=50.0)
        name = super().submit(display_name, prompts)
        self.left[name] = 3
        return name

    def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
        """How far it is."""
        self.left[job_name] = max(self.left[job_name] - 1, 0)
        return "running" if self.left[job_name] else "done"


def test_second_job_waits_for_the_money_of_the_first(tmp_path: Path) -> None:
    """Room for seven calls of ten: the job of five is fetched, at its price, and then the other five fit."""
    bureau = Bureau(looks=3)
    limits = {"batch_most_calls": 5, "budget_usd": 7 * MOST_USD}
    with paid(tmp_path, Network(), bureau, clock=FakeTime().clock, **JOBS, **limits) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert asked_numbers(bureau)[0] == [0, 1, 2, 3, 4]
    assert sorted(chain.from_iterable(asked_numbers(bureau))) == list(range(10))
    assert spent_usd(tmp_path) == (pytest.approx(5 * CALL_USD), 0.0)


def test_job_beyond_the_budget_is_halved(tmp_path: Path) -> None:
    """Room for six calls of ten: five go, and two of the rest while they run."""
    bureau = Bureau()
    with paid(tmp_path, Network(), bureau, budget_usd=6 * MOST_USD, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert asked_numbers(bureau)[0] == [0, 1, 2, 3, 4]
    assert spent_usd(tmp_path) == (pytest.approx(5 * CALL_USD), 0.0)


def test_budget_for_less_than_a_sixteenth_closes_the_desk(tmp_path: Path) -> None:
    """Of forty calls two are a sixteenth, and there is money for one."""
    bureau = Bureau()
    with (
        paid(tmp_path, Network(), bureau, budget_usd=1.5 * MOST_USD, **JOBS) as model,
        pytest.raises(DeskClosed, match="MUSIC_DESK__BUDGET_USD"),
    ):
        list(model.answer(FORTY))
    assert (bureau.submitted, spent_usd(tmp_path)) == ({}, (0.0, 0.0))


def test_job_that_the_service_has_no_room_for_is_halved(tmp_path: Path) -> None:
    """Room for twelve of forty: 40 and 20 are turned down, each is waited for as told, and 10 are taken."""
    bureau, time = Narrow(12), FakeTime()
    with paid(tmp_path, Network(), bureau, clock=time.clock, **JOBS) as model:
        assert values(list(model.answer(FORTY))) == list(range(40))
    assert bureau.tried[:3] == [40, 20, 10]
    assert time.s >= 100
    assert sorted(chain.from_iterable(asked_numbers(bureau))) == list(range(40))
    assert spent_usd(tmp_path) == (pytest.approx(20 * CALL_USD), 0.0)


def test_service_without_room_closes_the_desk(tmp_path: Path) -> None:
    """After a sixteenth was turned down too: nothing stays reserved, and the calls are free to be made one by one."""
    bureau, time = Narrow(0), FakeTime()
    with (
        paid(tmp_path, Network(), bureau, clock=time.clock, **JOBS) as model,
        pytest.raises(DeskClosed, match=r"daily_quota: .* no job of 2 calls: 429 .*MUSIC_DESK__BATCH_MOST_CALLS"),
    ):
        list(model.answer(FORTY))
    assert bureau.tried == [40, 20, 10, 5, 2]
    assert 200 <= time.s < 210
    assert spent_usd(tmp_path) == (0.0, 0.0)
    with paid(tmp_path, network := Network(), bureau, batch_from=0) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert len(network.asked) == 10


def test_hint_beyond_the_deadline_closes_the_desk(tmp_path: Path) -> None:
    """It is said, nothing is waited for, and nothing stays reserved."""

    class Tomorrow(Bureau):
        def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
            raise CallError("rate_limit", "429", retry_after_s=40_000.0)

    time = FakeTime()
    with (
        paid(tmp_path, Network(), Tomorrow(), clock=time.clock, **JOBS) as model,
        pytest.raises(DeskClosed, match="daily_quota: 429; asked to wait 40000 s"),
    ):
        list(model.answer(TEN))
    assert (time.s, spent_usd(tmp_path)) == (0.0, (0.0, 0.0))


def test_hint_of_a_look_is_obeyed(tmp_path: Path) -> None:
    """A look at a job that is turned down for a minute is repeated after it."""

    class Busy(Bureau):
        def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
            state = super().state(job_name)
            if self.looked == 1:
                raise CallError("rate_limit", "429", retry_after_s=55.0)
            return state

    time = FakeTime()
    with paid(tmp_path, Network(), Busy(), clock=time.clock, longest_wait_s=1.0, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert 55 <= time.s < 57
