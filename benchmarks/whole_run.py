"""`make run` on the sample world, after the install: wall time, peak memory, and the share of it that is Dagster's own.

Ours is what the assets' functions take, reading and committing included; the rest is Dagster: planning, events, run
bookkeeping, imports of the definitions. Takes as long as `make run`.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.claims import Claim

MOST_SHARE, MOST_S, MOST_GB = 0.25, 600.0, 4.0


def measure() -> list[Claim]:
    """One run of the embedded profile in a process of its own, on a fresh sample world."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "MUSIC_LAKE": f"{folder}/lake", "MUSIC_RAW": f"{folder}/sample"}
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.whole_run", folder]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    share = 1 - figures["assets_s"] / figures["fill_s"]
    total_s, peak_gb = figures["sample_s"] + figures["fill_s"], figures["peak_gb"]
    return [
        Claim(
            "Dagster's own share of make run",
            share,
            1 - share,
            (1 - share) / share,
            "<= .25",
            share <= MOST_SHARE,
            "of 1",
        ),
        Claim("make run after the install", total_s, MOST_S, MOST_S / total_s, "<= 600 s", total_s <= MOST_S, "s"),
        Claim(
            "make run, peak memory of its process",
            peak_gb,
            MOST_GB,
            MOST_GB / peak_gb,
            "<= 4 GB",
            peak_gb <= MOST_GB,
            "GB",
        ),
    ]


def _run(folder: Path) -> dict[str, float]:
    from resources.sample.world import WorldSize, make_world

    started = time.perf_counter()
    make_world(folder / "sample", size=WorldSize(), seed=7)
    made = time.perf_counter()
    assets_s = _fill()
    ended = time.perf_counter()
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"sample_s": made - started, "fill_s": ended - made, "assets_s": assets_s, "peak_gb": peak_gb}


def _fill() -> float:
    """Fills the lake of the environment; the seconds spent inside assets' functions, reports to Dagster taken off."""
    import dagster as dg

    from assets import work
    from assets.making import Making
    from dagster_project import filling, home
    from dagster_project.settings import settings
    from dagster_project.stages import STAGES
    from resources.lake import Lake, Record
    from resources.raw import RawFolder
    from resources.tables import Table

    spent_s = 0.0
    started: dict[int, float] = {}
    begin, report, results = work.Work.__init__, work.Work.report, work.Work.results

    def timed_begin(self: work.Work, context: dg.AssetExecutionContext, making: Making) -> None:
        begin(self, context, making)
        started[id(self)] = time.perf_counter()

    def timed_report(self: work.Work, table: Table, record: Record) -> None:
        nonlocal spent_s
        before = time.perf_counter()
        report(self, table, record)
        spent_s -= time.perf_counter() - before

    def timed_results(self: work.Work) -> Iterator[dg.MaterializeResult[None]]:
        nonlocal spent_s
        spent_s += time.perf_counter() - started.pop(id(self))
        yield from results(self)

    work.Work.__init__, work.Work.report, work.Work.results = timed_begin, timed_report, timed_results  # type: ignore[method-assign]
    chosen = settings()
    with home.opened(chosen.home) as instance:
        world = filling.World(instance, Lake(root=str(chosen.lake)), RawFolder(root=str(chosen.raw)), chosen.profile)
        for step in filling.fill(world, stages=STAGES):
            if step.error:
                raise RuntimeError(f"{step.asset}: {step.error}")
    return spent_s


if __name__ == "__main__":
    print(json.dumps(_run(Path(sys.argv[1]))))
