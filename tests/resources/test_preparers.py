"""Processes that prepare."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from resources.preparers import PreparerError, Preparers, worker_class
from resources.refusals import Refusal
from tests.resources.some_workers import Item, Samples, Settings

MULTIPLIER = "tests.resources.some_workers:Multiplier"
ROOT = Path(__file__).parents[2]
WANTS = ("product",)

DRIVER = """
import sys, time
from resources.preparers import Preparers
from tests.resources.some_workers import Item, Settings
worker, folder, event = sys.argv[1:]
preparers = Preparers(worker, Settings(folder), count=1, timeout_s=3)
preparers.prepare([(Item(1), ())])
print(next(iter(preparers._children)).process.pid, flush=True)
if event == "hang":
    preparers.prepare([(Item(1, "hang"), ())])
time.sleep(60)
"""


@pytest.fixture
def preparers() -> Iterator[Callable[..., Preparers]]:
    """Makes preparers that are closed after the test."""
    made: list[Preparers] = []

    def make(count: int, *, timeout_s: float = 60, folder: str = "") -> Preparers:
        made.append(Preparers(MULTIPLIER, Settings(folder), count=count, timeout_s=timeout_s))
        return made[-1]

    yield make
    for one in made:
        one.close()


def value(prepared: Samples | Refusal) -> float | str:
    """The value prepared, or the reason why not."""
    return prepared.reason if isinstance(prepared, Refusal) else float(prepared.samples[0])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_results_are_in_order(preparers: Callable[..., Preparers], count: int) -> None:
    """With any number of processes, and in the calling thread; a refusal is at its place."""
    items = [Item(number, "refuse" if number == 5 else "") for number in range(20)]
    prepared = preparers(count).prepare([(item, WANTS) for item in items])
    assert [value(one) for one in prepared] == [*range(5), "unreadable", *range(6, 20)]
    assert prepared[5] == Refusal("some file", "", "unreadable", "noise")


def test_a_large_array_arrives_bit_for_bit(preparers: Callable[..., Preparers]) -> None:
    """A million samples, of the type they had, in memory that may be written."""
    prepared = preparers(1).prepare([(Item(0.1, size=1_000_000), WANTS)])[0]
    assert prepared.samples.tobytes() == np.full(1_000_000, 0.1, np.float32).tobytes()
    assert prepared.samples.flags.writeable
    assert prepared.samples.flags.aligned


def test_a_process_that_dies_costs_its_item_alone(preparers: Callable[..., Preparers]) -> None:
    """The item that kills its process is refused; those after it are prepared by another."""
    prepared = preparers(1).prepare([(Item(1), WANTS), (Item(2, "die"), WANTS), (Item(3), WANTS)])
    assert [value(one) for one in prepared] == [1, "preparer_died", 3]
    assert "SIGKILL" in prepared[1].detail


def test_a_process_that_hangs_costs_its_item_alone(preparers: Callable[..., Preparers]) -> None:
    """After the time limit it is killed; those after it are prepared by another."""
    prepared = preparers(1, timeout_s=2).prepare([(Item(1), WANTS), (Item(2, "hang"), WANTS), (Item(3), WANTS)])
    assert [value(one) for one in prepared] == [1, "preparer_timeout", 3]
    assert prepared[1].detail == "took longer than 2 s"


@pytest.mark.parametrize(("event", "deaths", "expected"), [("die2", 2, 2), ("die", 3, "preparer_died")])
def test_an_item_is_tried_three_times(
    preparers: Callable[..., Preparers], tmp_path: Path, event: str, deaths: int, expected: float | str
) -> None:
    """Two processes killed cost nothing, since the kernel kills for others' memory too; three cost the item."""
    prepared = preparers(1, folder=str(tmp_path)).prepare([(Item(2, event), WANTS)])
    assert value(prepared[0]) == expected
    assert len((tmp_path / "deaths").read_text()) == deaths


@pytest.mark.parametrize(("event", "hangs", "expected"), [("hang1", 1, 2), ("hang", 2, "preparer_timeout")])
def test_an_item_that_hangs_is_tried_twice(
    preparers: Callable[..., Preparers], tmp_path: Path, event: str, hangs: int, expected: float | str
) -> None:
    """One wait beyond the limit may be the machine's fault; two cost the item."""
    prepared = preparers(1, timeout_s=1, folder=str(tmp_path)).prepare([(Item(2, event), WANTS)])
    assert value(prepared[0]) == expected
    assert len((tmp_path / "hanging").read_text()) == hangs


def test_a_process_knows_no_secrets(
    preparers: Callable[..., Preparers], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that lets a decoder that was taken over into a cluster or a service is in its environment."""
    secrets = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "SOME_API_KEY", "some_api_key", "HF_TOKEN"}
    for name in {*secrets, "MUSIC_TOKENS"}:
        monkeypatch.setenv(name, "1")
    preparers(1, folder=str(tmp_path)).prepare([(Item(1, "tell"), WANTS)])
    told = set((tmp_path / "environment").read_text().splitlines())
    assert not told & secrets
    assert {"MUSIC_TOKENS", "PATH"} <= told


def test_an_item_too_large_is_refused(preparers: Callable[..., Preparers]) -> None:
    """5 GiB are more than a process may have; the same process goes on."""
    one = preparers(1)
    prepared = one.prepare([(Item(1), WANTS), (Item(2, "grow"), WANTS), (Item(3), WANTS)])
    assert [value(one) for one in prepared] == [1, "out_of_memory", 3]
    assert len(one._children) == 1


def test_an_error_is_raised_here_with_its_words_and_lines(preparers: Callable[..., Preparers]) -> None:
    """The message and the place in the worker's file; the processes can be used after it."""
    one = preparers(2)
    with pytest.raises(PreparerError, match=r"(?s)some_workers\.py.*KeyError: 'an odd thing'"):
        one.prepare([(Item(1), WANTS), (Item(2, "fail"), WANTS)])
    assert value(one.prepare([(Item(4), WANTS)])[0]) == 4


def test_without_processes_an_error_passes_as_it_is(preparers: Callable[..., Preparers]) -> None:
    """In the calling thread nothing is put around it."""
    with pytest.raises(KeyError, match="an odd thing"):
        preparers(0).prepare([(Item(2, "fail"), WANTS)])


def test_settings_that_are_not_the_workers_do_not_start() -> None:
    """The child says what it wanted."""
    one = Preparers(MULTIPLIER, ["no", "settings"], count=1)
    with pytest.raises(PreparerError, match=r"(?s)did not start.*Expected `float`"):
        one.prepare([(Item(1), WANTS)])
    one.close()


def test_closing_ends_who_is_at_work(preparers: Callable[..., Preparers], tmp_path: Path) -> None:
    """An item that hangs is given up: its caller gets an error, not a refusal that could be kept."""
    one = preparers(1, folder=str(tmp_path))
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(one.prepare, [(Item(2, "hang"), WANTS)])
        while not (tmp_path / "hanging").exists():
            time.sleep(0.01)
        one.close()
        with pytest.raises(PreparerError, match="closed"):
            waiting.result()


@pytest.mark.parametrize("event", ["idle", "hang"])
def test_nothing_is_left_of_a_killed_parents_processes(tmp_path: Path, event: str) -> None:
    """An idle one ends at once; one that hangs, which nobody is left to kill, after its time limit and the grace."""
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, MULTIPLIER, str(tmp_path), event], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout
    child = int(driver.stdout.readline())
    while event == "hang" and not (tmp_path / "hanging").exists():
        time.sleep(0.01)
    assert is_running(child)
    driver.kill()
    driver.communicate()
    deadline = time.monotonic() + 20
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(child)


def is_running(process_id: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        os.kill(process_id, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize("name", ["resources.stations", "resources.stations:", "resources.stations:Nobody"])
def test_a_worker_is_named_by_module_and_class(name: str) -> None:
    """Anything else is refused in words."""
    with pytest.raises(ValueError, match="expected module:Class"):
        worker_class(name)
