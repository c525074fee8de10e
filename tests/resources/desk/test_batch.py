"""Calls as batch jobs: joined by key, half the price, each submitted once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from resources.desk.calls import CallError, DeskClosed, Prompt, Reply
from resources.desk.prices import most_usd, price_of
from tests.resources.desk.some_calls import (
    CALL_USD,
    PAID,
    Bureau,
    Network,
    asked_numbers,
    desk,
    good,
    number_of,
    paid,
    reply,
    request,
    spent_usd,
    values,
)

ROOT = Path(__file__).parents[3]
TEN = [request(n) for n in range(10)]
JOBS = {"batch_from": 5}


def test_results_are_joined_by_key(tmp_path: Path) -> None:
    """They come last first, and every answer is its request's own; nothing is called online."""
    network, bureau = Network(), Bureau()
    with paid(tmp_path, network, bureau, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert (network.asked, asked_numbers(bureau)) == ([], [list(range(10))])


def test_batch_is_half_the_price(tmp_path: Path) -> None:
    """Ten replies for the price of five, in the tally and in the ledger, and nothing stays reserved."""
    with paid(tmp_path, Network(), Bureau(), **JOBS) as model:
        list(model.answer(TEN))
        assert (model.tally.calls, model.tally.input_tokens, model.tally.output_tokens) == (10, 100, 200)
        assert model.tally.usd == pytest.approx(5 * CALL_USD)
    assert spent_usd(tmp_path) == (pytest.approx(5 * CALL_USD), 0.0)


def test_few_requests_go_online(tmp_path: Path) -> None:
    """Four where five make a job; and ten of which six are kept."""
    network, bureau = Network(), Bureau()
    with paid(tmp_path, network, bureau, batch_from=7) as model:
        list(model.answer(TEN[:6]))
        list(model.answer(TEN))
    assert (len(network.asked), asked_numbers(bureau)) == (10, [])


def test_rerun_makes_no_call(tmp_path: Path) -> None:
    """Neither a job nor a call."""
    for _ in range(2):
        network, bureau = Network(), Bureau()
        with paid(tmp_path, network, bureau, **JOBS) as model:
            assert values(list(model.answer(TEN))) == list(range(10))
            tally = model.tally
    assert (network.asked, asked_numbers(bureau)) == ([], [])
    assert (tally.calls, tally.found, tally.usd) == (0, 10, 0.0)


def test_equal_requests_are_one_call_of_a_job(tmp_path: Path) -> None:
    """Two requests, ten times each, are a job of two."""
    network, bureau = Network(), Bureau()
    with paid(tmp_path, network, bureau, batch_from=2) as model:
        assert values(list(model.answer(TEN[:2] * 10))) == [0, 1] * 10
    assert (network.asked, asked_numbers(bureau)) == ([], [[0, 1]])


def test_bad_answers_of_a_job_are_asked_again_online(tmp_path: Path) -> None:
    """Two of ten are too few for a second job."""

    def sloppy(prompt: Prompt) -> Reply:
        return reply("many") if number_of(prompt) in (3, 4) else good(prompt)

    network, bureau = Network(), Bureau(sloppy)
    with paid(tmp_path, network, bureau, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
        assert (model.tally.asked_again, model.tally.calls) == (2, 12)
    assert sorted(network.asked) == [3, 4]


def test_failed_call_of_a_job_is_asked_once_more(tmp_path: Path) -> None:
    """In the same run, by a thread, since one is too few for a job; the job's failure is said once."""

    def failing(prompt: Prompt) -> Reply | CallError:
        return CallError("outage", "internal") if number_of(prompt) == 3 else good(prompt)

    said: list[str] = []
    network = Network()
    with paid(tmp_path, network, Bureau(failing), said=said, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert sum("1 of 10 calls have no reply" in line for line in said) == 1
    assert network.asked == [3]


def test_call_that_two_jobs_failed_is_unavailable(tmp_path: Path) -> None:
    """It is refused for now: five of ten fail in the job of ten and in that of five, which ends the asking again."""

    def failing(prompt: Prompt) -> Reply | CallError:
        return CallError("outage", "internal") if number_of(prompt) >= 5 else good(prompt)

    bureau = Bureau(failing)
    with paid(tmp_path, Network(), bureau, **JOBS) as model:
        assert values(list(model.answer(TEN))) == [0, 1, 2, 3, 4, *["unavailable"] * 5]
    assert asked_numbers(bureau) == [list(range(10)), [5, 6, 7, 8, 9]]


def test_eight_calls_that_two_jobs_failed_close_the_desk(tmp_path: Path) -> None:
    """Jobs that are done without a reply are no empty partition."""
    bureau = Bureau(lambda _: CallError("outage", "internal"))
    with paid(tmp_path, Network(), bureau, **JOBS) as model, pytest.raises(DeskClosed, match="unreachable: 8 replies"):
        list(model.answer(TEN))
    assert len(bureau.submitted) == 2


class Half(Bureau):
    """Jobs that lose the first five of their results, if they are the first job."""

    def results(self, job_name: str) -> Iterator[tuple[str, Reply | CallError]]:
        """The rest."""
        found = sorted(super().results(job_name), key=lambda pair: str(pair[1]))
        return iter(found[5:] if job_name == "batches/0" else found)


@pytest.mark.parametrize("end", ["expired", "failed"])
def test_job_that_ends_badly_gives_what_it_has(tmp_path: Path, end: Literal["expired", "failed"]) -> None:
    """Half of it came, which is paid and kept; the rest was not billed, and is asked again in the same run."""
    bureau = Half()
    bureau.end = end
    with paid(tmp_path, Network(), bureau, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert asked_numbers(bureau) == [list(range(10)), [0, 1, 2, 3, 4]]
    assert spent_usd(tmp_path) == (pytest.approx(5 * CALL_USD), 0.0)


def test_results_that_are_not_there_may_have_been_billed(tmp_path: Path) -> None:
    """Five lines of a finished job: they are asked again, and the most they may have cost is spent too."""
    bureau = Half()
    with paid(tmp_path, Network(), bureau, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
        prompts = bureau.submitted["batches/1"].values()
        lost = sum(most_usd(price_of(PAID, desk()), prompt, is_batch=True) for prompt in prompts)
        assert model.tally.usd == pytest.approx(5 * CALL_USD + lost)
    assert spent_usd(tmp_path) == (pytest.approx(5 * CALL_USD + lost), 0.0)


@pytest.mark.parametrize(("end", "reason"), [("expired", "unreachable"), ("failed", "rejected")])
def test_job_without_a_single_reply_closes_the_desk(
    tmp_path: Path, end: Literal["expired", "failed"], reason: str
) -> None:
    """It is no empty partition: the job and its state are named, nothing stays reserved, the next run submits anew."""

    class Empty(Bureau):
        def results(self, job_name: str) -> Iterator[tuple[str, Reply | CallError]]:
            return super().results(job_name) if self.end == "done" else iter(())

    bureau = Empty()
    bureau.end = end
    with paid(tmp_path, Network(), bureau, **JOBS) as model:
        with pytest.raises(DeskClosed, match=f"{reason}: batch job batches/0 is {end} without a single reply"):
            list(model.answer(TEN))
        assert spent_usd(tmp_path) == (0.0, 0.0)
        bureau.end = "done"
        assert values(list(model.answer(TEN))) == list(range(10))
    assert asked_numbers(bureau) == [list(range(10))] * 2


def test_bad_request_of_a_job_is_refused(tmp_path: Path) -> None:
    """Others of its job were answered: it is the prompt's fault, and not asked again."""

    def strict(prompt: Prompt) -> Reply | CallError:
        return CallError("bad_request", "400: too long") if number_of(prompt) == 3 else good(prompt)

    network, bureau = Network(), Bureau(strict)
    with paid(tmp_path, network, bureau, **JOBS) as model:
        assert values(list(model.answer(TEN))) == [0, 1, 2, "bad_request", 4, 5, 6, 7, 8, 9]
    assert (network.asked, len(bureau.submitted)) == ([], 1)


@pytest.mark.parametrize(("kept", "wanted"), [(0, 5), (3, 8)])
def test_job_of_bad_requests_closes_the_desk(tmp_path: Path, kept: int, wanted: int) -> None:
    """At once where the model was never answered; else with eight, but not with five."""
    bureau = Bureau(lambda _: CallError("bad_request", "400: no such field"))
    with paid(tmp_path, Network(), bureau, **JOBS) as model:
        list(model.answer([request(n) for n in range(100, 100 + kept)]))
        if kept:
            assert values(list(model.answer(TEN[:5]))) == ["bad_request"] * 5
        with pytest.raises(DeskClosed, match="rejected: 400: no such field"):
            list(model.answer(TEN[:wanted]))


def test_first_of_two_results_counts_and_strange_ones_do_not(tmp_path: Path) -> None:
    """A key that comes twice, and one that nobody asked for, which is said."""

    class Odd(Bureau):
        def results(self, job_name: str) -> Iterator[tuple[str, Reply | CallError]]:
            found = list(super().results(job_name))
            return iter([*found, (found[0][0], reply(99)), ("0" * 64, reply(98))])

    said: list[str] = []
    with paid(tmp_path, Network(), Odd(), said=said, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
        assert model.tally.calls == 10
    assert sum("1 results of calls that it does not hold" in line for line in said) == 1


def test_many_calls_are_several_jobs(tmp_path: Path) -> None:
    """Ten calls in jobs of at most four."""
    bureau = Bureau(looks=3)
    with paid(tmp_path, Network(), bureau, batch_most_calls=4, **JOBS) as model:
        assert values(list(model.answer(TEN))) == list(range(10))
    assert asked_numbers(bureau) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
