"""The ledger's file: made whole, opened only if it is ours and of this form, changed one transaction at a time.

SQLite with a write-ahead log, flushed at each commit: neither a killed process nor a power loss takes back what a
commit returned. The log needs memory that all its processes share, so the folder must be on a disk of this host.
A lock file queues the writers of all processes. SQLite alone would let them poll each other's lock, and before 3.51.3
two that write and move the log into the file in the same instant can damage it.
"""

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from resources.files import STAGED, flush, remove

FORM = 1  # of the tables below; a file of a higher one was made by a newer version of this code
OURS = 0x6D757363  # "musc": tells the file from other databases
BUSY_S = 60.0  # only somebody else's program, a shell or a backup, is ever waited for here
TABLES = """
create table replies (key text primary key, reply blob not null);

-- One row per call under way: who makes it, and the most it may cost.
create table claims (
    number integer primary key autoincrement,
    key text not null unique,
    desk text not null,
    model text not null,
    task text not null,
    day text not null,
    usd integer not null
);
create index claims_of_desk on claims (desk);

-- One row per batch job under way; what it may cost, by task; and the calls in it.
create table jobs (
    number integer primary key autoincrement,
    name text not null,
    model text not null,
    desk text not null,
    day text not null,
    remote_name text not null default ''
);
create table job_costs (job integer not null, task text not null, usd integer not null, primary key (job, task));
create table job_calls (
    key text primary key,
    job integer not null,
    task text not null,
    usd integer not null
) without rowid;
create index calls_of_job on job_calls (job);

-- One row per model, task and UTC day on which calls were made: what is spent for good.
create table spent (
    model text not null,
    task text not null,
    day text not null,
    calls integer not null,
    input_tokens integer not null,
    output_tokens integer not null,
    usd integer not null,
    primary key (model, task, day)
) without rowid;

create table buckets (name text primary key, at real not null, full_at real not null) without rowid;
create table pauses (model text primary key, at real not null, until real not null) without rowid;

-- One row per call that waits for the buckets, first come first: when it asked, when it shall, and what it takes.
create table queue (
    number integer primary key,
    key text not null unique,
    at real not null,
    until real not null,
    requests real not null,
    tokens real not null
);
"""


class LedgerError(Exception):
    """The ledger can't be read or written; says which file, why and what to do."""


class LedgerFile:
    """One connection to `<folder>/ledger.sqlite`, for all threads of this process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self._threads = threading.Lock()
        with _told(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            self._queue = (folder / "ledger.lock").open("w")
            try:
                with self._turn():
                    self._connection = _opened(self.path)
            except BaseException:
                self._queue.close()
                raise

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other process's comes between; taken back whole if it raises."""
        with _told(self.path), self._turn():
            try:
                self._connection.execute("begin immediate")
                yield self._connection
                self._connection.execute("commit")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection for one query, which waits for no other process."""
        with _told(self.path), self._threads:
            if self.is_closed:
                raise LedgerError(f"{self.path} was closed before its last use")
            yield self._connection

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._queue.closed

    def close(self) -> None:
        """Closes the connection; the last one of all processes moves the log into the file."""
        if not self.is_closed:
            with _told(self.path), self._turn():
                self._connection.close()
            self._queue.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._threads:
            if self.is_closed:
                raise LedgerError(f"{self.path} was closed before its last use")
            fcntl.flock(self._queue, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._queue, fcntl.LOCK_UN)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to the file, made first if there is none.

    The file is never opened but by SQLite: closing it again would drop the locks of this process's other connections.
    """
    if not path.exists():
        if path.with_name(f"{path.name}-wal").exists():
            raise LedgerError(
                f"{path} is gone, but its log {path.name}-wal is there: put the file back, or remove the log too "
                "to begin a new ledger, which knows nothing of what was spent"
            )
        _make(path)
    connection = _connected(path)
    try:
        _check(connection, path)
        connection.execute("pragma synchronous = full")
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Makes an empty ledger aside and moves it in place: a file that is there is whole, so an empty one is damaged."""
    staged = path.with_name(f"{STAGED}{path.name}")
    for left in path.parent.glob(f"{staged.name}*"):
        remove(left)
    with closing(_connected(staged)) as connection:
        mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
        if mode != "wal":
            raise LedgerError(f"{path}: this disk allows no write-ahead log: set desk.folder to one of this host's own")
        connection.executescript(f"begin; {TABLES} commit;")
        connection.execute(f"pragma application_id = {OURS}")
        connection.execute(f"pragma user_version = {FORM}")
    flush(staged)
    staged.replace(path)
    flush(path.parent)


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    owner = connection.execute("pragma application_id").fetchone()[0]
    form = connection.execute("pragma user_version").fetchone()[0]
    if owner != OURS:
        raise LedgerError(f"{path} is not a ledger: {_way_out(path)}")
    if form != FORM:
        raise LedgerError(
            f"{path} has form {form} and this code knows form {FORM}: update the code, or choose another desk.folder"
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns errors of SQLite and of the disk into errors that say what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LedgerError(f"{path}: {error}: {_advice(error)}") from error
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: {error}: {_way_out(path)}") from error
    except OSError as error:
        raise LedgerError(
            f"{path}: {error}: desk.folder must be a folder on a disk of this host that may be written"
        ) from error


def _advice(error: sqlite3.OperationalError) -> str:
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return "free some space and run again; what is kept stays kept"
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
        return f"another program has it open for writing since {BUSY_S:.0f} s: end that and run again"
    return "look at the disk and the folder's permissions, and run again; what is kept stays kept"


def _way_out(path: Path) -> str:
    return (
        f"put a copy of {path.name} back. Or move it away to begin a new one, which knows no kept reply and nothing of "
        "what was spent: lower desk.budget_usd by that"
    )
