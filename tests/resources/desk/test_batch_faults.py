"""Batch jobs whose process dies, or whose service fails: none is submitted twice, and none is waited for in vain."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from resources.desk.calls import CallError, DeskClosed, Failure, Prompt, Reply
from resources.desk.online import PaidModel
from resources.desk_settings import Gemini
from tests.resources.desk.some_calls import (
    ANSWERS,
    CALL_USD,
    Bureau,
    FakeTime,
    Network,
    desk,
    good,
    paid,
    reply,
    request,
    spent_usd,
    values,
)

ROOT = Path(__file__).parents[3]
TEN = [request(n) for n in range(10)]
JOBS = {"batch_from": 5}

DYING = """
import os, sys
from pathlib import Path
from tests.resources.desk.some_calls import Bureau, Network, paid, request

class Dying(Bureau):
    def submit(self, display_name, prompts):
        if sys.argv[2] == "before":
            os._exit(9)
        print(display_name, flush=True)
        os._exit(9)

with paid(Path(sys.argv[1]), Network(), Dying(), batch_from=5) as model:
    list(model.answer([request(n) for n in range(10)]))
"""


class Interrupted(Bureau):
    """Jobs that are looked at when Ctrl-C comes."""

    def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
        """Never known."""
        raise KeyboardInterrupt


@pytest.mark.parametrize("death", ["before", "after"])
def test_killed_while_submitting(tmp_path: Path, death: str) -> None:
    """Killed after the service had the job: it is found by its name, not submitted again. Before: submitted once."""
    command = [sys.executable, "-c", DYING, str(tmp_path), death]
    killed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=60)
    assert killed.returncode == 9, killed.stderr

    class Told(Bureau):
        def find(self, display_name: str) -> str | None:
            if display_name == killed.stdout.strip():
                self.submitted["batches/0"] = self.known
                return "batches/0"
            return None

        def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
            self.submits += 1
            return super().submit(display_name, prompts)

        submits = 0
        known: Mapping[str, Prompt]

    bureau = Told()
    bureau.known = prompts_of(tmp_path / "elsewhere")
    with paid(tmp_path, Network(), bureau, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert bureau.submits == (death == "before")


def prompts_of(folder: Path) -> Mapping[str, Prompt]:
    """What a job of all ten holds."""
    bureau = Bureau()
    with paid(folder, Network(), bureau, **JOBS) as model:
        list(model.answer(TEN))
    return bureau.submitted["batches/0"]


def test_interrupted_while_waiting_for_a_job(tmp_path: Path) -> None:
    """The next run goes on with the job: one submission in all, also if fewer are missing than make a job."""
    bureau: Bureau = Interrupted()
    with paid(tmp_path, Network(), bureau, **JOBS) as model, pytest.raises(KeyboardInterrupt):
        list(model.answer(TEN))
    later, network = Bureau(), Network()
    later.submitted = dict(bureau.submitted)
    with paid(tmp_path, network, later, **JOBS) as model:
        assert values(list(model.answer(TEN[:3]))) == [0, 1, 2]
        assert values(list(model.answer(TEN))) == list(range(10))
    assert (network.asked, len(later.submitted)) == ([], 1)


def test_job_that_nobody_asks_for_any_more(tmp_path: Path) -> None:
    """Other requests than before the interrupt: the old job's replies are kept and its reservation is freed."""
    bureau: Bureau = Interrupted()
    with paid(tmp_path, Network(), bureau, **JOBS) as model, pytest.raises(KeyboardInterrupt):
        list(model.answer(TEN))
    later = Bureau()
    later.submitted = dict(bureau.submitted)
    with paid(tmp_path, Network(), later, **JOBS) as model:
        list(model.answer([request(n) for n in range(50, 60)]))
        list(model.answer(TEN))
        assert (model.tally.calls, model.tally.found) == (0, 10)
    assert spent_usd(tmp_path) == (pytest.approx(20 * CALL_USD / 2), 0.0)


def test_service_that_is_away_for_a_while(tmp_path: Path) -> None:
    """Two outages at every step, and a connection that broke after the job was taken: one job."""

    class Shaky(Bureau):
        failures = 0

        def _shake(self) -> None:
            self.failures += 1
            if self.failures % 3:
                raise CallError("outage", "503")

        def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
            super().submit(display_name, prompts)
            raise CallError("timeout", "no reply")

        def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
            self._shake()
            return super().state(job_name)

        def results(self, job_name: str) -> Iterator[tuple[str, Reply | CallError]]:
            self._shake()
            return super().results(job_name)

    bureau = Shaky()
    with paid(tmp_path, Network(), bureau, clock=FakeTime().clock, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert len(bureau.submitted) == 1


def test_service_that_stays_away_closes_the_desk(tmp_path: Path) -> None:
    """After the deadline of one reply; the job stays known."""

    class Away(Bureau):
        def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
            raise CallError("outage", "503")

    time = FakeTime()
    with paid(tmp_path, Network(), Away(), clock=time.clock, **JOBS) as model, pytest.raises(DeskClosed, match="503"):
        list(model.answer(TEN))
    assert 700 < time.s <= 900
    assert spent_usd(tmp_path)[1] > 0


def test_rejected_job_frees_its_money(tmp_path: Path) -> None:
    """The service has not taken it: the desk closes and nothing stays reserved."""

    class Strict(Bureau):
        def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
            raise CallError("rejected", "no such model")

    with (
        paid(tmp_path, Network(), Strict(), **JOBS) as model,
        pytest.raises(DeskClosed, match=r"rejected.*no such model"),
    ):
        list(model.answer(TEN))
    assert spent_usd(tmp_path) == (0.0, 0.0)


def test_job_beyond_the_budget_is_not_submitted(tmp_path: Path) -> None:
    """The most that it may cost must fit."""
    bureau = Bureau()
    with (
        paid(tmp_path, Network(), bureau, budget_usd=0.001, **JOBS) as model,
        pytest.raises(DeskClosed, match="budget"),
    ):
        list(model.answer(TEN))
    assert bureau.submitted == {}


class Forgetful(Bureau):
    """Jobs of which the first is not known any more."""

    def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
        """Of the others."""
        if job_name == "batches/0":
            raise CallError("rejected", "404")
        return super().state(job_name)


@pytest.mark.parametrize("days", [1, 6])
def test_job_that_the_service_forgot(tmp_path: Path, days: int) -> None:
    """Until its results are deleted it may be another key's: the desk closes, saying so.

    After four days it is lost: its calls are made anew, and what they may have cost stays spent.
    """
    time = FakeTime()
    bureau = Forgetful()
    with interrupted(tmp_path, bureau, clock=time.clock):
        reserved = spent_usd(tmp_path)[1]
    time.s += days * 86_400
    with paid(tmp_path, Network(), bureau, clock=time.clock, **JOBS) as model:
        if days == 1:
            with pytest.raises(DeskClosed, match=r"rejected: batch job batches/0: 404; run again with the GEMINI_API_"):
                list(model.answer(TEN))
            assert spent_usd(tmp_path) == (0.0, reserved)
        else:
            assert values(list(model.answer(TEN))) == list(range(10))
            assert spent_usd(tmp_path) == (pytest.approx(reserved + 5 * CALL_USD), 0.0)


@contextmanager
def interrupted(folder: Path, bureau: Bureau, **changes: Any) -> Iterator[None]:
    """After a run that was interrupted while its job ran at the bureau."""
    stopped: Bureau = Interrupted()
    with paid(folder, Network(), stopped, **{**JOBS, **changes}) as model, pytest.raises(KeyboardInterrupt):
        list(model.answer(TEN))
    bureau.submitted, bureau.names = dict(stopped.submitted), dict(stopped.names)
    yield


def test_killed_while_a_job_of_re_asks_runs(tmp_path: Path) -> None:
    """All first replies are kept, so that the next run goes online: it waits for that job and pays for nothing."""

    def sloppy(prompt: Prompt) -> Reply:
        return good(prompt) if len(prompt.messages) > 1 else reply("many")

    class Stopped(Bureau):
        def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
            if job_name == "batches/1":
                raise KeyboardInterrupt
            return super().state(job_name)

    stopped = Stopped(sloppy)
    with paid(tmp_path, Network(sloppy), stopped, **JOBS) as model, pytest.raises(KeyboardInterrupt):
        list(model.answer(TEN))
    assert len(stopped.submitted) == 2
    later, network = Bureau(sloppy, looks=3), Network(sloppy)
    later.submitted = dict(stopped.submitted)
    with paid(tmp_path, network, later, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert (network.asked, len(later.submitted)) == ([], 2)
    assert spent_usd(tmp_path) == (pytest.approx(20 * CALL_USD / 2), 0.0)


def test_job_under_way_when_batches_are_turned_off(tmp_path: Path) -> None:
    """With batch_from=0 it is waited for all the same, and no other is opened."""
    later, network = Bureau(looks=3), Network()
    with interrupted(tmp_path, later), paid(tmp_path, network, later, batch_from=0) as model:
        assert values(list(model.answer([*TEN, request(10)]))) == list(range(11))
    assert (network.asked, len(later.submitted)) == ([10], 1)


def test_job_of_another_model_is_settled(tmp_path: Path) -> None:
    """The model was changed after the interrupt: the old job's replies are kept, at that model's price."""
    later = Bureau()
    with interrupted(tmp_path, later):
        other = Gemini(model="gemini-2.5-pro")
    with PaidModel(Network(), later, other, desk(), ANSWERS, folder=tmp_path, log=print) as model:
        list(model.answer([request(77)]))
    flash = (10 * 0.3 + 20 * 2.5) / 1_000_000 / 2  # by the table: the settings' own prices are the new model's
    assert spent_usd(tmp_path) == (pytest.approx(10 * flash + CALL_USD), 0.0)
    with paid(tmp_path, Network(), later, **JOBS) as old:
        list(old.answer(TEN))
        assert (old.tally.calls, old.tally.found) == (0, 10)


def test_job_that_can_not_be_looked_at_holds_up_nobody_else(tmp_path: Path) -> None:
    """It is told once; other requests are answered, and kept ones need no service."""

    class Locked(Bureau):
        def state(self, job_name: str) -> Literal["running", "done", "expired", "failed"]:
            raise CallError("rejected", "403")

    said: list[str] = []
    later = Locked()
    with interrupted(tmp_path, later), paid(tmp_path, Network(), later, said=said, batch_from=0) as model:
        for _ in range(3):
            assert values(list(model.answer([request(n) for n in range(50, 60)]))) == list(range(50, 60))
        assert sum("batch job batches/0: 403" in line for line in said) == 1
        with pytest.raises(DeskClosed, match="rejected: batch job batches/0: 403"):
            list(model.answer(TEN))


@pytest.mark.parametrize("failure", ["rejected", "daily_quota"])
def test_search_that_is_turned_down_says_nothing_of_the_job(tmp_path: Path, failure: Failure) -> None:
    """Killed after the service had it; then the list of jobs is refused: the job stays known, and is not paid twice."""

    class Closed(Bureau):
        def submit(self, display_name: str, prompts: Mapping[str, Prompt]) -> str:
            super().submit(display_name, prompts)
            raise KeyboardInterrupt

        def find(self, display_name: str) -> str | None:
            if self.names:
                raise CallError(failure, "not now")
            return None

    closed = Closed()
    with paid(tmp_path, Network(), closed, **JOBS) as model, pytest.raises(KeyboardInterrupt):
        list(model.answer(TEN))
    with paid(tmp_path, Network(), closed, **JOBS) as model, pytest.raises(DeskClosed, match=f"{failure}: .*not now"):
        list(model.answer(TEN))
    later = Bureau()
    later.submitted, later.names = dict(closed.submitted), dict(closed.names)
    with paid(tmp_path, Network(), later, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert len(later.submitted) == 1


def test_online_closing_leaves_jobs_to_end(tmp_path: Path) -> None:
    """A round that goes both ways: the job's replies are kept although the quota of single calls is used up."""

    def used_up(prompt: Prompt) -> Reply:
        raise CallError("daily_quota", "429")

    later = Bureau(looks=5)
    with (
        interrupted(tmp_path, later),
        paid(tmp_path, Network(used_up), later, batch_from=20) as model,
        pytest.raises(DeskClosed, match="daily_quota: 429"),
    ):
        list(model.answer([*TEN, request(10)]))
    assert spent_usd(tmp_path) == (pytest.approx(5 * CALL_USD), 0.0)


def test_closing_wakes_who_waits_for_a_job(tmp_path: Path) -> None:
    """A job that never ends is waited for until somebody closes the model."""
    time = FakeTime()
    model: PaidModel = paid(tmp_path, Network(), Bureau(looks=10**9), clock=time.clock, batch_from=5, batch_poll_s=30.0)
    time.meanwhile = lambda: model.close() if time.s > 100 else None
    with pytest.raises(DeskClosed, match="interrupted"):
        list(model.answer(TEN))
