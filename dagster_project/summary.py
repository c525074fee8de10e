"""What `make run` prints: a line an asset, tables, rows, refusals by reason, time per stage, and where to look next."""

from collections.abc import Sequence

import polars as pl

from assets.making import MAKINGS
from dagster_project.filling import Step, World
from resources.tables import refused_table


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


def summary(world: World, steps: Sequence[Step], *, seconds: float) -> str:
    """The whole summary as text."""
    made = sum(step.made for step in steps)
    total = sum(step.partitions for step in steps)
    failed = [step for step in steps if step.error]
    lines = ["", f"{'table':<34}{'rows':>12}{'partitions':>12}{'refused':>9}  content"]
    lines += [_table_line(world, path) for path in MAKINGS]
    lines += ["", *_refusals(world), "", _stage_times(steps), "", *_costs(world)]
    if failed:
        lines.append(f"{len(failed)} assets failed; the first: {failed[0].asset}: {failed[0].error}")
    elif made:
        lines.append(f"{made} of {total} partitions made in {seconds:.0f} s; the rest was up to date.")
    else:
        lines.append(f"Nothing to do: all {total} partitions are up to date, nothing was written ({seconds:.0f} s).")
    lines += ["", "Next: `make ui` shows every asset in Dagster. The tables are Parquet files under", world.lake.root]
    return "\n".join(lines)


def _table_line(world: World, path: str) -> str:
    table = next(table for table in MAKINGS[path].tables if table.path == path)
    keys = MAKINGS[path].keys(world.instance)
    records = [record for key in keys if (record := world.lake.record(table, key))]
    rows = sum(record.rows for record in records)
    refused = sum(sum(record.origin.refused.values()) for record in records)
    return f"{path:<34}{rows:>12,}{len(records):>12}{refused:>9,}  {world.lake.version(table, keys)[:12]}"


def _costs(world: World) -> list[str]:
    """A line on what the tables' language models were paid for them, if anything."""
    costs = {}
    for path, making in MAKINGS.items():
        records = [world.lake.record(making.tables[0], key) for key in making.keys(world.instance)]
        notes = [record.origin.notes.get("cost_usd", 0) for record in records if record] if making.asks else []
        costs[path] = sum(float(note) for note in notes)
    paid = [f"{path} ${usd:,.2f}" for path, usd in costs.items() if usd]
    return [f"Paid to language models: {', '.join(paid)}", ""] if paid else []


def _refusals(world: World) -> list[str]:
    """A line a stage and reason: how many rows, and the first of them."""
    frames = []
    for making in dict.fromkeys(MAKINGS.values()):
        table = refused_table(making.tables[0].stage)
        committed = world.lake.partitions(table)
        keys = [f"{making.tables[0].name}.{key}" for key in making.keys(world.instance)]
        rows = world.lake.read(table, [key for key in keys if key in committed])
        frames.append(rows.select(pl.lit(table.stage).alias("stage"), *rows.columns))
    refused = pl.concat(frames)
    if refused.is_empty():
        return ["No row was refused."]
    example = pl.format("{} {}: {}", "source", "location", "detail").sort().first().alias("example")
    counts = refused.group_by("stage", "reason").agg(pl.len().alias("rows"), example)
    counts = counts.sort("stage", "rows", "reason", descending=[False, True, False])
    heading = f"{'refused rows, in <stage>/refused':<34}{'rows':>12}  reason, and the first of them"
    return [
        heading,
        *(f"{stage:<34}{rows:>12,}  {reason}: {first:.90}" for stage, reason, rows, first in counts.rows()),
    ]


def _stage_times(steps: Sequence[Step]) -> str:
    seconds: dict[str, float] = {}
    for step in steps:
        seconds[step.stage] = seconds.get(step.stage, 0.0) + step.seconds
    return "Time per stage: " + ", ".join(f"{stage} {spent:.1f} s" for stage, spent in seconds.items())
