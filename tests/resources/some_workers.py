"""Workers for tests, by name "tests.resources.some_workers:<Class>"; what an item's name says is done to it."""

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resources.refusals import Refusal
from resources.stations import Order


class Settings(NamedTuple):
    """The folder where what was run is written down, and what values are multiplied by."""

    folder: str
    factor: float = 2.0


class Item(NamedTuple):
    """A value, what happens to it, and how many samples it has."""

    value: float
    event: str = ""
    size: int = 1


class Samples(NamedTuple):
    """An item prepared: its value, `size` times."""

    samples: NDArray[np.float32]


class Multiplier:
    """`product`: an item's value times the factor; `array`: that of all its samples. Writes down what it ran."""

    settings = Settings
    item = Item
    prepared = Samples

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        note(settings, "started")

    @staticmethod
    def prepare(settings: Settings, item: Item, wants: tuple[str, ...]) -> Samples | Refusal:
        """The samples; or the end of the process, a wait, an error, a refusal, or more memory than there may be."""
        if item.event.startswith("die") and Multiplier._is_still(settings, item.event, "deaths"):
            os.kill(os.getpid(), signal.SIGKILL)
        if item.event.startswith("hang") and Multiplier._is_still(settings, item.event, "hanging"):
            time.sleep(1000)
        if item.event == "fail":
            raise KeyError("an odd thing")
        if item.event == "refuse":
            return Refusal("some file", "", "unreadable", "noise")
        if item.event == "spoilt":
            return Refusal("some file", "", "no_audio", "noise")
        if item.event == "tell":
            (Path(settings.folder) / "environment").write_text("\n".join(sorted(os.environ)))
        if item.event == "grow":
            np.ones(5 << 30, np.uint8)
        return Samples(np.full(item.size, item.value, np.float32))

    @staticmethod
    def _is_still(settings: Settings, event: str, name: str) -> bool:
        """Whether it is to happen again, as often as the event's number says, without one for ever; notes it."""
        if not settings.folder:
            return True
        path, most = Path(settings.folder) / name, event.strip("adeghin")
        before = path.read_text() if path.exists() else ""
        is_still = not most or len(before) < int(most)
        path.write_text(before + "x" * is_still)
        return is_still

    def run(self, orders: Sequence[Order], prepared: Sequence[Samples]) -> list[dict[str, Any]]:
        """The products, after what the events ask for; a refusal where one says `crowded`."""
        for order in orders:
            if order.item.event == "kill":
                self._kill()
            if order.item.event == "unreachable":
                (Path(self._settings.folder) / "failed").touch()
                raise ConnectionError("no answer from the model")
            if order.item.event == "outlast":
                self._wait_for("failed")
                time.sleep(0.1)
            if order.item.event == "endless":
                self._work_endlessly()
            if order.item.event == "until_interrupted":
                self._wait_for("interrupted")
                time.sleep(1)
            if order.item.event == "slow":
                time.sleep(0.01)
        note(self._settings, " ".join(f"{order.item.value:g}" for order in orders))
        return [self._outcomes(order, ready) for order, ready in zip(orders, prepared, strict=True)]

    def _outcomes(self, order: Order, ready: Samples) -> dict[str, Any]:
        if order.item.event == "crowded":
            return dict.fromkeys(order.wants, Refusal("model", "", "out_of_memory", "of the GPU"))
        made = {
            "product": order.item.value * self._settings.factor,
            "array": ready.samples * np.float32(self._settings.factor),
        }
        return {want: made[want] for want in order.wants}

    def _work_endlessly(self) -> None:
        import torch

        (Path(self._settings.folder) / "endless").touch()
        ones = torch.ones(500, 500)
        while True:
            ones @ ones

    def _wait_for(self, name: str) -> None:
        while not (Path(self._settings.folder) / name).exists():
            time.sleep(0.01)

    def _kill(self) -> None:
        folder = Path(self._settings.folder)
        if (folder / "killed").exists():
            return
        while len(list(folder.rglob("*.parquet"))) < 2:
            time.sleep(0.01)
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Pair:
    """The model may end the first item only when the second is prepared, which begins only while the model is busy."""

    settings = Settings
    item = Item
    prepared = Samples
    is_running = threading.Event()
    is_prepared = threading.Event()

    def __init__(self, settings: Settings) -> None:
        pass

    @staticmethod
    def prepare(settings: Settings, item: Item, wants: tuple[str, ...]) -> Samples:
        """Waits, for the second item, until the model has the first."""
        if item.value == 2:
            assert Pair.is_running.wait(30)
            Pair.is_prepared.set()
        return Samples(np.full(item.size, item.value, np.float32))

    def run(self, orders: Sequence[Order], prepared: Sequence[Samples]) -> list[dict[str, Any]]:
        """Waits, with the first item, until the second is prepared."""
        if orders[0].item.value == 1:
            Pair.is_running.set()
            assert Pair.is_prepared.wait(30)
        return [{"product": order.item.value} for order in orders]


def note(settings: Settings, line: str) -> None:
    """Adds a line to what was run."""
    with (Path(settings.folder) / "ran.txt").open("a") as file:
        file.write(f"{line}\n")


def noted(folder: Path) -> list[str]:
    """The lines of what was run."""
    path = folder / "ran.txt"
    return path.read_text().splitlines() if path.exists() else []
