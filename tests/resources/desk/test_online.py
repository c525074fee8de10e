"""Requests to a model that costs money, through threads: order, money, interrupts and kills."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from resources.desk import online
from resources.desk.calls import CallError, DeskClosed, Failure, Prompt, Reply
from resources.desk.ledger import Ledger
from resources.desk.online import LOOK_AHEAD, PaidModel
from resources.desk_settings import DeskSection, Gemini
from resources.language_model import LanguageModel, Refused, Tally, request_id
from tests.resources.desk.some_calls import (
    ANSWERS,
    CALL_USD,
    Bureau,
    FakeTime,
    InTurn,
    Network,
    desk,
    good,
    number_of,
    paid,
    reply,
    request,
    until,
    values,
)

ROOT = Path(__file__).parents[3]
FORTY = [request(n) for n in range(40)]
OUTAGE = CallError("outage", "503")


def test_is_a_language_model(tmp_path: Path) -> None:
    """It has the contract's parts, and its name is its calls'."""
    with paid(tmp_path, Network()) as model:
        wanted: LanguageModel = model
        assert wanted.name == "numbers"
        assert list(wanted.answer([])) == []


def test_results_are_in_order(tmp_path: Path) -> None:
    """The first call ends last, and every result is its request's."""
    others = Event()

    def first_last(prompt: Prompt) -> Reply:
        n = number_of(prompt)
        assert n or others.wait(10)
        if n == 3:
            others.set()
        return good(prompt)

    with paid(tmp_path, Network(first_last)) as model:
        outcomes = list(model.answer(FORTY))
    assert values(outcomes) == list(range(40))
    assert [outcome.request_id for outcome in outcomes] == [request_id(one) for one in FORTY]


def test_calls_are_made_at_once(tmp_path: Path) -> None:
    """As many as the profile says: each waits for three others."""
    together = Barrier(4, timeout=10)

    def met(prompt: Prompt) -> Reply:
        together.wait()
        return good(prompt)

    with paid(tmp_path, Network(met), concurrency=4) as model:
        assert values(list(model.answer(FORTY))) == list(range(40))


def test_tally_and_line_say_what_it_took(tmp_path: Path) -> None:
    """Two requests, one of which is refused after three calls: four calls, 40 and 80 tokens."""
    said: list[str] = []

    def stubborn(prompt: Prompt) -> Reply:
        return reply("one") if number_of(prompt) else good(prompt)

    with paid(tmp_path, Network(stubborn), said=said) as model:
        assert values(list(model.answer(FORTY[:2], part="a"))) == [0, "schema_violation"]
        assert model.tally == Tally(2, 1, calls=4, asked_again=2, input_tokens=40, output_tokens=80, usd=4 * CALL_USD)
    assert len(said) == 1
    assert said[0].startswith("a: 2 requests, 4 calls, 0 found, 1 refused, 0.0002 usd, ")


def test_rerun_makes_no_call(tmp_path: Path) -> None:
    """Unusable replies are kept too: the whole of a chain is found, and comes to the same end."""

    def varied(prompt: Prompt) -> Reply:
        n = number_of(prompt)
        if n % 4 == 1 and len(prompt.messages) == 1:
            return reply("asked again")
        return {2: reply(0, "safety"), 3: reply(0, "max_tokens")}.get(n % 4, good(prompt))

    runs = []
    for _ in range(2):
        with paid(tmp_path, network := Network(varied)) as model:
            runs.append(list(model.answer(FORTY)))
    assert runs[0] == runs[1]
    assert values(runs[0])[:4] == [0, 1, "blocked", "max_tokens"]
    assert network.asked == []
    assert (model.tally.calls, model.tally.found, model.tally.usd, model.tally.refused) == (0, 60, 0.0, 20)


def test_new_requests_beside_kept_ones(tmp_path: Path) -> None:
    """Only those are called for."""
    with paid(tmp_path, Network()) as model:
        list(model.answer(FORTY[::2]))
    with paid(tmp_path, network := Network()) as model:
        assert values(list(model.answer(FORTY))) == list(range(40))
    assert sorted(network.asked) == list(range(1, 40, 2))


def test_two_models_pay_once(tmp_path: Path) -> None:
    """Each asks everything, at the same time, over the same folder."""
    network = Network()

    def run(_: int) -> list[int | str]:
        with paid(tmp_path, network) as model:
            return values(list(model.answer(FORTY[:12])))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, range(2))) == [list(range(12))] * 2
    assert sorted(network.asked) == list(range(12))


def test_missing_price_is_said_at_once(tmp_path: Path) -> None:
    """Before there is a folder, and by the settings' names."""
    section = desk(usd_per_million_input=0.0)
    with pytest.raises(ValueError, match="MUSIC_DESK__USD_PER_MILLION_INPUT"):
        PaidModel(Network(), Bureau(), Gemini(model="gemini-9"), section, ANSWERS, folder=tmp_path / "desk", log=print)
    assert not (tmp_path / "desk").exists()


def test_missing_budget_is_said_at_the_first_call(tmp_path: Path) -> None:
    """A run whose replies are all kept needs none; by default there is none."""
    with paid(tmp_path, Network()) as model:
        list(model.answer(FORTY[:3]))
    with paid(tmp_path, network := Network(), budget_usd=0.0) as model:
        assert values(list(model.answer(FORTY[:3]))) == [0, 1, 2]
        with pytest.raises(DeskClosed, match="MUSIC_DESK__BUDGET_USD"):
            list(model.answer(FORTY))
    assert network.asked == []
    assert DeskSection().budget_usd == 0


def test_bad_request_is_refused(tmp_path: Path) -> None:
    """One of forty, in a second run: it is that prompt's fault alone."""

    def strict(prompt: Prompt) -> Reply:
        if number_of(prompt) == 5:
            raise CallError("bad_request", "400: too long")
        return good(prompt)

    with paid(tmp_path, network := Network(strict)) as model:
        list(model.answer(FORTY[:1]))
        outcomes = list(model.answer(FORTY))
    assert values(outcomes) == [0, 1, 2, 3, 4, "bad_request", *range(6, 40)]
    assert sorted(network.asked) == list(range(40))
    assert isinstance(outcomes[5], Refused)
    assert "too long" in outcomes[5].detail


def test_outage_of_one_request_refuses_it(tmp_path: Path) -> None:
    """It is unavailable for now; the others are answered."""

    def failing(prompt: Prompt) -> Reply:
        if number_of(prompt) == 5:
            raise OUTAGE
        return good(prompt)

    with paid(tmp_path, Network(failing), clock=FakeTime().clock, attempts=3) as model:
        assert values(list(model.answer(FORTY)))[4:7] == [4, "unavailable", 6]
        assert (model.tally.calls, model.tally.retries, model.tally.refused) == (42, 2, 1)


def test_spent_budget_closes_the_desk(tmp_path: Path) -> None:
    """What was answered is kept; with more money the next run pays for the rest alone."""
    network = Network()
    with (
        paid(tmp_path, network, budget_usd=0.01, clock=FakeTime().clock) as model,
        pytest.raises(DeskClosed, match="MUSIC_DESK__BUDGET_USD"),
    ):
        list(model.answer(FORTY * 5 + [request(n) for n in range(100, 200)]))
    with Ledger(tmp_path, desk()) as ledger:
        spent = ledger.spent()
    assert 0 < sum(row.usd for row in spent) <= 0.01
    assert sum(row.reserved_usd for row in spent) == 0
    paid_for = len(network.asked)
    with paid(tmp_path, network) as model:
        list(model.answer([request(n) for n in [*range(40), *range(100, 200)]]))
    assert sorted(network.asked) == [*range(40), *range(100, 200)]
    assert 0 < paid_for < 140


@pytest.mark.parametrize("failure", ["rejected", "daily_quota"])
def test_hopeless_call_ends_the_run(tmp_path: Path, failure: Failure) -> None:
    """The calls under way with it end and are kept; none starts after it; it is raised once."""
    together = Barrier(4, timeout=10)

    def refused(prompt: Prompt) -> Reply:
        together.wait()
        if number_of(prompt) == 2:
            raise CallError(failure, "told so")
        time.sleep(0.05)
        return good(prompt)

    network = Network(refused)
    with paid(tmp_path, network, concurrency=4) as model:
        with pytest.raises(DeskClosed, match=f"{failure}: told so"):
            list(model.answer(FORTY))
        assert sorted(network.asked) == [0, 1, 2, 3]
        network.answer = good
        assert values(list(model.answer(FORTY))) == list(range(40))
    assert sorted(network.asked) == sorted([*range(40), 2])


def test_unreachable_model_ends_the_run(tmp_path: Path) -> None:
    """Eight replies given up in a row, not forty; the line says what that took."""
    said: list[str] = []
    network = Network(InTurn(OUTAGE))
    with (
        paid(tmp_path, network, clock=FakeTime().clock, attempts=2, said=said) as model,
        pytest.raises(DeskClosed, match="unreachable: 8 replies in a row could not be got: 503"),
    ):
        list(model.answer(FORTY))
    assert len(network.asked) <= (8 + 4) * 2
    assert f"{len(network.asked)} calls" in said[-1]


def test_error_of_our_own_is_raised(tmp_path: Path) -> None:
    """What a call was never meant to raise is no refusal."""
    with paid(tmp_path, Network(InTurn(KeyError("candidates")))) as model, pytest.raises(KeyError, match="candidates"):
        list(model.answer(FORTY))


def test_closed_iterator_starts_no_more_calls(tmp_path: Path) -> None:
    """Of 1,000 requests, of which three are wanted, few are asked; each of them is kept and counted."""
    many = [request(n) for n in range(1000)]
    with paid(tmp_path, network := Network(), concurrency=2) as model:
        assert values(list(islice(model.answer(many), 3))) == [0, 1, 2]
        assert model.tally.calls == len(network.asked) <= 2 * LOOK_AHEAD * 2
        asked = len(network.asked)
        list(model.answer(many[:asked]))
    assert len(network.asked) == asked


def test_closing_wakes_waiting_calls(tmp_path: Path) -> None:
    """Calls that wait an hour for a server end at once when the model is closed elsewhere."""
    waiting = Network(InTurn(CallError("outage", "503", retry_after_s=3600.0)))
    model = paid(tmp_path, waiting, deadline_s=1e6)
    closing = Thread(target=lambda: (until(lambda: len(waiting.asked) >= 4), model.close()))
    closing.start()
    with pytest.raises(DeskClosed, match="interrupted"):
        list(model.answer(FORTY))
    closing.join()
    assert len(waiting.asked) == 4


def test_call_without_end_is_given_up_and_kept_if_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets its time of grace; a reply that comes later is kept all the same."""
    monkeypatch.setattr(online, "GRACE_S", 0.05)
    late = Event()

    def hanging(prompt: Prompt) -> Reply:
        assert number_of(prompt) < 1 or late.wait(10)
        return good(prompt)

    said: list[str] = []
    with paid(tmp_path, network := Network(hanging), concurrency=2, said=said) as model:
        assert values(list(islice(model.answer(FORTY), 1))) == [0]
    assert any("calls under way are paid for and waited for" in line for line in said)
    late.set()
    until(lambda: not list((tmp_path / "desks").iterdir()))
    asked = sorted(network.asked)
    with paid(tmp_path, network) as model:
        list(model.answer([request(n) for n in asked]))
        assert model.tally.calls == 0
