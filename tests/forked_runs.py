"""Starts runs in children that have imported everything already; run as a program by test_paid_run.py.

Each line of its input is JSON: arguments of `dagster_project.run`, further environment, and where to print. The child's
number comes back as a line, and its exit code (negative: a signal) as another when the input says {"wait": number}. The
parent only forks: it starts no threads.
"""

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import assets
from dagster_project import definitions, filling, run, summary

HEAVY = ("transformers", "sklearn", "dagster._core.storage.sqlite_storage", "resources.gemini_batch")
GOOGLE = ("google.genai", "google.generativeai", "google.ai.generativelanguage")
assert definitions, "and the other two: `run` imports them late"
assert filling
assert summary


def main() -> None:
    """Obeys its input to the end."""
    modules = [module.name for module in walk_packages(assets.__path__, "assets.")]
    for name in (*HEAVY, *GOOGLE, *modules):
        import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            said = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        elif not (said := os.fork()):
            _be_a_run(**order)
        print(said, flush=True)


def _be_a_run(arguments: list[str], environment: dict[str, str], printed: str) -> None:
    """Does as `python -m dagster_project.run` does, and ends."""
    with Path(printed).open("wb") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    os.environ.update(environment)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
