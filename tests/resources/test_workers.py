"""Inputs through workers, and what is kept of them."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resources.kept import Kept
from resources.model_settings import WorkersSection
from resources.refusals import Refusal
from resources.stations import Order
from resources.wire import encoded_outcome
from resources.workers import GRACE_S, Crew, LocalPool, Need, Task, crew
from tests.resources.some_workers import Item, Pair, Settings, noted

MULTIPLIER = "tests.resources.some_workers:Multiplier"
ROOT = Path(__file__).parents[2]
PRODUCT = Need("product", "times three, version 1", float)
ARRAY = Need("array", "samples times three", np.ndarray)
UNKEPT = Need("product", None, float)

DRIVER = """
import signal, sys
from pathlib import Path
import resources.workers
from dagster import DagsterExecutionInterruptedError
from tests.resources.test_workers import PRODUCT, ARRAY, started, tasks

def interrupted(number, frame):
    raise KeyboardInterrupt if number == signal.SIGINT else DagsterExecutionInterruptedError

signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGTERM, interrupted)
resources.workers.FLUSH_S = 0.0
with started(Path(sys.argv[1]), [PRODUCT, ARRAY], preparers=1) as workers:
    workers.map(tasks(12, **dict(event.split("=") for event in sys.argv[2:])), part="1")
"""


class Watched:
    """A local pool that remembers its batches, and may be interrupted like by Ctrl-C."""

    def __init__(self, folder: Path, *, interrupt_after: int | None = None) -> None:
        self._pool = LocalPool(MULTIPLIER, Settings(str(folder), 3.0), preparers=0)
        self._interrupt_after = interrupt_after
        self.seen: list[Sequence[Order]] = []

    def stream(self, batches: Sequence[Sequence[Order]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """The local pool's."""
        self.seen.extend(batches)
        for done, finished in enumerate(self._pool.stream(batches)):
            if done == self._interrupt_after:
                raise KeyboardInterrupt
            yield finished

    def close(self) -> None:
        """The local pool's."""
        self._pool.close()


def started(
    folder: Path,
    needs: Sequence[Need] = (PRODUCT,),
    *,
    worker: str = MULTIPLIER,
    batch: int = 2,
    preparers: int = 0,
    log: Callable[[str], None] = print,
) -> Crew:
    """Workers that multiply by three, and keep it in the folder."""
    section = WorkersSection(preparers=preparers)
    settings = Settings(str(folder), 3.0)
    return crew(section, worker, settings, needs, kept=folder / "kept", batch=batch, log=log)


def tasks(count: int, **events: str) -> list[Task]:
    """Values from 0 up; `at_3="die"` is what happens to the fourth."""
    return [Task(f"key{number}", Item(float(number), events.get(f"at_{number}", ""))) for number in range(count)]


def products(outcomes: Sequence[dict[str, Any]]) -> list[float | str]:
    """The products, or why there is none."""
    made = [outcome["product"] for outcome in outcomes]
    return [value.reason if isinstance(value, Refusal) else value for value in made]


def ran(folder: Path) -> list[str]:
    """The batches that were run, in their values' order."""
    return sorted((line for line in noted(folder) if line != "started"), key=lambda line: float(line.split()[0]))


@pytest.mark.parametrize("preparers", [0, 2])
def test_outcomes_are_in_order(tmp_path: Path, preparers: int) -> None:
    """Of seven batches, done two at once."""
    with started(tmp_path, preparers=preparers) as workers:
        assert products(workers.map(tasks(13), part="1")) == [3.0 * number for number in range(13)]


def test_equal_keys_are_done_once(tmp_path: Path) -> None:
    """Keys in the order a, b, a, b: one batch of two."""
    a, b = tasks(2)
    with started(tmp_path) as workers:
        assert products(workers.map([a, b, a, b], part="1")) == [0, 3, 0, 3]
    assert ran(tmp_path) == ["0 1"]


def test_what_is_kept_is_not_made_again_and_nothing_starts(tmp_path: Path) -> None:
    """The second time no worker is made, and the outcomes are equal."""
    with started(tmp_path, [PRODUCT, ARRAY]) as workers:
        first = workers.map(tasks(5), part="1")
    (tmp_path / "ran.txt").unlink()
    with started(tmp_path, [PRODUCT, ARRAY]) as workers:
        second = workers.map(tasks(5), part="1")
    assert list(map(bits, first)) == list(map(bits, second))
    assert noted(tmp_path) == []


def test_only_what_is_wanted_anew_is_made(tmp_path: Path) -> None:
    """After one need's identity changed, the worker is asked for that need alone."""
    with started(tmp_path, [PRODUCT, ARRAY]) as workers:
        workers.map(tasks(2), part="1")
    changed = PRODUCT._replace(identity="times three, version 2")
    pool = Watched(tmp_path)
    with Crew(lambda: pool, [changed, ARRAY], kept=tmp_path / "kept", batch=2, log=print) as workers:
        workers.map(tasks(2), part="1")
    assert [[order.wants for order in batch] for batch in pool.seen] == [[("product",), ("product",)]]


def test_a_need_without_identity_is_made_every_time(tmp_path: Path) -> None:
    """Nothing is written for it."""
    for _ in range(2):
        with started(tmp_path, [UNKEPT]) as workers:
            workers.map(tasks(1), part="1")
    assert ran(tmp_path) == ["0", "0"]
    assert not (tmp_path / "kept").exists()


def test_two_needs_of_one_identity_share_what_is_kept(tmp_path: Path) -> None:
    """Two vectors of one model: what was kept for the first is found for the second."""
    with started(tmp_path, [ARRAY]) as workers:
        workers.map(tasks(2), part="1")
    with started(tmp_path, [Need("again", ARRAY.identity, np.ndarray)]) as workers:
        outcomes = workers.map(tasks(2), part="1")
    assert [outcome["again"].tolist() for outcome in outcomes] == [[0], [3]]


def test_a_rerun_after_a_kill_makes_the_rest_in_the_batches_it_would_have_been_in(tmp_path: Path) -> None:
    """A driver killed at its fifth batch, once something was kept; then only what was not kept is run."""
    killed = subprocess.run([sys.executable, "-c", DRIVER, str(tmp_path), "at_9=kill"], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    kept = set(Kept(tmp_path / "kept", str(PRODUCT.identity)).read("1"))
    kept &= Kept(tmp_path / "kept", str(ARRAY.identity)).read("1").keys()
    assert kept
    (tmp_path / "ran.txt").unlink()

    with started(tmp_path, [PRODUCT, ARRAY]) as workers:
        outcomes = workers.map(tasks(12), part="1")
    (tmp_path / "other").mkdir()
    with started(tmp_path / "other", [PRODUCT, ARRAY]) as workers:
        undisturbed = workers.map(tasks(12), part="1")
    assert list(map(bits, outcomes)) == list(map(bits, undisturbed))
    batches = [f"{first} {first + 1}" for first in range(0, 12, 2) if not kept >= {f"key{first}", f"key{first + 1}"}]
    assert ran(tmp_path) == batches
    assert len(batches) < 6


def bits(outcomes: dict[str, Any]) -> list[bytes]:
    """Every bit of numbers and arrays."""
    return [np.asarray(value).tobytes() for value in outcomes.values()]


def test_batches_are_cut_before_what_is_kept_is_left_out(tmp_path: Path) -> None:
    """Of 0 1, 2 3, 4 5 with 1 and 4 kept remain 0, 2 3 and 5: no row gets another company."""
    kept = Kept(tmp_path / "kept", str(PRODUCT.identity))
    kept.write("1", {"key1": encoded_outcome(3.0), "key4": encoded_outcome(12.0)})
    with started(tmp_path) as workers:
        assert products(workers.map(tasks(6), part="1")) == [0, 3, 6, 9, 12, 15]
    assert ran(tmp_path) == ["0", "2 3", "5"]


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    """One changed byte in what was kept: all of that file is run again, and outcomes are right."""
    with started(tmp_path) as workers:
        workers.map(tasks(2), part="1")
    path = next(tmp_path.rglob("*.parquet"))
    raw = path.read_bytes()
    path.write_bytes(raw[:50] + bytes([raw[50] ^ 4]) + raw[51:])
    with started(tmp_path) as workers:
        assert products(workers.map(tasks(2), part="1")) == [0, 3]
    assert ran(tmp_path) == ["0 1", "0 1"]


def test_what_was_kept_as_another_type_is_made_again(tmp_path: Path) -> None:
    """An identity that should have changed and did not: what does not fit the need is not used."""
    with started(tmp_path, [PRODUCT]) as workers:
        workers.map(tasks(1), part="1")
    with started(tmp_path, [ARRAY._replace(identity=PRODUCT.identity)]) as workers:
        assert workers.map(tasks(1), part="1")[0]["array"].tolist() == [0]


def test_one_file_a_part_is_left(tmp_path: Path) -> None:
    """Two maps of one part leave one file."""
    for count in (2, 4):
        with started(tmp_path) as workers:
            workers.map(tasks(count), part="1")
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_an_error_passes_after_what_is_finished_was_kept(tmp_path: Path) -> None:
    """The worker's own ConnectionError, at the last of three batches; the other two are not run again."""
    with started(tmp_path) as workers, pytest.raises(ConnectionError, match="no answer from the model"):
        workers.map(tasks(6, at_5="unreachable"), part="1")
    with started(tmp_path) as workers:
        assert products(workers.map(tasks(6), part="1")) == [0, 3, 6, 9, 12, 15]
    assert ran(tmp_path) == ["0 1", "2 3", "4 5"]


def test_a_batch_under_way_is_finished_when_another_fails_and_no_other_begun(tmp_path: Path) -> None:
    """Of 200 batches the first fails while the second is under way: that is kept, and most are not run."""
    events = {"at_0": "unreachable", "at_1": "outlast"} | {f"at_{number}": "slow" for number in range(2, 200)}
    with started(tmp_path, batch=1) as workers, pytest.raises(ConnectionError):
        workers.map(tasks(200, **events), part="1")
    kept = Kept(tmp_path / "kept", str(PRODUCT.identity)).read("1")
    assert "key1" in kept
    assert len(kept) == len(ran(tmp_path)) < 100


def test_an_interrupt_passes_after_what_is_finished_was_kept(tmp_path: Path) -> None:
    """Ctrl-C between two batches keeps the first."""
    pool = Watched(tmp_path, interrupt_after=1)
    with (
        Crew(lambda: pool, [PRODUCT], kept=tmp_path / "kept", batch=2, log=print) as workers,
        pytest.raises(KeyboardInterrupt),
    ):
        workers.map(tasks(6), part="1")
    assert len(Kept(tmp_path / "kept", str(PRODUCT.identity)).read("1")) == 2


def test_an_interrupt_ends_a_driver_whose_decoder_hangs(tmp_path: Path) -> None:
    """Long before the item's time limit of two minutes, and what was finished is kept."""
    command = [sys.executable, "-c", DRIVER, str(tmp_path), "at_9=hang"]
    driver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    while not ((tmp_path / "hanging").exists() and list(tmp_path.rglob("*.parquet"))):
        time.sleep(0.01)
    driver.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in driver.communicate(timeout=60)[1]
    assert Kept(tmp_path / "kept", str(PRODUCT.identity)).read("1")


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, b"KeyboardInterrupt"), (signal.SIGTERM, b"DagsterExecutionInterruptedError")]
)
def test_an_interrupt_ends_a_driver_whose_model_is_busy(tmp_path: Path, number: int, name: bytes) -> None:
    """In seconds, though a model may take minutes; what is finished a second after the interrupts, two, is kept."""
    events = ["at_0=endless", "at_2=until_interrupted"]
    command = [sys.executable, "-c", DRIVER, str(tmp_path), *events]
    driver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    while not (tmp_path / "endless").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    interrupted_at = time.monotonic()
    driver.send_signal(number)
    time.sleep(0.2)
    driver.send_signal(number)
    (tmp_path / "interrupted").touch()
    try:
        printed = driver.communicate(timeout=GRACE_S + 20)[1]
    finally:
        driver.kill()
    assert name in printed
    assert time.monotonic() - interrupted_at < GRACE_S + 5
    assert driver.returncode == 130, printed.decode()  # torch, ended in the midst of a model, would make it SIGABRT's
    assert Kept(tmp_path / "kept", str(PRODUCT.identity)).read("1").keys() == {"key2", "key3"}


def test_passing_refusals_are_not_kept_and_others_are(tmp_path: Path) -> None:
    """Out of memory and a file that can't be read are tried again the next time; one without sound is not."""
    for _ in range(2):
        with started(tmp_path, batch=1) as workers:
            outcomes = workers.map(tasks(4, at_0="crowded", at_1="refuse", at_2="spoilt"), part="1")
        assert products(outcomes) == ["out_of_memory", "unreadable", "no_audio", 9]
    assert Kept(tmp_path / "kept", str(PRODUCT.identity)).read("1").keys() == {"key2", "key3"}
    with started(tmp_path, batch=1) as workers:
        assert products(workers.map(tasks(4), part="1")) == [0, 3, "no_audio", 9]


def test_a_refusal_without_location_gets_the_key(tmp_path: Path) -> None:
    """Preparers do not know what an item is called."""
    with started(tmp_path, preparers=1) as workers:
        outcomes = workers.map(tasks(2, at_1="die"), part="1")
    assert products(outcomes) == [0, "preparer_died"]
    assert outcomes[1]["product"].location == "key1"


def test_a_result_of_another_type_is_an_error(tmp_path: Path) -> None:
    """The need's name and type are in it."""
    with started(tmp_path, [PRODUCT._replace(kind=str)]) as workers, pytest.raises(ValueError, match="product of key0"):
        workers.map(tasks(1), part="1")


def test_the_log_has_a_line_a_part(tmp_path: Path) -> None:
    """Rows, of which kept and refused; the rate only if something was made."""
    lines: list[str] = []
    with started(tmp_path, log=lines.append) as workers:
        workers.map(tasks(4, at_1="spoilt"), part="1")
        workers.map(tasks(4, at_1="spoilt"), part="1")
    assert lines[0].startswith("1: 4 rows, 0 kept, 1 refused, ")
    assert lines[0].endswith(" rows/s")
    assert lines[1] == "1: 4 rows, 4 kept, 1 refused"


def test_workers_stay_between_parts(tmp_path: Path) -> None:
    """One start for two parts."""
    with started(tmp_path) as workers:
        workers.map(tasks(2), part="1")
        workers.map(tasks(2), part="2")
    assert noted(tmp_path) == ["started", "0 1", "0 1"]


def test_one_batch_is_prepared_while_the_model_has_another(tmp_path: Path) -> None:
    """Each of two batches waits for the other, so that they end only if they overlap."""
    Pair.is_running.clear()
    Pair.is_prepared.clear()
    pair = [Task("one", Item(1.0)), Task("two", Item(2.0))]
    with started(tmp_path, worker="tests.resources.some_workers:Pair", batch=1) as workers:
        assert products(workers.map(pair, part="1")) == [1, 2]
