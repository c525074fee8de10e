"""Starts runs in children that have imported nearly everything already; run as a program by journey.py.

With `--definitions` the parent has loaded Dagster's definitions too, for runs that all have its environment.
Each line of its input is JSON: arguments of `dagster_project.run`, the whole environment, and where to print. The
child's number comes back as a line, and its exit code (negative: a signal) as another when the input says
{"wait": number, "most_s": seconds}; a child that takes longer is killed. The parent only forks: it starts no threads.
"""

import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import assets
from dagster_project import run

HEAVY = (
    "dagster._core.storage.sqlite_storage",
    "lancedb",
    "librosa",
    "matplotlib.figure",
    "resources.gemini_batch",
    "sklearn",
    "tensorboardX",
    "transformers.models.llama.modeling_llama",
)
GOOGLE = ("google.genai", "google.generativeai", "google.ai.generativelanguage")
OF_AN_ENVIRONMENT = "assets.partitions"  # what imports it holds the settings of the moment
DEFINITIONS = "--definitions"


def preload() -> None:
    """Imports what a run imports as it goes, but for what reads the environment."""
    modules = [module.name for module in walk_packages(assets.__path__, "assets.")]
    free = [name for name in modules if not name.endswith(".defs") and name != OF_AN_ENVIRONMENT]
    for name in (*HEAVY, *GOOGLE, *free):
        import_module(name)


def main() -> None:
    """Obeys its input to the end."""
    preload()
    assert OF_AN_ENVIRONMENT not in sys.modules
    if DEFINITIONS in sys.argv:
        for name in ("definitions", "filling", "summary"):
            import_module(f"dagster_project.{name}")
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            said = _wait(order["wait"], order["most_s"])
        elif not (said := os.fork()):
            _be_a_run(**order)
        print(said, flush=True)


def _be_a_run(arguments: list[str], environment: dict[str, str], printed: str) -> None:
    """Does as `python -m dagster_project.run` does, and ends."""
    with Path(printed).open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _wait(child: int, most_s: float) -> int:
    ends = time.monotonic() + most_s
    while time.monotonic() < ends:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
