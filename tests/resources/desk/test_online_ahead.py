"""Work ahead: the jobs of later partitions run at the service while the first one's is waited for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from resources.desk.calls import CallError, Failure, Prompt
from tests.resources.desk.some_calls import (
    CALL_USD,
    Bureau,
    FakeTime,
    Network,
    asked_numbers,
    paid,
    request,
    spent_usd,
    values,
)

PARTS = [[request(n) for n in range(first, first + 10)] for first in range(0, 40, 10)]
NUMBERS = [list(range(first, first + 10)) for first in range(0, 40, 10)]
TEN_MINUTES_S = 600.0


class Slow(Bureau):
    """Jobs that each take ten minutes."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.time, self.born = time, dict[str, float]()

    def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
        """Takes the job."""
        name = super().submit(display_name, prompts)
        self.born[name] = self.time.s
        return name

    def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
        """How far it is."""
        return "done" if self.time.s - self.born[job_name] >= TEN_MINUTES_S else "running"


def test_four_partitions_take_as_long_as_one(tmp_path: Path) -> None:
    """Their jobs are submitted before any is waited for, and each is paid for once."""
    time = FakeTime()
    bureau = Slow(time)
    with paid(tmp_path, Network(), bureau, clock=time.clock, batch_from=5, batch_poll_s=30.0) as model:
        for part in PARTS:
            model.ahead(part)
        assert (asked_numbers(bureau), time.s) == (NUMBERS, 0.0)
        assert [values(list(model.answer(part))) for part in PARTS] == NUMBERS
        assert time.s < TEN_MINUTES_S + 60
    assert asked_numbers(bureau) == NUMBERS
    assert spent_usd(tmp_path) == (pytest.approx(40 * CALL_USD / 2), 0.0)


def test_what_is_kept_or_under_way_is_not_submitted(tmp_path: Path) -> None:
    """Four new ones beside ten of a job are too few; five are a job of five. Nor are kept ones asked again."""
    bureau = Bureau()
    with paid(tmp_path, Network(), bureau, batch_from=5) as model:
        model.ahead(PARTS[0])
        model.ahead(PARTS[0] + PARTS[1][:4])
        model.ahead(PARTS[0] + PARTS[1][:5])
        list(model.answer(PARTS[0] + PARTS[1][:5]))
        model.ahead(PARTS[0] + PARTS[1][:5])
    assert asked_numbers(bureau) == [NUMBERS[0], NUMBERS[1][:5]]


def test_many_go_as_several_jobs(tmp_path: Path) -> None:
    """Ten in jobs of four; equal requests are one call."""
    bureau = Bureau()
    with paid(tmp_path, Network(), bureau, batch_from=5, batch_most_calls=4) as model:
        model.ahead(PARTS[0] * 2)
    assert asked_numbers(bureau) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_nothing_is_done_ahead_without_batches(tmp_path: Path) -> None:
    """With batch_from=0."""
    bureau = Bureau()
    with paid(tmp_path, network := Network(), bureau, batch_from=0) as model:
        assert not model.works_ahead
        model.ahead(PARTS[0])
    assert (network.asked, bureau.submitted) == ([], {})


@pytest.mark.parametrize("failure", ["rate_limit", "daily_quota", "rejected", "outage"])
def test_service_without_room_ends_working_ahead(tmp_path: Path, failure: Failure) -> None:
    """Quietly, after one try and one line; what was submitted is answered, the rest when it is asked for."""

    class Full(Bureau):
        tries = 0

        def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
            self.tries += 1
            if self.tries == 2:
                raise CallError(failure, "full", retry_after_s=60.0)
            return super().submit(display_name, prompts)

    said: list[str] = []
    time = FakeTime()
    with paid(tmp_path, Network(), bureau := Full(), clock=time.clock, said=said, batch_from=5) as model:
        assert model.works_ahead
        for part in PARTS:
            model.ahead(part)
        assert (asked_numbers(bureau), time.s, model.works_ahead) == (NUMBERS[:1], 0.0, False)
        assert sum("nothing more is submitted ahead: " in line for line in said) == 1
        assert [values(list(model.answer(part))) for part in PARTS] == NUMBERS
    assert asked_numbers(bureau) == NUMBERS


def test_budget_ends_working_ahead(tmp_path: Path) -> None:
    """Two of four jobs fit: when these have ended, cheaper than they might have, there is money for the others."""
    bureau, time = Bureau(looks=20), FakeTime()
    with paid(tmp_path, Network(), bureau, clock=time.clock, batch_from=5, budget_usd=0.055) as model:
        for part in PARTS:
            model.ahead(part)
        assert asked_numbers(bureau) == NUMBERS[:2]
        assert [values(list(model.answer(part))) for part in reversed(PARTS)] == NUMBERS[::-1]
    assert spent_usd(tmp_path) == (pytest.approx(40 * CALL_USD / 2), 0.0)


def test_single_calls_wait_for_the_money_of_jobs(tmp_path: Path) -> None:
    """Jobs submitted ahead reserve nearly all of the budget: the call is made when they have ended."""
    bureau, time = Bureau(looks=20), FakeTime()
    said: list[str] = []
    with paid(tmp_path, Network(), bureau, clock=time.clock, said=said, batch_from=5, budget_usd=0.026) as model:
        model.ahead(PARTS[0])
        assert values(list(model.answer(PARTS[1][:2]))) == [10, 11]
    assert bureau.looked >= 20
    assert sum("batch jobs under way reserve" in line for line in said) == 1
    assert spent_usd(tmp_path) == (pytest.approx(5 * CALL_USD + 2 * CALL_USD), 0.0)
