"""Files of other people, opened so that nothing outside their folder can be reached."""

import os
import stat
from io import BufferedReader
from pathlib import Path


def open_inside(root: Path, path: str) -> BufferedReader:
    """The regular file `path` under `root`, open for reading; no link below the root is followed.

    Raises OSError for a missing file, a link, a FIFO, a device, or a path that leaves the root.
    """
    *folders, name = Path(path).parts
    if ".." in folders or name == ".." or Path(path).is_absolute():
        raise OSError(f"{path!r} leaves the folder; expected a relative path without '..'")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Non-blocking: to open a FIFO that nobody writes to would wait for ever.
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(f"{path!r} is not a regular file")
    return os.fdopen(opened, "rb")
