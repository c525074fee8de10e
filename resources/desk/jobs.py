"""The ledger's rows of batch jobs under way."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from resources.desk.money import NANOS, nanos
from resources.hashing import digest_of

ANSWERED = "select 1 from replies where key in (select value from json_each(?)) limit 1"
CLAIMED = "select 1 from claims where key in (select value from json_each(?)) limit 1"
JOB_OF = "select job from job_calls where key in (select value from json_each(?)) limit 1"


class JobItem(NamedTuple):
    """One call of a batch job, and the most that it may cost."""

    key: str
    task: str
    usd: float


class Job(NamedTuple):
    """A batch job under way. `name` is never given to another; `remote_name` is empty until it was submitted."""

    number: int
    name: str
    model: str
    day: str
    remote_name: str
    items: tuple[JobItem, ...]


def has_any(connection: sqlite3.Connection, query: str, keys: Sequence[str]) -> bool:
    """Whether the query, ANSWERED or CLAIMED, is true of any of the keys."""
    return connection.execute(query, (json.dumps(keys),)).fetchone() is not None


def number_of(connection: sqlite3.Connection, keys: Sequence[str]) -> int:
    """The number of an open job that holds any of the keys; 0 if none does."""
    row = connection.execute(JOB_OF, (json.dumps(keys),)).fetchone()
    return row[0] if row else 0


def add(connection: sqlite3.Connection, items: Mapping[str, JobItem], *, model: str, desk: str, day: str) -> Job:
    """Writes the job down. Its name is the hash of its keys and its number: the same calls later are another job."""
    row = "insert into jobs (name, model, desk, day) values ('', ?, ?, ?)"
    number = connection.execute(row, (model, desk, day)).lastrowid or 0
    name = f"{digest_of([model, sorted(items)])[:32]}-{number}"
    connection.execute("update jobs set name = ? where number = ?", (name, number))
    calls = [(item.key, number, item.task, nanos(item.usd)) for item in items.values()]
    connection.executemany("insert into job_calls values (?, ?, ?, ?)", calls)
    costs: dict[str, int] = defaultdict(int)
    for _, _, task, cost in calls:
        costs[task] += cost
    connection.executemany("insert into job_costs values (?, ?, ?)", [(number, *cost) for cost in costs.items()])
    return job_of(connection, number)


def job_of(connection: sqlite3.Connection, number: int) -> Job:
    """An open job."""
    query = "select name, model, day, remote_name from jobs where number = ?"
    name, model, day, remote_name = connection.execute(query, (number,)).fetchone()
    rows = connection.execute("select key, task, usd from job_calls where job = ? order by key", (number,)).fetchall()
    items = tuple(JobItem(key, task, cost / NANOS) for key, task, cost in rows)
    return Job(number, name, model, day, remote_name, items)


def forget(connection: sqlite3.Connection, number: int) -> bool:
    """Removes the job and with it what it reserved; whether it was still open."""
    connection.execute("delete from job_calls where job = ?", (number,))
    connection.execute("delete from job_costs where job = ?", (number,))
    return connection.execute("delete from jobs where number = ?", (number,)).rowcount == 1
