"""The ledger's file: newer, damaged, gone, full."""

import os
import sqlite3
from pathlib import Path

import pytest

from resources.desk import ledger as ledger_module
from resources.desk.calls import Reply
from resources.desk.ledger import Ledger
from resources.desk.ledger_file import LedgerError
from tests.resources.desk.some_ledgers import REPLY, admit, desk, ticket, total


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """And left as it is."""
    Ledger(tmp_path, desk()).close()
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("pragma user_version = 2")
    connection.close()
    for _ in range(2):
        with pytest.raises(LedgerError, match="has form 2 and this code knows form 1: update the code"):
            Ledger(tmp_path, desk())


@pytest.mark.parametrize("content", [b"", b"no database" * 1000], ids=["empty", "foreign"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """By its name and with what to do; money is never forgotten in silence."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"ledger.sqlite.*put a copy of ledger.sqlite back"):
        Ledger(tmp_path, desk())
    assert path.read_bytes() == content


def test_damage_inside_is_told(tmp_path: Path) -> None:
    """Pages of zeros are no table any more, and the error names the file."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a"), REPLY, usd=1)
    path = tmp_path / "ledger.sqlite"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + bytes(len(content) - 4096))
    with pytest.raises(LedgerError, match=r"ledger.sqlite: .*put a copy"), Ledger(tmp_path, desk()) as ledger:
        admit(ledger, "b")


def test_a_damaged_reply_is_told(tmp_path: Path) -> None:
    """It is neither returned nor paid for again unasked."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a"), REPLY, usd=1)
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("update replies set reply = x'00'")
    connection.commit()
    connection.close()
    with Ledger(tmp_path, desk()) as ledger, pytest.raises(LedgerError, match="kept under a is damaged"):
        admit(ledger, "a")


def test_a_log_without_its_file_is_refused(tmp_path: Path) -> None:
    """It would be played into the new one."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a"), REPLY, usd=1)
        log = (tmp_path / "ledger.sqlite-wal").read_bytes()
    (tmp_path / "ledger.sqlite").unlink()
    (tmp_path / "ledger.sqlite-wal").write_bytes(log)
    with pytest.raises(LedgerError, match=r"ledger\.sqlite is gone, but its log"):
        Ledger(tmp_path, desk())


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """The reply is not kept, the ledger is whole, and with room again it is kept."""
    big = Reply(os.urandom(200_000).hex(), "stop", 1, 1)
    with Ledger(tmp_path, desk()) as ledger:
        held = ticket(ledger, "a")
        connection = ledger._file._connection
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(LedgerError, match="full: free some space and run again"):
            ledger.settle(held, big, usd=1)
        assert total(ledger) == (0, 1)
        connection.execute("pragma max_page_count = 1000000")
        ledger.settle(held, big, usd=1)
        assert total(ledger) == (1, 0)


def test_nothing_is_paid_for_on_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is still found."""
    with Ledger(tmp_path, desk()) as ledger:
        ledger.settle(ticket(ledger, "a"), REPLY, usd=1)
        monkeypatch.setattr(ledger_module, "LEAST_FREE_BYTES", 10**18)
        assert admit(ledger, "a") == REPLY
        with pytest.raises(LedgerError, match="free some space"):
            admit(ledger, "b")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """With the setting that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"desk.folder must be a folder"):
        Ledger(tmp_path / "file" / "desk", desk())
