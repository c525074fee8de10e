"""The ledger's money: what was spent, what calls and jobs under way may cost, and whether one more fits the budgets.

Whole nano-dollars, so that sums are exact. A cost belongs to the UTC day on which its call was let through.
"""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from resources.desk.calls import DeskClosed, Reply
from resources.desk_settings import DeskSection

NANOS = 1_000_000_000
HELD = """
select coalesce(sum(usd), 0), coalesce(sum(usd) filter (where day = $day), 0)
from (
    select usd, day from spent
    union all
    select job_costs.usd, jobs.day from job_costs join jobs on jobs.number = job_costs.job
)
"""
UNDER_WAY = "select coalesce(sum(usd), 0), coalesce(sum(usd) filter (where day = $day), 0) from claims"
REPORT = """
select model, task, day, sum(calls), sum(input_tokens), sum(output_tokens), sum(usd) / $nanos, sum(reserved) / $nanos
from (
    select model, task, day, calls, input_tokens, output_tokens, usd, 0 as reserved from spent
    union all
    select model, task, day, 0, 0, 0, 0, usd from claims
    union all
    select jobs.model, job_costs.task, jobs.day, 0, 0, 0, 0, job_costs.usd
    from job_costs join jobs on jobs.number = job_costs.job
)
group by model, task, day
order by day, model, task
"""
BOOK = """
insert into spent values ($model, $task, $day, $calls, $input_tokens, $output_tokens, $usd)
on conflict do update set
    calls = calls + excluded.calls,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    usd = usd + excluded.usd
"""
BOOK_CLAIMS_OF = """
insert into spent
select model, task, day, 0, 0, 0, sum(usd) from claims where desk = $desk and usd > 0 group by model, task, day
on conflict do update set usd = usd + excluded.usd
"""


class Account(NamedTuple):
    """What a cost is booked under."""

    model: str
    task: str
    day: str


class Spent(NamedTuple):
    """What one model's calls for one task took on one UTC day.

    `calls` counts replies. `usd` is spent for good, also for calls that may have been billed without a reply;
    `reserved_usd` is the most that calls and jobs under way may take.
    """

    model: str
    task: str
    day: str
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float
    reserved_usd: float


def nanos(usd: float) -> int:
    """Dollars as whole nano-dollars. Raises ValueError for what is no amount of money."""
    if not 0 <= usd < NANOS:
        raise ValueError(f"{usd} dollars: wanted a number from 0 to below {NANOS}")
    return round(usd * NANOS)


def day_of(now: float) -> str:
    """The UTC day of a moment, as 2026-03-31."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


def book(connection: sqlite3.Connection, account: Account, usd: int, replies: Sequence[Reply] = ()) -> None:
    """Books so many nano-dollars as spent, with the replies they brought."""
    entry = {
        **account._asdict(),
        "calls": len(replies),
        "input_tokens": sum(reply.input_tokens for reply in replies),
        "output_tokens": sum(reply.output_tokens for reply in replies),
        "usd": usd,
    }
    connection.execute(BOOK, entry)


def book_claims(connection: sqlite3.Connection, desk: str) -> None:
    """Ends all claims of a desk that is gone: what they reserved counts as spent, since it may have been billed."""
    connection.execute(BOOK_CLAIMS_OF, {"desk": desk})
    connection.execute("delete from claims where desk = ?", (desk,))


def fits(connection: sqlite3.Connection, settings: DeskSection, wanted: int, *, day: str) -> bool:
    """Whether so many nano-dollars more stay within both budgets, whatever calls and jobs under way will cost.

    False if they don't now and may once the calls under way have cost less than they reserved. Raises DeskClosed if
    even then they won't.
    """
    held = connection.execute(HELD, {"day": day}).fetchone()
    under_way = connection.execute(UNDER_WAY, {"day": day}).fetchone()
    caps = [settings.budget_usd, settings.daily_budget_usd or settings.budget_usd]
    for name, cap, sure in zip(["budget_usd", "daily_budget_usd"], caps, held, strict=True):
        if sure + wanted > nanos(cap):
            raise DeskClosed("budget", _refusal(name, cap, sure, wanted, day))
    return all(sure + open_ + wanted <= nanos(cap) for cap, sure, open_ in zip(caps, held, under_way, strict=True))


def report(connection: sqlite3.Connection) -> list[Spent]:
    """What was spent and is reserved, by day, model and task."""
    rows = connection.execute(REPORT, {"nanos": float(NANOS)}).fetchall()
    return [Spent._make(row) for row in rows]


def _refusal(name: str, cap: float, held: int, wanted: int, day: str) -> str:
    period = f"on {day} (UTC)" if name == "daily_budget_usd" else "in all"
    return (
        f"desk.{name} allows {cap:g} dollars {period}; {held / NANOS:.6g} are spent or reserved by batch jobs, and "
        f"what comes next may cost {wanted / NANOS:.6g}: raise desk.{name} (MUSIC_DESK__{name.upper()}) to go on"
    )
