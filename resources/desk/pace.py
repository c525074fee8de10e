"""The shared pace: a bucket of requests and one of input tokens, which every process fills and drains in the ledger.

The generic cell rate algorithm (ITU-T I.371), in seconds: a call costs so many seconds of its bucket's flow, and a
bucket is known by the moment at which it is full again. The flow is a little slower than the limit, by as much as a
full bucket gives at once, so that no 60 seconds ever hold more than the limit. Only a call that is bigger than a bucket
may: it passes when the bucket is full, and the next ones pay for it.

Calls are served in the order in which they came, or small ones would drain the bucket before a large one ever finds it
full. Who has to wait has a place in a queue, and loses it by not asking again in time: he may have died.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

WINDOW_S = 60.0
BURST_S = 1.0  # what a full bucket holds
TICK_S = 1e-6  # the clock's own resolution, about
LONGEST_LOOK_S = 15.0  # to the next look, so that those behind soon notice who left
LATE_S = 5.0  # many times what a thread takes to wake up
AHEAD = """
select requests, tokens from queue
where number < ifnull((select number from queue where key = ?), 9223372036854775807)
order by number
"""
STAND = """
insert into queue (key, at, until, requests, tokens) values (?, ?, ?, ?, ?)
on conflict (key) do update set
    at = excluded.at, until = excluded.until, requests = excluded.requests, tokens = excluded.tokens
"""


class Cost(NamedTuple):
    """Seconds of each bucket's flow."""

    requests: float
    tokens: float


def cost_s(amount: int, per_minute: int) -> float:
    """Seconds of a bucket's flow that the amount takes."""
    return amount * (WINDOW_S + BURST_S) / per_minute


def turn_s(connection: sqlite3.Connection, key: str, cost: Cost, *, now: float) -> float:
    """0 if it is the call's turn, and then the buckets are drained; else seconds until it shall ask again.

    It keeps its place in the queue for as long, and LATE_S more.
    """
    connection.execute("delete from queue where until < ? or at > ?", (now - LATE_S, now))
    full_at = [_full_at(connection, name, now) for name in Cost._fields]
    turn, then_full_at = now, full_at
    for ahead in connection.execute(AHEAD, (key,)):
        turn = _turn(then_full_at, ahead, turn)
        then_full_at = [max(full, turn) + taken for full, taken in zip(then_full_at, ahead, strict=True)]
    wait = min(_turn(then_full_at, cost, turn) - now, LONGEST_LOOK_S)
    if wait > TICK_S:
        connection.execute(STAND, (key, now, now + wait, *cost))
        return wait
    connection.execute("delete from queue where key = ?", (key,))
    for name, full, taken in zip(Cost._fields, full_at, cost, strict=True):
        connection.execute("insert or replace into buckets values (?, ?, ?)", (name, now, full + taken))
    return 0.0


def pause(connection: sqlite3.Connection, model: str, seconds: float, *, now: float) -> None:
    """Lets nobody call the model for so many seconds; a longer pause stays."""
    if seconds > paused_s(connection, model, now=now):
        connection.execute("insert or replace into pauses values (?, ?, ?)", (model, now, now + seconds))


def paused_s(connection: sqlite3.Connection, model: str, *, now: float) -> float:
    """Seconds until the model's pause is over; 0 if there is none."""
    row = connection.execute("select at, until from pauses where model = ?", (model,)).fetchone()
    return max(row[1] - now, 0.0) if row and row[0] <= now else 0.0


def _turn(full_at: Sequence[float], cost: Sequence[float], earliest: float) -> float:
    """The first moment, from the earliest on, at which every bucket holds the cost, or is full."""
    return max(earliest, *(full - max(BURST_S - taken, 0.0) for full, taken in zip(full_at, cost, strict=True)))


def _full_at(connection: sqlite3.Connection, name: str, now: float) -> float:
    """When the bucket is full, `now` if it is. A clock that was set back since is believed: nothing waits for hours."""
    row = connection.execute("select at, full_at from buckets where name = ?", (name,)).fetchone()
    return max(row[1], now) if row and row[0] <= now else now
