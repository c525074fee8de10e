"""Fills what is missing, failed, damaged or out of date: the one procedure behind `make run`, the jobs and the
schedule.

Assets are taken in order of the graph. Of each, only the partitions are run whose commit record does not name the code,
settings and inputs that hold now, in contiguous ranges; where nothing is to be made, no run is started.
"""

import fcntl
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import dagster as dg

from assets.making import MAKINGS, Inputs, Making, asset_key
from assets.partitions import MPD_SLICES
from assets.work import FILL_TAG
from dagster_project.home import PROCESS_TAG, process_tag
from resources.lake import Lake
from resources.profile import Profile
from resources.raw import RawFolder

INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__
MODULE = re.compile(r"^(\w+\.)+(?=\w+: )")  # of an error's class
CLOSED = "DeskClosed: "


class Step(NamedTuple):
    """One asset of a filling: how many of its partitions there are and were made, how long that took, and what
    failed.
    """

    asset: str
    stage: str
    partitions: int
    made: int
    seconds: float
    error: str


class World(NamedTuple):
    """What a filling works on."""

    instance: dg.DagsterInstance
    lake: Lake
    raw: RawFolder
    profile: Profile


class BusyError(Exception):
    """Another filling of the same lake is under way."""


def fill(
    world: World,
    *,
    stages: Sequence[str],
    most_partitions: int | None = None,
    tags: Mapping[str, str] | None = None,
    is_verifying: bool = False,
) -> Iterator[Step]:
    """Fills the assets of `stages`, yielding each as it ends; stops after `most_partitions` were run.

    An asset whose inputs failed is not run; its step says so. `is_verifying` reads every committed byte and makes
    again what is damaged; without it only missing and cut files are noticed. To be called within `only_filling`.
    """
    # Here, because the definitions hold the jobs that fill.
    from dagster_project.definitions import defs

    job = defs.resolve_implicit_global_asset_job_def()
    follow_slices(world)
    failed: set[str] = set()
    closed: dict[str, str] = {}  # language models that take no more calls, and why
    left = most_partitions
    for name, making in _assets(stages):
        model = making.asks.model(world.profile) if making.asks else ""
        broken = next((f"{table.path} failed" for table in making.reads if table.path in failed), closed.get(model, ""))
        keys = making.keys(world.instance)
        inputs = Inputs(world.lake, world.raw, world.profile, world.instance)
        stale = [] if broken else [key for key in keys if not _is_done(inputs, making, key, is_verifying=is_verifying)]
        stale = stale if left is None else stale[:left]
        left = None if left is None else left - len(stale)
        started = time.perf_counter()
        error = f"not run: {broken}" if broken else ""
        for block in _blocks(keys, stale):
            error = _run(world, job, making, block, tags or {}) or error
        if error.startswith(CLOSED):
            closed[model] = error
        if error:
            failed.update(table.path for table in making.tables)
            inputs = Inputs(world.lake, world.raw, world.profile, world.instance)
            stale = [key for key in stale if _is_done(inputs, making, key, is_verifying=False)]
        yield Step(name, making.tables[0].stage, len(keys), len(stale), time.perf_counter() - started, error)


@contextmanager
def only_filling(lake: Lake, *, is_waiting: bool) -> Iterator[None]:
    """Holds the lake against other fillings: waits for them, or raises BusyError."""
    Path(lake.root).mkdir(parents=True, exist_ok=True)
    with (Path(lake.root) / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if is_waiting else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise BusyError(f"another run fills {lake.root}: wait for it, or stop it") from error
        yield


def follow_slices(world: World) -> tuple[list[str], list[str]]:
    """Makes every slice file found a partition, and drops the partitions whose file is gone; returns both.

    A dropped slice's tables stay in the lake unread, and count again if its file comes back.
    """
    found, known = world.raw.slices(), world.instance.get_dynamic_partitions("mpd_slice")
    new = [name for name in found if name not in known]
    gone = [name for name in known if name not in found]
    if new:
        world.instance.add_dynamic_partitions("mpd_slice", new)
    for name in gone:
        world.instance.delete_dynamic_partition("mpd_slice", name)
    return new, gone


def forget(world: World, slice_name: str) -> None:
    """Has every asset cut by slices make this slice again at the next filling, although nothing it reads changed."""
    for name, making in MAKINGS.items():
        if making.partitions is MPD_SLICES:
            table = next(table for table in making.tables if table.path == name)
            world.lake.outdate(table, slice_name)


def _assets(stages: Sequence[str]) -> Iterator[tuple[str, Making]]:
    seen: set[int] = set()
    for making in MAKINGS.values():
        if id(making) not in seen and making.tables[0].stage in stages:
            seen.add(id(making))
            yield ", ".join(table.path for table in making.tables), making


def _is_done(inputs: Inputs, making: Making, key: str, *, is_verifying: bool) -> bool:
    lake = inputs.lake
    found = [lake.record(table, key) for table in making.tables]
    records = [record for record in found if record]
    if len(records) < len(found) or not inputs.are_current(making, records):
        return False
    is_there = lake.is_intact if is_verifying else lake.is_whole
    if not all(is_there(table, key) for table in making.tables):
        return False
    partition = key if making.partitions else None
    return all(_reported_version(inputs.instance, record.table, partition) == record.sha256 for record in records)


def _reported_version(instance: dg.DagsterInstance, path: str, partition: str | None) -> str:
    event = instance.get_latest_data_version_record(dg.AssetKey(path.split("/")), partition_key=partition)
    materialization = event.event_log_entry.asset_materialization if event else None
    return (materialization.tags or {}).get("dagster/data_version", "") if materialization else ""


def _blocks(keys: Sequence[str], wanted: Sequence[str]) -> Iterator[list[str]]:
    """Runs of neighbours among `keys` that are wanted."""
    chosen = set(wanted)
    for is_wanted, block in groupby(keys, key=chosen.__contains__):
        if is_wanted:
            yield list(block)


def _run(world: World, job: dg.JobDefinition, making: Making, block: list[str], tags: Mapping[str, str]) -> str:
    tags = {**tags, FILL_TAG: "true", PROCESS_TAG: process_tag()}
    if making.partitions and len(block) > 1:
        tags |= {"dagster/asset_partition_range_start": block[0], "dagster/asset_partition_range_end": block[-1]}
    result = job.execute_in_process(
        instance=world.instance,
        asset_selection=[asset_key(table) for table in making.tables],
        partition_key=block[0] if making.partitions and len(block) == 1 else None,
        tags=tags,
        run_config={
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            "resources": {
                "lake": {"config": world.lake.model_dump()},
                "raw": {"config": world.raw.model_dump()},
                "profile": {"config": world.profile.model_dump()},
            },
        },
        raise_on_error=False,
    )
    failures = result.filter_events(lambda event: event.is_step_failure)
    # Dagster ends the one run that an interrupt finds; without this the filling would go on with the next asset.
    if any(INTERRUPTED in str(event.step_failure_data.error) for event in failures):
        raise dg.DagsterExecutionInterruptedError(f"stopped while {making.tables[0].path} was filled")
    return "" if result.success else _first_error(result)


def _first_error(result: dg.ExecuteInProcessResult) -> str:
    for check in result.get_asset_check_evaluations():
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR:
            figures = ", ".join(f"{name} {value.value}" for name, value in check.metadata.items())
            return f"check {check.check_name} of {check.asset_key.to_user_string()} failed: {figures}"
    for event in result.filter_events(lambda event: event.is_step_failure):
        error = event.step_failure_data.error
        while error and error.cause:
            error = error.cause
        return MODULE.sub("", error.message.strip().splitlines()[0]) if error else "failed"
    return f"run {result.run_id} failed"
