"""The ledger: which calls were paid for and answered, what they cost, and who may make the next one.

One file in one folder, shared by the threads and processes of a host; no server. A call is admitted, which claims its
key and reserves the most that it may cost, and then settled with its reply or given back. Spent and reserved money
together exceed no budget when a call is admitted; one that cost more than it had reserved is booked as it was, and
nothing more is admitted then.

A claim has no lease: it lasts as long as its process, however slow the call. Those of a process that ended without
giving them back are taken over by whoever comes next, and what they had reserved counts as spent.
"""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from resources.desk import jobs, money, pace
from resources.desk.calls import Reply
from resources.desk.jobs import Job, JobItem
from resources.desk.ledger_file import LedgerError, LedgerFile
from resources.desk.money import Account, Spent, day_of, nanos
from resources.desk.presence import Presence
from resources.desk.replies import keep, packed, replies_of, reply_of, unpacked
from resources.desk_settings import DeskSection

LOOK_AGAIN_S = 1.0  # calls take seconds
KEYS_AT_ONCE = 1000
LEAST_FREE_BYTES = 64 * 1024**2  # room for the replies of calls under way when the disk fills up


class Ticket(NamedTuple):
    """The claim on one call. What it costs is booked under `account`."""

    key: str
    number: int
    account: Account


class Wait(NamedTuple):
    """Nothing was claimed or reserved; worth another try after so many seconds.

    `reason` is "under_way" (another thread, process or batch job makes this call), "paused", "rate_limit" (it has a
    place in the queue, which it keeps if it is tried again then), "reserved" (it would fit the budget if calls under
    way cost less than they may) or, of batch jobs only, "answered" (a call of it has got its reply meanwhile: leave it
    out).
    """

    seconds: float
    reason: str


class Ledger:
    """The ledger in a folder. Everything it returns is on the disk. Raises LedgerError where the file can't be used."""

    def __init__(self, folder: Path, settings: DeskSection, *, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._settings, self._clock = folder, settings, clock
        self._file = LedgerFile(folder)
        try:
            with self._file.change() as connection:
                self._presence = Presence(folder)
                self._end_claims_of_the_dead(connection)
                self._presence.sweep()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends this ledger's open claims, as if its process had ended, and lets go of the file."""
        if self._file.is_closed:
            return
        try:
            with self._file.change() as connection:
                money.book_claims(connection, self._presence.name)
        finally:
            self._presence.leave()
            self._file.close()

    def found(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The replies that are kept for these keys."""
        wanted, replies = list(keys), dict[str, Reply]()
        for first in range(0, len(wanted), KEYS_AT_ONCE):
            with self._file.reading() as connection:
                rows = replies_of(connection, wanted[first : first + KEYS_AT_ONCE])
            replies |= unpacked(rows)
        return replies

    def admit(self, key: str, *, model: str, task: str, tokens: int, usd: float) -> Reply | Ticket | Wait:
        """The kept reply, a ticket to make the call, or how long to wait before asking again.

        `tokens` are those it likely sends, for the rate limit; `usd` is the most it may cost. Raises DeskClosed if
        that doesn't fit a budget.
        """
        wanted = nanos(usd)
        with self._file.change() as connection:
            if reply := reply_of(connection, key):
                return reply
            if wait := self._under_way(connection, key):
                return wait
            now = self._clock()
            if paused := pace.paused_s(connection, model, now=now):
                return Wait(paused, "paused")
            if not self._fits(connection, wanted, day_of(now)):
                return Wait(LOOK_AGAIN_S, "reserved")
            cost = pace.Cost(
                pace.cost_s(1, self._settings.requests_per_minute),
                pace.cost_s(tokens, self._settings.tokens_per_minute),
            )
            if delay := pace.turn_s(connection, key, cost, now=now):
                return Wait(delay, "rate_limit")
            account = Account(model, task, day_of(now))
            claim = (key, self._presence.name, *account, wanted)
            row = "insert into claims (key, desk, model, task, day, usd) values (?, ?, ?, ?, ?, ?)"
            return Ticket(key, connection.execute(row, claim).lastrowid or 0, account)

    def settle(self, ticket: Ticket, reply: Reply, *, usd: float) -> None:
        """Keeps the reply, books what it cost and frees the rest of the reservation.

        Once more changes nothing. A ticket that was ended or taken over meanwhile brings its reply all the same.
        """
        spent, blob = nanos(usd), packed(reply)
        with self._file.change() as connection:
            is_open = _end(connection, ticket)
            is_new = keep(connection, ticket.key, blob)
            if is_open or is_new:
                money.book(connection, ticket.account, spent, [reply])

    def give_back(self, ticket: Ticket, *, usd: float = 0.0) -> None:
        """Frees the reservation of a call without reply, but for what may have been billed. Once more does nothing."""
        spent = nanos(usd)
        with self._file.change() as connection:
            if _end(connection, ticket) and spent:
                money.book(connection, ticket.account, spent)

    def pause(self, model: str, *, seconds: float) -> None:
        """Lets no process call the model for so many seconds; a longer pause stays."""
        with self._file.change() as connection:
            pace.pause(connection, model, seconds, now=self._clock())

    def spent(self) -> list[Spent]:
        """What was spent and is reserved, by day, model and task."""
        with self._file.reading() as connection:
            return money.report(connection)

    def open_job(self, items: Sequence[JobItem], *, model: str) -> Job | Wait:
        """A batch job for these calls, its cost reserved, or the open job that already holds one of them.

        So the same calls again are the same job, and one of other calls must be settled first. It is this ledger's
        until it is submitted: another process waits, unless this one ends. Raises DeskClosed if it doesn't fit a
        budget.
        """
        by_key = {item.key: item for item in items}
        keys = sorted(by_key)
        if not keys:
            raise ValueError("a batch job needs at least one call")
        with self._file.change() as connection:
            if jobs.has_any(connection, jobs.ANSWERED, keys):
                return Wait(0.0, "answered")
            if number := jobs.number_of(connection, keys):
                return self._held(connection, number)
            self._end_claims_of_the_dead(connection)
            if jobs.has_any(connection, jobs.CLAIMED, keys):
                return Wait(LOOK_AGAIN_S, "under_way")
            day = day_of(self._clock())
            if not self._fits(connection, sum(nanos(item.usd) for item in by_key.values()), day):
                return Wait(LOOK_AGAIN_S, "reserved")
            return jobs.add(connection, by_key, model=model, desk=self._presence.name, day=day)

    def submitted(self, job: Job, remote_name: str) -> Job:
        """Notes the name that the service gave to the job. Raises LedgerError if it has another, or was settled."""
        with self._file.change() as connection:
            row = connection.execute("select remote_name from jobs where number = ?", (job.number,)).fetchone()
            if row is None or row[0] not in ("", remote_name):
                state = f"was submitted as {row[0]}" if row else "was settled"
                raise LedgerError(f"job {job.name} {state} and now as {remote_name}: cancel the latter at the service")
            connection.execute("update jobs set remote_name = ? where number = ?", (remote_name, job.number))
        return job._replace(remote_name=remote_name)

    def settle_job(self, job: Job, replies: Mapping[str, tuple[Reply, float]], *, lost_usd: float = 0.0) -> None:
        """Keeps the job's replies, books what each cost, frees the rest of the reservation and forgets the job.

        Calls without a reply are free to be made again; what they may have cost, `lost_usd`, is spent, under the first
        task of theirs. Once more changes nothing. Raises ValueError if a reply is to none of its calls.
        """
        lost = nanos(lost_usd)
        tasks = {item.key: item.task for item in job.items}
        if strange := sorted(replies.keys() - tasks.keys()):
            raise ValueError(f"job {job.name}: {len(strange)} replies to calls that are not in it, as {strange[0]}")
        blobs = {key: packed(reply) for key, (reply, _) in replies.items()}
        with self._file.change() as connection:
            new = [key for key, blob in blobs.items() if keep(connection, key, blob)]
            for task in sorted({tasks[key] for key in new}):
                of_task = [replies[key] for key in new if tasks[key] == task]
                cost = sum(nanos(usd) for _, usd in of_task)
                money.book(connection, Account(job.model, task, job.day), cost, [reply for reply, _ in of_task])
            if jobs.forget(connection, job.number) and lost:
                task = min(tasks[key] for key in tasks.keys() - replies.keys() or tasks)
                money.book(connection, Account(job.model, task, job.day), lost)

    def jobs(self, model: str) -> list[Job]:
        """The model's open jobs, to be gone on with; not those that another living process is about to submit."""
        with self._file.change() as connection:
            rows = connection.execute("select number from jobs where model = ? order by number", (model,)).fetchall()
            held = [self._held(connection, number) for (number,) in rows]
        return [job for job in held if isinstance(job, Job)]

    def _under_way(self, connection: sqlite3.Connection, key: str) -> Wait | None:
        """How long to wait for whoever makes this call; nothing if nobody does. Ends the claims of who is gone."""
        if connection.execute("select 1 from job_calls where key = ?", (key,)).fetchone():
            return Wait(self._settings.batch_poll_s, "under_way")
        row = connection.execute("select desk from claims where key = ?", (key,)).fetchone()
        if row is None:
            return None
        if self._presence.is_here(row[0]):
            return Wait(LOOK_AGAIN_S, "under_way")
        money.book_claims(connection, row[0])
        return None

    def _fits(self, connection: sqlite3.Connection, wanted: int, day: str) -> bool:
        """Whether the budgets have room; then so has the disk, or it raises LedgerError before anything is paid for."""
        if not money.fits(connection, self._settings, wanted, day=day):
            self._end_claims_of_the_dead(connection)
            if not money.fits(connection, self._settings, wanted, day=day):
                return False
        free = shutil.disk_usage(self._folder).free
        if free < LEAST_FREE_BYTES:
            raise LedgerError(
                f"{self._folder}: {free} bytes are free and {LEAST_FREE_BYTES} are wanted before another call is paid "
                "for: free some space and run again; what is kept stays kept"
            )
        return True

    def _end_claims_of_the_dead(self, connection: sqlite3.Connection) -> None:
        for (desk,) in connection.execute("select distinct desk from claims").fetchall():
            if not self._presence.is_here(desk):
                money.book_claims(connection, desk)

    def _held(self, connection: sqlite3.Connection, number: int) -> Job | Wait:
        """The job, now ours to submit if nobody did; or a wait for the living process that is about to."""
        desk, remote_name = connection.execute(
            "select desk, remote_name from jobs where number = ?", (number,)
        ).fetchone()
        if not remote_name and not self._presence.is_here(desk):
            connection.execute("update jobs set desk = ? where number = ?", (self._presence.name, number))
        elif not remote_name and desk != self._presence.name:
            return Wait(LOOK_AGAIN_S, "under_way")
        return jobs.job_of(connection, number)


def _end(connection: sqlite3.Connection, ticket: Ticket) -> bool:
    """Ends the claim; whether it was still open."""
    return connection.execute("delete from claims where number = ?", (ticket.number,)).rowcount == 1
