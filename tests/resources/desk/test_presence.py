"""The ledger between threads and processes, living and killed."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from resources.desk.calls import DeskClosed, Reply
from resources.desk.ledger import Ledger, Ticket, Wait
from tests.resources.desk.some_ledgers import REPLY, admit, desk, job_of, ticket, total

ROOT = Path(__file__).parents[3]


def test_threads_share_a_ledger(tmp_path: Path) -> None:
    """Eight at once, a hundred keys, each asked for twice: each is paid for once."""

    def answer(ledger: Ledger, key: str) -> None:
        got = admit(ledger, key, 0.01)
        while isinstance(got, Wait):
            got = admit(ledger, key, 0.01)
        if isinstance(got, Ticket):
            ledger.settle(got, REPLY, usd=0.01)

    with Ledger(tmp_path, desk()) as ledger:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: answer(ledger, str(number % 100)), range(200)))
        assert total(ledger) == (1, 0)
        assert ledger.spent()[0].calls == 100


HAMMER = """
import sys, threading
from pathlib import Path
from resources.desk.calls import DeskClosed, Reply
from resources.desk.ledger import Ledger, Ticket, Wait
from resources.desk_settings import DeskSection

folder, first = Path(sys.argv[1]), int(sys.argv[2])
desk = DeskSection(budget_usd=1.0, requests_per_minute=10**9, tokens_per_minute=10**12)
paid = []

def work(ledger, start):
    for step in range(150):
        key = str((start + step) % 150)
        try:
            got = ledger.admit(key, model="m", task="t", tokens=1, usd=0.01)
        except DeskClosed:
            return
        if isinstance(got, Ticket):
            paid.append(key)
            ledger.settle(got, Reply(key, "stop", 1, 1), usd=0.01)

with Ledger(folder, desk) as ledger:
    threads = [threading.Thread(target=work, args=(ledger, first + 19 * number)) for number in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(*paid)
"""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another Python that runs the code."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_four_processes_keep_to_the_cap(tmp_path: Path) -> None:
    """Eight threads each, 150 keys of a cent and a dollar: exactly 100 are paid for, none twice."""
    processes = [python(HAMMER, tmp_path, 37 * number) for number in range(4)]
    paid = [key for process in processes for key in process.communicate(timeout=60)[0].split()]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(paid) == len(set(paid)) == 100
    with Ledger(tmp_path, desk()) as ledger:
        assert total(ledger) == (1, 0)
        assert set(ledger.found(map(str, range(150)))) == set(paid)


PAYER = """
import sys
from pathlib import Path
from resources.desk.calls import Reply
from resources.desk.ledger import Ledger
from resources.desk_settings import DeskSection

ledger = Ledger(Path(sys.argv[1]), DeskSection(budget_usd=10, requests_per_minute=10**9, tokens_per_minute=10**12))
for number in range(1000):
    ticket = ledger.admit(f"{sys.argv[2]}-{number}", model="m", task="t", tokens=1, usd=0.01)
    ledger.settle(ticket, Reply("x" * 5000, "stop", 1, 1), usd=0.01)
    print(f"{sys.argv[2]}-{number}", flush=True)
"""


def test_what_was_settled_survives_a_kill(tmp_path: Path) -> None:
    """Killed at three moments: each reply whose `settle` returned is there, and one call at most beside it was paid."""
    settled = list[str]()
    for round_ in range(3):
        process = python(PAYER, tmp_path, round_)
        assert process.stdout
        settled += [process.stdout.readline().strip() for _ in range(1 + 17 * round_)]
        process.kill()
        settled += process.communicate()[0].split()
    with Ledger(tmp_path, desk()) as ledger:
        assert ledger.found(settled).keys() == set(settled)
        spent, reserved = total(ledger)
        assert reserved == 0
        assert len(settled) <= round(spent * 100) <= len(settled) + 3


HOLDER = """
import sys, time
from pathlib import Path
from resources.desk.calls import Reply
from resources.desk.jobs import JobItem
from resources.desk.ledger import Ledger
from resources.desk_settings import DeskSection

desk = DeskSection(budget_usd=10, requests_per_minute=10**9, tokens_per_minute=10**12)
ledger = Ledger(Path(sys.argv[1]), desk)
first = ledger.admit("kept", model="m", task="t", tokens=1, usd=1)
ledger.settle(first, Reply("a text", "stop", 10, 5, "model-001"), usd=0.5)
for key in ("a", "b"):
    ledger.admit(key, model="m", task="t", tokens=1, usd=2)
ledger.open_job([JobItem("c", "t", 3)], model="m")
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Starts a process that holds two tickets and a job in the ledger; the call kills it."""
    with python(HOLDER, tmp_path) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"

        def kill() -> None:
            process.kill()
            process.wait()

        yield kill
        kill()


def test_claims_of_a_killed_process_are_taken_over_at_once(tmp_path: Path, killed: Callable[[], None]) -> None:
    """What it settled is kept, what it had reserved for open tickets is spent, and its job goes on under its name."""
    with Ledger(tmp_path, desk()) as ledger:
        assert admit(ledger, "a") == Wait(1.0, "under_way")
        killed()
        assert admit(ledger, "kept") == REPLY
        ticket(ledger, "a", 1)
        assert total(ledger) == (0.5 + 2 + 2, 1 + 3)
        assert [item.key for item in job_of(ledger, "c").items] == ["c"]
        ticket(ledger, "b", 1)


def test_a_budget_waits_for_no_dead_process(tmp_path: Path, killed: Callable[[], None]) -> None:
    """While it lives its reservations may come free; then they are spent: 7.5 dollars, so 3 can't fit in 10."""
    with Ledger(tmp_path, desk()) as ledger:
        assert admit(ledger, "d", 3) == Wait(1.0, "reserved")
        killed()
        with pytest.raises(DeskClosed, match=r"7.5 are spent"):
            admit(ledger, "d", 3)


def test_opening_clears_up_after_the_dead(tmp_path: Path, killed: Callable[[], None]) -> None:
    """Their reservations are spent and their files are gone."""
    killed()
    with Ledger(tmp_path, desk()) as ledger:
        assert total(ledger) == (4.5, 3)
        assert len(list((tmp_path / "desks").iterdir())) == 1


def test_a_reply_outlives_its_claim(tmp_path: Path) -> None:
    """Somebody removes the lock files, another takes the call over: the first one's reply is kept, its cost counts."""
    with Ledger(tmp_path, desk()) as one, Ledger(tmp_path, desk()) as other:
        held = ticket(one, "a", 2)
        for path in (tmp_path / "desks").iterdir():
            path.unlink()
        taken = ticket(other, "a", 2)
        one.settle(held, REPLY, usd=1)
        assert admit(other, "a") == REPLY
        other.settle(taken, Reply("another", "stop", 1, 1), usd=1)
        assert admit(other, "a") == REPLY
        assert total(other) == (2 + 1 + 1, 0)
