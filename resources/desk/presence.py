"""Who is at work: each open ledger holds a lock on a file of its own, which the kernel drops when its process ends.

`<folder>/desks/<name>`. Look, come and go only inside a transaction of the ledger: then no file is seen that is not
locked yet. A child that a process forks without starting another program holds the lock on.
"""

import fcntl
import uuid
from io import TextIOWrapper
from pathlib import Path

from resources.files import remove


class Presence:
    """One ledger's own file, locked until `leave`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "desks"
        self._folder.mkdir(exist_ok=True)
        self.name = uuid.uuid4().hex
        self._lock = (self._folder / self.name).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def leave(self) -> None:
        """Removes the file: whoever looks now finds nobody."""
        remove(self._folder / self.name)
        self._lock.close()

    def is_here(self, name: str) -> bool:
        """Whether the process that came as `name` is alive."""
        if name == self.name:
            return True
        try:
            file = (self._folder / name).open()
        except FileNotFoundError:
            return False
        with file:
            return not _can_lock(file)

    def sweep(self) -> None:
        """Removes the files of those who are gone."""
        for path in self._folder.iterdir():
            if not self.is_here(path.name):
                remove(path)


def _can_lock(file: TextIOWrapper) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
