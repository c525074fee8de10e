"""One paid call: attempts, waits, what it costs, and what ends it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from resources.desk.batch import Batches
from resources.desk.calls import CallError, DeskClosed, Failure, Prompt, Reply
from resources.desk.clerks import REJECTED_REPLIES, UNREACHABLE_REPLIES, Door, Shut
from resources.desk.ledger import Ledger, Wait
from resources.desk.prices import most_usd, price_of
from resources.desk.prompts import first_prompt
from resources.desk.retrying import Teller
from resources.language_model import Tally
from tests.resources.desk.some_calls import (
    ANSWERS,
    CALL_USD,
    PAID,
    Bureau,
    FakeTime,
    InTurn,
    Network,
    desk,
    reply,
    request,
)

PROMPT = first_prompt(request(7), ANSWERS)
MOST_USD = most_usd(price_of(PAID, desk()), PROMPT, is_batch=False)
OUTAGE = CallError("outage", "503")
BAD = CallError("bad_request", "400")
SEVEN = reply(7)


class Desk(NamedTuple):
    """A teller, and all that a test looks at."""

    reply: Callable[[Prompt], Reply]
    network: Network
    tally: Tally
    ledger: Ledger
    door: Door
    time: FakeTime
    said: list[str]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """A desk whose calls end as listed, in turn."""
    ledgers: list[Ledger] = []

    def open_desk(*answers: Reply | Exception, **changes: float) -> Desk:
        settings, time = desk(**changes), FakeTime()
        ledgers.append(Ledger(tmp_path, settings, clock=time.clock.now))
        network, tally, door = Network(InTurn(*answers)), Tally(), Door(time.clock)
        said: list[str] = []
        batches = Batches(Bureau(), ledgers[-1], PAID, settings, time.clock, log=said.append)
        teller = Teller(network, batches, ledgers[-1], PAID, settings, time.clock, log=said.append)
        return Desk(lambda prompt: teller.reply(prompt, tally, door), network, tally, ledgers[-1], door, time, said)

    yield open_desk
    for ledger in ledgers:
        ledger.close()


def spent_usd(ledger: Ledger) -> float:
    """Dollars spent for good."""
    return sum(spent.usd for spent in ledger.spent())


def test_counts_what_a_reply_took(opened: Callable[..., Desk]) -> None:
    """One call of 10 and 20 tokens at 1 and 2 dollars a million."""
    at = opened(SEVEN)
    assert at.reply(PROMPT) == SEVEN
    assert at.tally == Tally(calls=1, input_tokens=10, output_tokens=20, usd=CALL_USD)
    assert spent_usd(at.ledger) == pytest.approx(CALL_USD)


def test_kept_reply_makes_no_call(opened: Callable[..., Desk]) -> None:
    """The second time it is found."""
    at = opened(SEVEN)
    assert [at.reply(PROMPT), at.reply(PROMPT)] == [SEVEN, SEVEN]
    assert (at.tally.calls, at.tally.found) == (1, 1)


def test_outages_are_repeated_until_attempts_are_used_up(opened: Callable[..., Desk]) -> None:
    """Six attempts are six calls, five of them repetitions; nothing is spent."""
    at = opened(OUTAGE, attempts=6)
    with pytest.raises(CallError, match=r"outage: 503 \(given up after 6 calls"):
        at.reply(PROMPT)
    assert (at.tally.calls, at.tally.retries, spent_usd(at.ledger)) == (6, 5, 0.0)


def test_jitter_grows_to_its_cap(opened: Callable[..., Desk]) -> None:
    """Waits lie below 1, 2, 4 and so on seconds, and below the longest wait; the first ones are no constant."""
    at = opened(*[OUTAGE] * 9, SEVEN, attempts=10, longest_wait_s=5.0)
    at.reply(PROMPT)
    assert 0 < at.time.s <= 1 + 2 + 4 + 6 * 5
    assert len(set(at.time.waits)) > 3


def test_servers_hint_is_obeyed(opened: Callable[..., Desk]) -> None:
    """A hint beyond the longest wait is waited for in full."""
    at = opened(CallError("rate_limit", "429", retry_after_s=90.0), SEVEN, longest_wait_s=1.0)
    assert at.reply(PROMPT) == SEVEN
    assert 90 <= at.time.s <= 91


def test_long_pause_is_said_once(opened: Callable[..., Desk]) -> None:
    """Two of 90 s, one after the other, and one of 30 s: two lines."""
    hints = [CallError("rate_limit", "429", retry_after_s=seconds) for seconds in (90.0, 30.0, 90.0)]
    at = opened(*hints, SEVEN, longest_wait_s=1.0)
    at.reply(PROMPT)
    assert at.said == ["the service asked for a pause: no call for 90 s"] * 2


def test_pause_that_others_were_told_is_said(opened: Callable[..., Desk]) -> None:
    """Whoever stands before it for minutes learns why."""
    at = opened(SEVEN)
    at.ledger.pause(PAID.model, seconds=300.0)
    at.reply(PROMPT)
    assert at.said == ["the service asked for a pause: no call for 300 s"]


def test_hint_beyond_the_deadline_closes_the_door(opened: Callable[..., Desk]) -> None:
    """A day's wait is a day's quota: one call, no pause for anybody, and the hint in words."""
    at = opened(CallError("rate_limit", "429", retry_after_s=86_400.0), deadline_s=900.0)
    with pytest.raises(Shut):
        at.reply(PROMPT)
    assert "daily_quota: 429; asked to wait 86400 s, which is longer than desk.deadline_s (900 s)" in str(at.door.why)
    assert (at.tally.calls, at.time.s) == (1, 0.0)


def test_rate_limit_is_no_attempt(opened: Callable[..., Desk]) -> None:
    """Twenty rate limits before a reply, where two attempts are allowed."""
    at = opened(*[CallError("rate_limit", "429")] * 20, SEVEN, attempts=2, longest_wait_s=1.0)
    assert at.reply(PROMPT) == SEVEN
    assert (at.tally.calls, at.tally.retries) == (21, 20)


def test_rate_limit_stops_everybody(opened: Callable[..., Desk]) -> None:
    """Who asks the ledger meanwhile, in any process, is told to wait as long as the server said."""
    at = opened(CallError("rate_limit", "429", retry_after_s=50.0), SEVEN)
    seen: list[object] = []
    at.time.meanwhile = lambda: seen.append(at.ledger.admit("other", model=PAID.model, task="count", tokens=1, usd=0.0))
    at.reply(PROMPT)
    assert seen[0] == Wait(50.0, "paused")


def test_deadline_ends_the_waiting_before_it(opened: Callable[..., Desk]) -> None:
    """A wait that would pass the deadline is not begun."""
    at = opened(CallError("rate_limit", "429", retry_after_s=400.0), deadline_s=900.0, longest_wait_s=1.0)
    with pytest.raises(CallError, match="given up after 3 calls in 80"):
        at.reply(PROMPT)
    assert 800 <= at.time.s < 900


def test_pause_of_others_ends_at_the_deadline(opened: Callable[..., Desk]) -> None:
    """A call that failed once and is then kept waiting by others' rate limits is given up as well."""
    at = opened(OUTAGE, SEVEN, deadline_s=100.0)
    at.time.meanwhile = lambda: at.ledger.pause(PAID.model, seconds=40.0)
    with pytest.raises(CallError, match=r"no leave for another call in time \(paused\)"):
        at.reply(PROMPT)
    assert at.tally.calls == 1


@pytest.mark.parametrize(("failure", "usd"), [("outage", 0.0), ("bad_body", MOST_USD), ("timeout", MOST_USD)])
def test_what_may_be_billed_stays_spent(opened: Callable[..., Desk], failure: Failure, usd: float) -> None:
    """A call that broke off counts as the most it may have cost; one that never reached the model costs nothing."""
    at = opened(CallError(failure, "broken"), SEVEN)
    at.reply(PROMPT)
    assert spent_usd(at.ledger) == pytest.approx(usd + CALL_USD)
    assert at.tally.usd == pytest.approx(usd + CALL_USD)


@pytest.mark.parametrize("failure", ["rejected", "daily_quota"])
def test_hopeless_call_closes_the_door(opened: Callable[..., Desk], failure: Failure) -> None:
    """One call, no repetition, nothing spent, and the reason at the door."""
    at = opened(CallError(failure, "no such key"))
    with pytest.raises(Shut):
        at.reply(PROMPT)
    assert str(at.door.why) == f"{failure}: no such key"
    assert (at.tally.calls, spent_usd(at.ledger)) == (1, 0.0)


def asked(at: Desk, numbers: Sequence[int]) -> list[str]:
    """What becomes of the prompts of these numbers, asked one by one."""
    ends = []
    for n in numbers:
        try:
            at.reply(first_prompt(request(n), ANSWERS))
            ends.append("reply")
        except CallError as error:
            ends.append(error.failure)
        except Shut:
            ends.append("shut")
    return ends


def test_bad_request_before_any_answer_closes_the_door(opened: Callable[..., Desk]) -> None:
    """Nobody knows yet that the model and its settings are good."""
    at = opened(BAD)
    assert asked(at, range(2)) == ["shut", "shut"]
    assert str(at.door.why) == "rejected: 400"
    assert (at.tally.calls, spent_usd(at.ledger)) == (1, 0.0)


def test_bad_request_after_an_answer_is_its_own_fault(opened: Callable[..., Desk]) -> None:
    """Also if the answer was of an earlier run. It is asked once."""
    at = opened(SEVEN, BAD, SEVEN)
    assert asked(at, range(3)) == ["reply", "bad_request", "reply"]
    assert (at.tally.calls, at.tally.retries, at.door.why) == (3, 0, None)
    later = opened(BAD)
    assert asked(later, range(10, 12)) == ["bad_request"] * 2


def test_eight_bad_requests_in_a_row_close_the_door(opened: Callable[..., Desk]) -> None:
    """An answer in between starts the count anew."""
    sevenfold = [BAD] * (REJECTED_REPLIES - 1)
    at = opened(SEVEN, *sevenfold, SEVEN, *sevenfold, BAD)
    ends = asked(at, range(2 + 2 * REJECTED_REPLIES - 1))
    assert ends == ["reply", *["bad_request"] * 7, "reply", *["bad_request"] * 7, "shut"]
    assert str(at.door.why) == "rejected: 400"


def test_budget_closes_the_door_before_a_call(opened: Callable[..., Desk]) -> None:
    """A call that may cost more than is left is not made."""
    at = opened(SEVEN, budget_usd=MOST_USD / 2)
    with pytest.raises(Shut):
        at.reply(PROMPT)
    assert isinstance(at.door.why, DeskClosed)
    assert (at.door.why.reason, at.network.asked) == ("budget", [])


def test_closed_door_wakes_who_sleeps(opened: Callable[..., Desk]) -> None:
    """The wait of an hour ends when the door closes, and no call follows."""
    at = opened(CallError("outage", "503", retry_after_s=3600.0), deadline_s=7200.0)
    at.time.meanwhile = at.door.close
    with pytest.raises(Shut):
        at.reply(PROMPT)
    assert at.tally.calls == 1


def test_eight_in_a_row_are_unreachable(opened: Callable[..., Desk]) -> None:
    """The eighth reply that could not be got closes the door; one reply in between starts the count anew."""
    sevenfold = [OUTAGE] * (UNREACHABLE_REPLIES - 1)
    at = opened(*sevenfold, SEVEN, *sevenfold, OUTAGE, attempts=1)
    for n in range(2 * UNREACHABLE_REPLIES - 1):
        with suppress(CallError):
            at.reply(first_prompt(request(n), ANSWERS))
        assert at.door.why is None
    with pytest.raises(CallError):
        at.reply(first_prompt(request(100), ANSWERS))
    assert at.door.why is not None
    assert at.door.why.reason == "unreachable"


def test_unforeseen_error_is_raised_and_may_have_been_billed(opened: Callable[..., Desk]) -> None:
    """Neither repeated nor hidden; its reservation stays spent and its call can be made again."""
    at = opened(KeyError("candidates"), SEVEN)
    with pytest.raises(KeyError, match="candidates"):
        at.reply(PROMPT)
    assert spent_usd(at.ledger) == pytest.approx(MOST_USD)
    assert at.reply(PROMPT) == SEVEN
