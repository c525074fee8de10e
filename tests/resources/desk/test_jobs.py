"""Batch jobs under the ledger."""

from pathlib import Path

import pytest

from resources.desk.calls import DeskClosed
from resources.desk.jobs import Job, JobItem
from resources.desk.ledger import Ledger, Wait
from resources.desk.ledger_file import LedgerError
from tests.resources.desk.some_ledgers import REPLY, admit, desk, job_of, ticket, total


def test_the_same_calls_are_the_same_job(tmp_path: Path) -> None:
    """In any order, also for the next process, with the name it was submitted under."""
    with Ledger(tmp_path, desk()) as ledger:
        job = ledger.submitted(job_of(ledger, "a", "b"), "batches/1")
        assert ledger.submitted(job, "batches/1") == job
    with Ledger(tmp_path, desk()) as ledger:
        assert job_of(ledger, "b", "a") == job
        assert ledger.jobs("m") == [job]
        assert ledger.jobs("another") == []
        assert total(ledger) == (0, 2)
        with pytest.raises(LedgerError, match="was submitted as batches/1 and now as batches/2: cancel"):
            ledger.submitted(job, "batches/2")


def test_a_job_may_bring_some_of_its_replies(tmp_path: Path) -> None:
    """They are kept at their cost; the others are free again and the next job of them has another name."""
    with Ledger(tmp_path, desk()) as ledger:
        job = job_of(ledger, "a", "b", "c")
        for _ in range(2):
            ledger.settle_job(job, {"a": (REPLY, 0.25), "c": (REPLY, 0.5)})
        assert ledger.found("abc") == {"a": REPLY, "c": REPLY}
        assert total(ledger) == (0.75, 0)
        assert ledger.jobs("m") == []
        first = job_of(ledger, "b")
        ledger.settle_job(first, {})
        assert job_of(ledger, "b").name != first.name
        assert total(ledger) == (0.75, 1)


def test_a_lost_job_may_have_cost_something(tmp_path: Path) -> None:
    """It is spent once, for a task whose calls have no reply, on the job's day; the calls are free again."""
    with Ledger(tmp_path, desk()) as ledger:
        job = ledger.open_job([JobItem("a", "s", 1), JobItem("b", "t", 2), JobItem("c", "u", 3)], model="m")
        assert isinstance(job, Job)
        for _ in range(2):
            ledger.settle_job(job, {"a": (REPLY, 0.25)}, lost_usd=4.5)
        assert [(entry.task, entry.day, entry.calls, entry.usd, entry.reserved_usd) for entry in ledger.spent()] == [
            ("s", job.day, 1, 0.25, 0),
            ("t", job.day, 0, 4.5, 0),
        ]
        ticket(ledger, "b", 5.25)
        with pytest.raises(DeskClosed):
            admit(ledger, "c", 5.26)


@pytest.mark.parametrize("usd", [-1, float("nan")])
def test_a_lost_job_costs_an_amount_of_money(tmp_path: Path, usd: float) -> None:
    """Else it stays open."""
    with Ledger(tmp_path, desk()) as ledger:
        job = job_of(ledger, "a")
        with pytest.raises(ValueError, match="dollars: wanted a number"):
            ledger.settle_job(job, {}, lost_usd=usd)
        assert ledger.jobs("m") == [job]


def test_replies_to_no_call_of_a_job_are_refused(tmp_path: Path) -> None:
    """None of them is kept."""
    with Ledger(tmp_path, desk()) as ledger:
        job = job_of(ledger, "a")
        with pytest.raises(ValueError, match="1 replies to calls that are not in it, as z"):
            ledger.settle_job(job, {"a": (REPLY, 0), "z": (REPLY, 0)})
        assert ledger.found("az") == {}


def test_no_call_is_in_two_places(tmp_path: Path) -> None:
    """A call of a job is under way for others, a job of a call under way waits, and one in two jobs is in the first."""
    with Ledger(tmp_path, desk(batch_poll_s=7)) as ledger:
        job = job_of(ledger, "a", "b")
        assert admit(ledger, "a") == Wait(7, "under_way")
        assert job_of(ledger, "b", "c") == job
        held = ticket(ledger, "d")
        items = [JobItem("d", "t", 1), JobItem("e", "t", 1)]
        assert ledger.open_job(items, model="m") == Wait(1.0, "under_way")
        ledger.settle(held, REPLY, usd=0)
        assert ledger.open_job(items, model="m") == Wait(0.0, "answered")


def test_one_process_submits_a_job(tmp_path: Path) -> None:
    """Another waits as long as the first is there, takes over when it is gone, and may go on once it is submitted."""
    one, two, three = (Ledger(tmp_path, desk()) for _ in range(3))
    job_of(one, "a")
    assert two.open_job([JobItem("a", "t", 1)], model="m") == Wait(1.0, "under_way")
    assert two.jobs("m") == []
    one.close()
    job = job_of(two, "a")
    assert three.jobs("m") == []
    submitted = two.submitted(job, "batches/1")
    assert three.jobs("m") == [submitted]
    two.close()
    three.close()


def test_a_job_needs_room_in_the_budget(tmp_path: Path) -> None:
    """For all of its calls together; what it reserved closes the desk to others."""
    with Ledger(tmp_path, desk()) as ledger:
        with pytest.raises(DeskClosed, match="may cost 12"):
            job_of(ledger, "a", "b", "c", usd=4)
        job_of(ledger, "a", "b", usd=4)
        with pytest.raises(DeskClosed, match="8 are spent or reserved by batch jobs"):
            admit(ledger, "c", 3)


def test_a_job_of_nothing_is_refused(tmp_path: Path) -> None:
    """It would never be settled."""
    with Ledger(tmp_path, desk()) as ledger, pytest.raises(ValueError, match="at least one call"):
        ledger.open_job([], model="m")
