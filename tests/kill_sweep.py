"""Fills a lake in children that die at a commit of every eighth table, more or less; run as a program by test_kills.py.

Each child goes on where the one before it died, and dies as if killed, without a word to Dagster, right after the first
commit record of such a table that no child died at yet. The parent only forks: it imports what children need, and
starts no threads. Prints how many children died.
"""

import os
import sys
from pathlib import Path
from zlib import crc32

from forked_runs import preload

from dagster_project import definitions, filling, home
from dagster_project.settings import settings
from dagster_project.stages import STAGES
from resources import lake as lake_module
from resources.lake import Lake
from resources.raw import RawFolder

DIED, FAILED = 9, 1
SHARE = 8  # one in so many tables: all of them together would take minutes
assert definitions


def main(deaths: Path) -> None:
    """Forks until a child ends alive."""
    preload()
    deaths.touch()
    while True:
        child = os.fork()
        if child == 0:
            os._exit(fill(deaths))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != DIED:
            break
    print(len(deaths.read_text().split()))
    sys.exit(code)


def fill(deaths: Path) -> int:
    """Fills the lake of the environment, or dies on the way."""
    replace = lake_module.replace_bytes
    died_at = set(deaths.read_text().split())

    def replace_and_die(path: Path, content: bytes) -> None:
        replace(path, content)
        name = "/".join(path.parts[-4:-1])
        if path.suffix == ".json" and crc32(name.encode()) % SHARE == 0 and name not in died_at:
            with deaths.open("a") as file:
                file.write(f"{name}\n")
            os._exit(DIED)

    lake_module.replace_bytes = replace_and_die
    chosen = settings()
    with home.opened(chosen.home) as instance:
        home.reap_dead_runs(instance)
        world = filling.World(instance, Lake(root=str(chosen.lake)), RawFolder(root=str(chosen.raw)), chosen.profile)
        errors = [f"{step.asset}: {step.error}" for step in filling.fill(world, stages=STAGES) if step.error]
    print(*errors, sep="\n", flush=True)
    return FAILED if errors else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
