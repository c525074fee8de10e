"""`python -m dagster_project.run`, behind `make run`: the sample world if none is given, every asset, a summary."""

import argparse
import fcntl
import os
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

import dagster as dg

from dagster_project.settings import Settings, settings
from dagster_project.stages import INDEX, STAGES

SAMPLE_SEED = 7


def main(arguments: Sequence[str]) -> int:
    """Fills the lake and prints what is in it. Returns 1 if an asset could not be filled."""
    parser = argparse.ArgumentParser(prog="python -m dagster_project.run", description=__doc__)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(INDEX), help="fill only these")
    parser.add_argument("--slice", metavar="NAME", help="make this slice again, then what depends on it")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    chosen = settings()
    print(f"profile {chosen.profile.name}, published data {chosen.raw}, lake {chosen.lake}", flush=True)
    with ExitStack() as stack:
        if not _is_only_one(chosen, stack):
            print(f"another run fills {chosen.lake}: wait for it, or stop it", file=sys.stderr)
            return 1
        return _run(chosen, options.stages, options.slice)


def _is_only_one(chosen: Settings, stack: ExitStack) -> bool:
    chosen.lake.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context((chosen.lake / ".lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run(chosen: Settings, stages: Sequence[str], slice_name: str | None) -> int:
    # After the environment is settled: definitions read it while they load.
    from dagster_project import definitions, summary
    from dagster_project.filling import World, fill, forget
    from dagster_project.home import opened, reap_dead_runs
    from resources.lake import Lake
    from resources.raw import RawFolder

    assert definitions, "every asset declares itself while they load"
    started = time.perf_counter()
    if chosen.is_sample:
        _make_sample(chosen)
    elif not chosen.raw.is_dir():
        print(f"MUSIC_RAW={chosen.raw} is not a folder: name the folder that holds mpd/, lastfm/, ...", file=sys.stderr)
        return 1
    with opened(chosen.home) as instance:
        reap_dead_runs(instance)
        world = World(instance, Lake(root=str(chosen.lake)), RawFolder(root=str(chosen.raw)), chosen.profile)
        if slice_name and slice_name not in world.raw.slices():
            print(f"no {slice_name}.json under {world.raw.mpd}: name a slice file without .json", file=sys.stderr)
            return 1
        if slice_name:
            forget(world, slice_name)
        steps = []
        for step in fill(world, stages=stages):
            steps.append(step)
            print(summary.step_line(step), flush=True)
        print(summary.summary(world.lake, steps, seconds=time.perf_counter() - started))
    return 1 if any(step.error for step in steps) else 0


def _make_sample(chosen: Settings) -> None:
    from resources.sample.world import WorldSize, make_world

    made = make_world(chosen.raw, size=WorldSize(), seed=SAMPLE_SEED)
    counts = f"{made.playlists:,} playlists, {made.plays:,} plays, {made.recordings:,} recordings"
    print(f"sample world: {counts}{'' if made.is_new else ', as it was'}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
