"""What `make run` prints: a line an asset, tables, rows, refusals by reason, time per stage, and where to look next."""

from collections.abc import Sequence

import polars as pl

from assets.making import MAKINGS
from dagster_project.filling import Step
from resources.lake import Lake
from resources.tables import refused_table

MOST_REFUSALS = 30


def step_line(step: Step) -> str:
    """One line: asset, partitions made of those there are, seconds, and the error if there was one."""
    made = (
        f"{step.made} of {step.partitions} made"
        if step.made
        else "-"
        if step.error
        else f"{step.partitions} up to date"
    )
    return f"  {step.asset:<62.62} {made:>18} {step.seconds:7.1f} s  {step.error}".rstrip()


def summary(lake: Lake, steps: Sequence[Step], *, seconds: float) -> str:
    """The whole summary as text."""
    made = sum(step.made for step in steps)
    total = sum(step.partitions for step in steps)
    failed = [step for step in steps if step.error]
    lines = ["", f"{'table':<34}{'rows':>12}{'partitions':>12}{'refused':>9}  content"]
    lines += [_table_line(lake, path) for path in MAKINGS]
    lines += ["", *_refusals(lake), "", _stage_times(steps), ""]
    if failed:
        lines.append(f"{len(failed)} assets failed; the first: {failed[0].asset}: {failed[0].error}")
    elif made:
        lines.append(f"{made} of {total} partitions made in {seconds:.0f} s; the rest was up to date.")
    else:
        lines.append(f"Nothing to do: all {total} partitions are up to date, nothing was written ({seconds:.0f} s).")
    lines += ["", "Next: `make ui` shows every asset in Dagster. The tables are Parquet files under", lake.root]
    return "\n".join(lines)


def _table_line(lake: Lake, path: str) -> str:
    table = next(table for table in MAKINGS[path].tables if table.path == path)
    records = [record for partition in lake.partitions(table) if (record := lake.record(table, partition))]
    rows = sum(record.rows for record in records)
    refused = sum(sum(record.origin.refused.values()) for record in records)
    return f"{path:<34}{rows:>12,}{len(records):>12}{refused:>9,}  {lake.version(table)[:12]}"


def _refusals(lake: Lake) -> list[str]:
    stages = dict.fromkeys(making.tables[0].stage for making in MAKINGS.values())
    columns = ["source", "reason"]
    frames = [lake.read(refused_table(stage), columns=columns).insert_column(0, pl.lit(stage)) for stage in stages]
    refused = pl.concat(frame.rename({"literal": "stage"}) for frame in frames)
    if refused.is_empty():
        return ["No row was refused."]
    counts = refused.group_by("stage", *columns).len("rows")
    counts = counts.sort("stage", "rows", *columns, descending=[False, True, False, False])
    lines = [
        f"  {stage + '/refused':<24}{source:<46.46}{reason:<24}{rows:>8,}"
        for stage, source, reason, rows in counts.rows()
    ]
    more = [f"  and {len(lines) - MOST_REFUSALS} more kinds"] if len(lines) > MOST_REFUSALS else []
    return ["Refused rows, kept with their reasons:", *lines[:MOST_REFUSALS], *more]


def _stage_times(steps: Sequence[Step]) -> str:
    seconds: dict[str, float] = {}
    for step in steps:
        seconds[step.stage] = seconds.get(step.stage, 0.0) + step.seconds
    return "Time per stage: " + ", ".join(f"{stage} {spent:.1f} s" for stage, spent in seconds.items())
