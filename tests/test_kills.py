"""A filling survives being killed anywhere; a file of its own, so that it runs beside the journey."""

import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from assets.making import MAKINGS
from dagster_project import definitions
from resources.lake import Lake

assert definitions  # fills MAKINGS


def test_dying_at_many_tables_ends_in_the_same_content(
    journey: ModuleType, world: Path, filled: Path, tmp_path: Path
) -> None:
    """A filling that is killed at every eighth table or so, and started again, ends as an undisturbed one."""
    lake = tmp_path / "lake"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kill_sweep.py")), str(tmp_path / "deaths.txt")],
        env={**journey.environment(world, lake), "PYTHONPATH": str(journey.PROJECT)},
        cwd=journey.PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert int(done.stdout.split()[-1]) > len(MAKINGS) / 16
    lakes = [Lake(root=str(root)) for root in (lake, filled)]
    for path, making in MAKINGS.items():
        table = next(table for table in making.tables if table.path == path)
        assert lakes[0].version(table) == lakes[1].version(table), path


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_filling_that_is_stopped_starts_no_other_asset(
    signal_number: int, journey: ModuleType, world: Path, tmp_path: Path
) -> None:
    """Whatever it is at when the signal comes, it ends there and says how to go on."""
    command = [sys.executable, "-m", "dagster_project.run", "--stages", "sources"]
    environment = journey.environment(world, tmp_path / "lake", PYTHONUNBUFFERED="1")
    with subprocess.Popen(
        command, env=environment, cwd=journey.PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        assert run.stderr
        for line in run.stdout:
            if "sources/plays" in line:
                break
        run.send_signal(signal_number)
        assert "sources/track_facts" not in run.stdout.read()
        assert "the same command goes on from here" in run.stderr.read()
        assert run.wait(timeout=60) == 130
