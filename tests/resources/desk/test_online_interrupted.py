"""Runs that are interrupted or killed: what they pay again."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.resources.desk.some_calls import Network, paid, request, until, values

ROOT = Path(__file__).parents[3]
FORTY = [request(n) for n in range(40)]

DRIVER = """
import sys, time
from pathlib import Path
from tests.resources.desk.some_calls import Network, good, number_of, paid, request

def slowly(prompt):
    with (Path(sys.argv[1]) / "asked").open("a") as file:
        file.write(f"{number_of(prompt)}\\n")
    time.sleep(float(sys.argv[2]))
    return good(prompt)

with paid(Path(sys.argv[1]), Network(slowly)) as model:
    for answer in model.answer([request(n) for n in range(40)]):
        pass
"""


def asked_by_driver(folder: Path) -> list[int]:
    """The numbers that the driver's calls were for."""
    path = folder / "asked"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def driver(folder: Path, call_s: float) -> "subprocess.Popen[str]":
    """A process that asks forty requests, four at once."""
    command = [sys.executable, "-u", "-c", DRIVER, str(folder), str(call_s)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_interrupt_lets_calls_under_way_finish(tmp_path: Path) -> None:
    """Ctrl-C after four calls began: none is paid twice."""
    with driver(tmp_path, 0.3) as process:
        until(lambda: len(asked_by_driver(tmp_path)) >= 4)
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    before = asked_by_driver(tmp_path)
    assert len(before) < 40
    with paid(tmp_path, network := Network()) as model:
        assert values(list(model.answer(FORTY))) == list(range(40))
    assert sorted([*before, *network.asked]) == list(range(40))


def test_second_interrupt_waits_for_nothing(tmp_path: Path) -> None:
    """Calls that take a minute are given up, and the process ends."""
    with driver(tmp_path, 60.0) as process:
        until(lambda: len(asked_by_driver(tmp_path)) >= 4)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert "calls under way" in process.stdout.readline()
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("seed", range(2))
def test_killed_run_pays_no_more_than_was_under_way(tmp_path: Path, seed: int) -> None:
    """Killed at some moment: the next run asks again for at most four, one per thread."""
    with driver(tmp_path, 0.02) as process:
        wanted = random.Random(seed).randrange(4, 30)
        until(lambda: len(asked_by_driver(tmp_path)) >= wanted)
        os.kill(process.pid, signal.SIGKILL)
    before = asked_by_driver(tmp_path)
    with paid(tmp_path, network := Network()) as model:
        assert values(list(model.answer(FORTY))) == list(range(40))
    assert set(before) | set(network.asked) == set(range(40))
    assert len(before) + len(network.asked) <= 40 + 4
