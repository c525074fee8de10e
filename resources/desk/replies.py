"""Replies that were paid for, each kept under its call's key; the first one kept stays."""

import json
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import asdict

from resources.desk.calls import Reply
from resources.desk.ledger_file import LedgerError


def packed(reply: Reply) -> bytes:
    """The reply, compressed. JSON in ASCII also holds half a character, which a model may send and UTF-8 can't."""
    return zlib.compress(json.dumps(asdict(reply)).encode("ascii"))


def keep(connection: sqlite3.Connection, key: str, reply: bytes) -> bool:
    """Keeps a packed reply, unless there is one; whether it did."""
    return connection.execute("insert or ignore into replies values (?, ?)", (key, reply)).rowcount == 1


def reply_of(connection: sqlite3.Connection, key: str) -> Reply | None:
    """The reply kept under the key."""
    row = connection.execute("select reply from replies where key = ?", (key,)).fetchone()
    return _unpacked(key, row[0]) if row else None


def replies_of(connection: sqlite3.Connection, keys: Sequence[str]) -> list[tuple[str, bytes]]:
    """Those of the keys that have a reply, and the reply, packed."""
    query = "select key, reply from replies where key in (select value from json_each(?))"
    return connection.execute(query, (json.dumps(keys),)).fetchall()


def unpacked(rows: Sequence[tuple[str, bytes]]) -> dict[str, Reply]:
    """Replies by key. Raises LedgerError if one is damaged."""
    return {key: _unpacked(key, reply) for key, reply in rows}


def _unpacked(key: str, reply: bytes) -> Reply:
    try:
        return Reply(**json.loads(zlib.decompress(reply)))
    except (zlib.error, ValueError, TypeError) as error:
        raise LedgerError(
            f"the reply kept under {key} is damaged ({error}): put a copy of ledger.sqlite back, or delete this row of "
            "its table `replies` to pay for the call again"
        ) from error
