"""`python -m dagster_project.ui`, behind `make ui`: `dagster dev` on this machine only, with the lake's own home."""

import os
import sys
from collections.abc import Sequence

from dagster_project.home import opened, reap_dead_runs
from dagster_project.settings import PROJECT, settings


def main(arguments: Sequence[str]) -> None:
    """Makes the home if there is none and becomes `dagster dev`; further arguments are passed on."""
    home = settings().home
    with opened(home) as instance:
        reap_dead_runs(instance)
    os.environ |= {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(PROJECT / "workspace.yaml"), "-h", "127.0.0.1"]
    os.execv(sys.executable, [*command, *(arguments or ["-p", "3000"])])  # noqa: S606 - our own interpreter


if __name__ == "__main__":
    main(sys.argv[1:])
