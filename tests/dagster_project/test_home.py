"""Dagster's home: whole or not there, and cleaned of runs whose process died."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from dagster_project.home import POOLS, PROCESS_TAG, TEMPLATE, make_home, opened, process_tag, reap_dead_runs

DIE_ON_THE_WAY = """
import os, sys
from pathlib import Path
import dagster as dg
from dagster_project.home import make_home
dg.DagsterInstance.from_config = lambda path: os._exit(9)
make_home(Path(sys.argv[1]))
"""
MAKE_AND_USE = """
import sys
from pathlib import Path
from dagster_project.home import opened
print("ready", flush=True)
sys.stdin.readline()
with opened(Path(sys.argv[1])) as instance:
    instance.add_dynamic_partitions("mpd_slice", [sys.argv[2]])
    print(sorted(info.slot_count for info in map(instance.event_log_storage.get_concurrency_info, sys.argv[3:])))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a home may be made; the environment is put back afterwards."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    return tmp_path / "lake/.dagster"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory):
    """The instance of a home."""
    home = tmp_path_factory.mktemp("lake") / ".dagster"
    make_home(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def limits(instance: dg.DagsterInstance) -> dict[str, int]:
    """The slots of each pool."""
    return {pool: instance.event_log_storage.get_concurrency_info(pool).slot_count for pool in POOLS}


def test_a_home_is_made_whole(home: Path) -> None:
    """The first use makes configuration, databases and the limit of every pool, and nothing else is left beside it."""
    with opened(home) as instance:
        assert limits(instance) == POOLS
        assert instance.get_run_records() == []
        assert os.environ["DAGSTER_HOME"] == str(home)
    assert (home / "dagster.yaml").read_bytes() == TEMPLATE.read_bytes()
    assert [path.name for path in home.parent.iterdir()] == [".dagster"]


def test_a_home_keeps_its_history(home: Path) -> None:
    """Opening a home again brings its configuration up to date and leaves what Dagster wrote."""
    with opened(home) as instance:
        instance.add_dynamic_partitions("mpd_slice", ["mpd.slice.0-1"])
    (home / "dagster.yaml").write_text("")
    with opened(home) as instance:
        assert instance.get_dynamic_partitions("mpd_slice") == ["mpd.slice.0-1"]
    assert (home / "dagster.yaml").read_bytes() == TEMPLATE.read_bytes()


def test_a_half_made_home_is_not_used(home: Path) -> None:
    """A process that dies on the way leaves no home under that name, and the next one makes a whole one."""
    died = subprocess.run([sys.executable, "-W", "ignore", "-c", DIE_ON_THE_WAY, str(home)], check=False)
    assert died.returncode == 9
    assert home.parent.exists()
    assert not home.exists()
    with opened(home) as instance:
        assert limits(instance) == POOLS


def test_two_processes_at_once_both_succeed(home: Path) -> None:
    """Whoever is faster makes the home, the other one uses it; both see the limits and keep what they write."""
    command = [sys.executable, "-W", "ignore", "-c", MAKE_AND_USE, str(home)]
    processes = [
        subprocess.Popen(
            [*command, name, *POOLS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        printed, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
        assert printed.strip() == str(sorted(POOLS.values()))
    with opened(home) as instance:
        assert set(instance.get_dynamic_partitions("mpd_slice")) == {"a", "b"}
    assert [path.name for path in home.parent.iterdir()] == [".dagster"]


def dead_tag() -> str:
    """The tag of a process that has ended."""
    code = "from dagster_project.home import process_tag; print(process_tag())"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def reused_tag() -> str:
    """The tag of an ended process whose number this process has now."""
    return f"{os.getpid()}:1"


@pytest.mark.parametrize("tag", [dead_tag, reused_tag])
def test_a_run_of_a_dead_process_is_marked_failed(instance: dg.DagsterInstance, tag) -> None:
    """Its process gone, or its number another's by now: the run is failed, says why, and its pool slot is free."""
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: tag()})
    instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "step")
    assert instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 1
    assert reap_dead_runs(instance) == 1
    reaped = instance.get_run_by_id(run.run_id)
    assert reaped
    assert reaped.status is dg.DagsterRunStatus.FAILURE
    assert any("its process is gone" in (event.message or "") for event in instance.all_logs(run.run_id))
    assert instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 0
    assert reap_dead_runs(instance) == 0


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (dg.DagsterRunStatus.STARTED, {PROCESS_TAG: process_tag()}),
        (dg.DagsterRunStatus.STARTED, {}),
        (dg.DagsterRunStatus.SUCCESS, {PROCESS_TAG: "1:1"}),
    ],
    ids=["live", "of another launcher", "ended"],
)
def test_other_runs_are_left_alone(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, tags: dict[str, str]
) -> None:
    """A run of a live process, one of another launcher and one that ended stay as they are."""
    run = create_run_for_test(instance, status=status, tags=tags)
    assert reap_dead_runs(instance) == 0
    found = instance.get_run_by_id(run.run_id)
    assert found
    assert found.status is status
