"""The ledger of paid calls: replies, money and claims."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.desk.calls import DeskClosed
from resources.desk.jobs import Job, JobItem
from resources.desk.ledger import Ledger, Ticket, Wait
from resources.desk.ledger_file import LedgerError
from tests.resources.desk.some_ledgers import NOON, REPLY, Clock, admit, desk, job_of, ticket, total

DAY_S = 86_400


def test_a_reply_is_found_and_never_asked_for_again(tmp_path: Path) -> None:
    """By its key, in this ledger and the next, and admitting it costs nothing even without a budget."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a"), REPLY, usd=0.25)
        assert admit(ledger, "a") == REPLY
    with Ledger(tmp_path, desk(budget_usd=0)) as ledger:
        assert ledger.found(["b", "a"]) == {"a": REPLY}
        assert admit(ledger, "a") == REPLY
        assert total(ledger) == (0.25, 0)


@pytest.mark.parametrize("text", ["", "é\x00\U0001f3b5", "half a pair \ud83c", "x" * 100_000])
def test_any_text_is_kept_as_it_is(tmp_path: Path, text: str) -> None:
    """Empty, with a NUL, with half of a surrogate pair, long."""
    reply = replace(REPLY, text=text, finish="max_tokens")
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a"), reply, usd=0)
        assert ledger.found(["a"]) == {"a": reply}


def test_a_hundred_thousand_keys_are_looked_up_at_once(tmp_path: Path) -> None:
    """More than fit into one query."""
    with Ledger(tmp_path, desk()) as ledger:
        for key in ("k0", "k99999"):
            ledger.settle(ticket(ledger, key), REPLY, usd=0)
        assert set(ledger.found(f"k{number}" for number in range(100_000))) == {"k0", "k99999"}


def test_a_reservation_counts_until_its_cost_is_known(tmp_path: Path) -> None:
    """Of 10 dollars 6 and 3 are reserved: 2 more must wait; 6 turn out as 1, so 2 fit; of 5 then 2 are free."""
    with Ledger(tmp_path, desk()) as ledger:
        first, _ = ticket(ledger, "a", 6), ticket(ledger, "b", 3)
        assert admit(ledger, "c", 2) == Wait(1.0, "reserved")
        ledger.settle(first, REPLY, usd=1)
        assert total(ledger) == (1, 3)
        ticket(ledger, "c", 2)
        assert total(ledger) == (1, 5)


def test_what_cannot_fit_closes_the_desk(tmp_path: Path) -> None:
    """With the cap, what is spent, and the setting to raise."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a", 9), REPLY, usd=9)
        wanted = r"desk.budget_usd allows 10 dollars in all; 9 are spent .* may cost 1.5: raise desk.budget_usd"
        with pytest.raises(DeskClosed, match=wanted) as closed:
            admit(ledger, "b", 1.5)
        assert closed.value.reason == "budget"
        ticket(ledger, "c", 1)


def test_a_call_may_cost_more_than_it_reserved(tmp_path: Path) -> None:
    """What it cost is booked, and then nothing more is admitted, not even for nothing."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a", 10), REPLY, usd=11)
        assert total(ledger) == (11, 0)
        with pytest.raises(DeskClosed):
            admit(ledger, "b", 0)


def test_a_lower_budget_holds_at_once(tmp_path: Path) -> None:
    """Two dollars spent under a cap of ten close a desk with a cap of two, for what costs a cent."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a", 2), REPLY, usd=2)
    with Ledger(tmp_path, desk(budget_usd=2)) as ledger, pytest.raises(DeskClosed):
        admit(ledger, "b", 0.01)


def test_a_day_has_its_own_budget(tmp_path: Path) -> None:
    """One dollar a UTC day; a cost counts for the day on which its call was admitted, whenever it ends."""
    clock = Clock()
    with Ledger(tmp_path, desk(daily_budget_usd=1), clock=clock) as ledger:
        late = ticket(ledger, "a", 1)
        clock.now = NOON + DAY_S / 2 - 1  # 23:59:59
        assert admit(ledger, "b", 1) == Wait(1.0, "reserved")
        clock.now += 1
        ticket(ledger, "b", 1)
        ledger.settle(late, REPLY, usd=1)
        assert [(entry.day, entry.usd, entry.reserved_usd) for entry in ledger.spent()] == [
            ("2026-01-01", 1, 0),
            ("2026-01-02", 0, 1),
        ]
        clock.now = NOON
        with pytest.raises(DeskClosed, match=r"desk.daily_budget_usd allows 1 dollars on 2026-01-01"):
            admit(ledger, "c", 0.5)


@pytest.mark.parametrize("usd", [-0.01, float("nan"), float("inf")])
def test_what_is_no_amount_is_refused(tmp_path: Path, usd: float) -> None:
    """Before it can spoil a sum."""
    with Ledger(tmp_path, desk()) as ledger:
        with pytest.raises(ValueError, match="dollars: wanted a number"):
            admit(ledger, "a", usd)
        open_ticket = ticket(ledger, "a")
        with pytest.raises(ValueError, match="dollars: wanted a number"):
            ledger.settle(open_ticket, REPLY, usd=usd)


def test_a_ticket_ends_once(tmp_path: Path) -> None:
    """Settled or given back again, it changes nothing."""
    with Ledger(tmp_path, desk()) as ledger:
        paid = ticket(ledger, "a")
        for _ in range(2):
            ledger.settle(paid, REPLY, usd=0.5)
        ledger.give_back(paid, usd=0.7)
        lost = ticket(ledger, "b")
        for _ in range(2):
            ledger.give_back(lost, usd=0.25)
        assert total(ledger) == (0.75, 0)
        assert [entry.calls for entry in ledger.spent()] == [1]
        ticket(ledger, "b")


def test_nobody_makes_a_call_that_is_under_way(tmp_path: Path) -> None:
    """Neither the same ledger nor another waits in vain: given back, it is free."""
    with Ledger(tmp_path, desk()) as one, Ledger(tmp_path, desk()) as other:
        held = ticket(one, "a")
        assert admit(one, "a") == admit(other, "a") == Wait(1.0, "under_way")
        one.give_back(held)
        ticket(other, "a")


def test_a_closed_ledger_leaves_no_claim(tmp_path: Path) -> None:
    """What its tickets reserved is spent, and their calls are free."""
    one, other = Ledger(tmp_path, desk()), Ledger(tmp_path, desk())
    ticket(one, "a", 2)
    one.close()
    one.close()
    assert total(other) == (2, 0)
    ticket(other, "a")
    with pytest.raises(LedgerError, match="was closed before its last use"):
        admit(one, "b")
    other.close()
    assert not list((tmp_path / "desks").iterdir())


def test_waiting_reserves_nothing(tmp_path: Path) -> None:
    """Not for a call under way, a pause, the pace, nor room in the budget."""
    clock = Clock()
    with Ledger(tmp_path, desk(requests_per_minute=31), clock=clock) as ledger:
        ticket(ledger, "a", 9)
        before = ledger.spent()
        assert isinstance(admit(ledger, "b"), Wait)
        clock.now += 2
        assert admit(ledger, "b", 2) == Wait(1.0, "reserved")
        assert admit(ledger, "a") == Wait(1.0, "under_way")
        assert ledger.spent() == before
        ticket(ledger, "b", 1)  # the pace was left alone, too


ACTIONS = st.tuples(
    st.sampled_from(["admit", "settle", "give_back", "job", "settle_job", "lose"]),
    st.integers(0, 7),
    st.integers(0, 40),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=40))
def test_money_is_exact_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int, int]]
) -> None:
    """Whatever is admitted, settled, given back or lost with its ledger, sums are a notebook's and the cap holds.

    Costs are tenths of dollars up to what was reserved; the cap is 10.
    """
    folder = tmp_path_factory.mktemp("money")
    ledger = Ledger(folder, desk())
    reserved, tickets, jobs, spent = dict[str, int](), dict[str, Ticket](), dict[str, Job](), 0
    for action, number, tenths in actions:
        key = str(number)
        room = 100 - spent - sum(reserved.values())
        if action in ("admit", "job") and key not in reserved and not ledger.found([key]):
            try:
                got = (
                    admit(ledger, key, tenths / 10)
                    if action == "admit"
                    else ledger.open_job([JobItem(key, "t", tenths / 10)], model="m")
                )
            except DeskClosed:
                got = None
            assert isinstance(got, (Ticket, Job)) == (tenths <= room)
            if isinstance(got, Ticket):
                tickets[key], reserved[key] = got, tenths
            elif isinstance(got, Job):
                jobs[key], reserved[key] = got, tenths
        elif action == "settle" and key in tickets:
            cost = min(tenths, reserved.pop(key))
            ledger.settle(tickets.pop(key), REPLY, usd=cost / 10)
            spent += cost
        elif action == "give_back" and key in tickets:
            cost = min(tenths, reserved.pop(key))
            ledger.give_back(tickets.pop(key), usd=cost / 10)
            spent += cost
        elif action == "settle_job" and key in jobs:
            cost = min(tenths, reserved.pop(key))
            ledger.settle_job(jobs.pop(key), {key: (REPLY, cost / 10)})
            spent += cost
        elif action == "lose":
            ledger.close()
            ledger = Ledger(folder, desk())
            spent += sum(reserved.pop(key) for key in tickets)
            tickets.clear()
        assert total(ledger) == (pytest.approx(spent / 10), pytest.approx(sum(reserved.values()) / 10))
        assert spent + sum(reserved.values()) <= 100
    ledger.close()


def test_a_report_tells_models_tasks_and_days_apart(tmp_path: Path) -> None:
    """Each with its calls, tokens and dollars; jobs under way are reserved."""
    clock = Clock()
    with Ledger(tmp_path, desk(), clock=clock) as ledger:
        for key in "ab":
            ledger.settle(ticket(ledger, key), REPLY, usd=0.5)
        job_of(ledger, "c", usd=2)
        other = ledger.admit("d", model="n", task="u", tokens=1, usd=1)
        assert isinstance(other, Ticket)
        assert [tuple(entry) for entry in ledger.spent()] == [
            ("m", "t", "2026-01-01", 2, 20, 10, 1.0, 2.0),
            ("n", "u", "2026-01-01", 0, 0, 0, 0.0, 1.0),
        ]
