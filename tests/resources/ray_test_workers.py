"""Workers that the tests of the Ray pool have done: importable in its actors from the project's root."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resources.checkpoints import CheckpointError
from resources.stations import Order

MEET_S = 30.0


class Sines:
    """Writes who it is to `folder`, and gives for each seed a vector whose bits are easily changed."""

    settings = str
    item = str
    prepared = str

    def __init__(self, settings: str) -> None:
        self._folder = Path(settings)
        (self._folder / f"born-{os.getpid()}").touch()

    @staticmethod
    def prepare(settings: str, item: str, wants: tuple[str, ...]) -> str:
        """Nothing to prepare."""
        return item

    def run(self, orders: Sequence[Order], prepared: Sequence[str]) -> list[dict[str, Any]]:
        """Acts as the items say, and gives their vectors."""
        for item in prepared:
            self._act(*item.partition(":")[::2])
        return [{want: _vector(item) for want in order.wants} for order, item in zip(orders, prepared, strict=True)]

    def _act(self, verb: str, mark: str) -> None:
        if verb == "die" or (verb == "die_once" and self._is_first(mark)):
            os.kill(os.getpid(), signal.SIGKILL)
        elif verb == "raise":
            raise CheckpointError(mark)
        elif verb == "meet":
            (self._folder / mark).touch()
            self._wait_for(2, "meet*")
        elif verb == "linger" and self._is_first(mark):
            self._wait_for(1, "let-go")

    def _is_first(self, mark: str) -> bool:
        try:
            (self._folder / mark).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _wait_for(self, count: int, pattern: str) -> None:
        end = time.monotonic() + MEET_S
        while len(list(self._folder.glob(pattern))) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{count} files {pattern} within {MEET_S} s")
            time.sleep(0.02)


class Unmakable(Sines):
    """Its constructor fails."""

    def __init__(self, settings: str) -> None:
        raise ConnectionError(f"no way to {Path(settings).name}")


class Stillborn(Sines):
    """Its process dies in the constructor."""

    def __init__(self, settings: str) -> None:
        os._exit(1)


class Unspeakable(Sines):
    """Its error can't be made again from its arguments."""

    def run(self, orders: Sequence[Order], prepared: Sequence[str]) -> list[dict[str, Any]]:
        """Fails."""
        raise TwoWordsError("two", "words")


class TwoWordsError(Exception):
    """Keeps one argument of two, so that unpickling it fails."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def _vector(item: str) -> np.ndarray[Any, Any]:
    return np.sin(np.arange(40_000, dtype=np.float32) * len(item))
