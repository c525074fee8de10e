"""`python -m dagster_project.run`, behind `make run`: the sample world if none is given, every asset, a summary."""

import argparse
import os
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack

import dagster as dg

from dagster_project.settings import Settings, settings
from dagster_project.stages import STAGES
from resources.lake import Lake, LakeError
from resources.raw import RawFolder

SAMPLE_SEED = 7
INTERRUPTED = 130  # as shells count it


def main(arguments: Sequence[str]) -> int:
    """Fills the lake and prints what is in it. Returns 1 if an asset could not be filled, 130 if it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m dagster_project.run", description=__doc__)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="fill only these")
    parser.add_argument("--slice", metavar="NAME", help="make this slice again, then what depends on it")
    parser.add_argument("--verify", action="store_true", help="read every committed byte, make again what is damaged")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers would print its own among the assets
    try:
        chosen = settings()
        print(f"profile {chosen.profile.name}, published data {chosen.raw}, lake {chosen.lake}", flush=True)
        return _run(chosen, options)
    except (ValueError, OSError, LakeError) as error:
        print(error, file=sys.stderr)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except dg.DagsterError as error:
        print(f"{type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
    return 1


def _run(chosen: Settings, options: argparse.Namespace) -> int:
    # After the environment is checked: definitions read it while they load.
    from dagster_project import definitions, summary
    from dagster_project.filling import BusyError, World, fill, forget, only_filling
    from dagster_project.home import opened, reap_dead_runs

    assert definitions, "every asset declares itself while they load"
    started = time.perf_counter()
    if chosen.is_sample:
        _make_sample(chosen)
    elif not chosen.raw.is_dir():
        raise ValueError(f"MUSIC_RAW={chosen.raw} is not a folder: name the folder that holds mpd/, lastfm/, ...")
    lake, raw = Lake(root=str(chosen.lake)), RawFolder(root=str(chosen.raw))
    if options.slice and options.slice not in raw.slices():
        raise ValueError(f"no {options.slice}.json under {raw.mpd}: name a slice file without .json")
    steps = []
    with ExitStack() as stack:
        try:
            stack.enter_context(only_filling(lake, is_waiting=False))
        except BusyError as error:
            raise ValueError(str(error)) from error
        world = World(stack.enter_context(opened(chosen.home)), lake, raw, chosen.profile)
        reap_dead_runs(world.instance)
        if options.slice:
            forget(world, options.slice)
        for step in fill(world, stages=options.stages, is_verifying=options.verify):
            steps.append(step)
            print(summary.step_line(step), flush=True)
        print(summary.summary(world, steps, seconds=time.perf_counter() - started))
    return 1 if any(step.error for step in steps) else 0


def _make_sample(chosen: Settings) -> None:
    from resources.sample.world import WorldSize, make_world

    made = make_world(chosen.raw, size=WorldSize(), seed=SAMPLE_SEED)
    counts = f"{made.playlists:,} playlists, {made.plays:,} plays, {made.recordings:,} recordings"
    print(f"sample world: {counts}{'' if made.is_new else ', as it was'}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
