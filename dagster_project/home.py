"""Dagster's home: made whole before anything uses it, and cleaned of runs that died with their process."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance.config import DAGSTER_CONFIG_YAML_FILENAME

TEMPLATE = Path(__file__).with_name("dagster.yaml")
POOLS = {"gpu": 1, "gemini": 1, "lancedb": 1}
PROCESS_TAG = "music/process"
UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


@contextmanager
def opened(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of a home, which is made first if there is none."""
    make_home(home)
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def make_home(home: Path) -> None:
    """A home with its configuration, databases and pool limits.

    It is made aside and renamed when complete: a half-made database stays broken, and so does one that two processes
    make.
    """
    if home.exists():
        written = home / f"{DAGSTER_CONFIG_YAML_FILENAME}-{uuid.uuid4().hex}"
        shutil.copyfile(TEMPLATE, written)
        written.replace(home / DAGSTER_CONFIG_YAML_FILENAME)
        return
    staged = home.with_name(f"{home.name}-{uuid.uuid4().hex}")
    staged.mkdir(parents=True)
    shutil.copyfile(TEMPLATE, staged / DAGSTER_CONFIG_YAML_FILENAME)
    with dg.DagsterInstance.from_config(str(staged)) as instance:
        for pool, limit in POOLS.items():
            instance.event_log_storage.set_concurrency_slots(pool, limit)
        instance.get_run_records(limit=1)
        instance.get_dynamic_partitions("mpd_slice")
        instance.schedule_storage.all_instigator_state() if instance.schedule_storage else None
    try:
        staged.rename(home)
    except OSError:  # another process was faster
        shutil.rmtree(staged)


def reap_dead_runs(instance: dg.DagsterInstance) -> int:
    """Marks as failed the runs of this machine whose process is gone, and frees their pool slots. Returns how many."""
    dead = [
        record.dagster_run
        for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED))
        if not _is_alive(record.dagster_run.tags.get(PROCESS_TAG, ""))
    ]
    for run in dead:
        instance.report_run_failed(run, "its process is gone")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(dead)


def process_tag() -> str:
    """Names this process across reuse of its number: number and start time."""
    return f"{os.getpid()}:{_started_at(os.getpid())}"


def _is_alive(tag: str) -> bool:
    process, _, started_at = tag.partition(":")
    if not process:
        return True  # of another launcher: its own monitoring decides
    return _started_at(int(process)) == started_at


def _started_at(process: int) -> str:
    stat = Path(f"/proc/{process}/stat")
    return stat.read_text().rpartition(")")[2].split()[19] if stat.exists() else ""
