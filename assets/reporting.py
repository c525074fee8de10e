"""What the UI shows of a committed partition: counts, refusals by reason, first rows, versions."""

import re
from collections.abc import Mapping

import dagster as dg
import polars as pl
from dagster._core.definitions.data_version import get_input_data_version_tag, get_input_event_pointer_tag

from assets.making import CHECK, Inputs, Making, asset_key
from resources.lake import Lake, Record
from resources.tables import Table

PREVIEW_ROWS = 5
PREVIEW_CHARACTERS = 80
PREVIEW_NUMBERS = 3
HASH = re.compile("[0-9a-f]{64}")
DATA_VERSION_TAG = "dagster/data_version"


def event_metadata(lake: Lake, table: Table, record: Record) -> dict[str, dg.MetadataValue]:
    """Row counts, refused rows by reason, hash, path, first rows and the asset's own notes."""
    refused = record.origin.refused
    metadata: dict[str, dg.MetadataValue] = {"dagster/row_count": dg.MetadataValue.int(record.rows)}
    for name, note in record.origin.notes.items():
        metadata[name.replace("_", " ")] = _note(note)
    metadata["refused rows"] = dg.MetadataValue.int(sum(refused.values()))
    if refused:
        reasons = [dg.TableRecord({"reason": reason, "rows": rows}) for reason, rows in refused.items()]
        metadata["refused by reason"] = dg.MetadataValue.table(reasons)
    if table.form == "parquet" and record.rows:
        head = pl.scan_parquet(lake.file(table, record.partition), glob=False).head(PREVIEW_ROWS).collect()
        previews = [{name: _shown(value) for name, value in row.items()} for row in head.iter_rows(named=True)]
        metadata["preview"] = dg.MetadataValue.table([dg.TableRecord(preview) for preview in previews])
    metadata["bytes"] = dg.MetadataValue.int(record.bytes)
    metadata["sha256"] = dg.MetadataValue.text(record.sha256)
    metadata["path"] = dg.MetadataValue.path(str(lake.path(table, record.partition)))
    return metadata


def version_tags(
    inputs: Inputs, making: Making, record: Record, event_ids: Mapping[dg.AssetKey, int | None]
) -> dict[str, str]:
    """The tags from which Dagster decides what is stale: the content's version and those of all inputs."""
    tags = {DATA_VERSION_TAG: record.sha256, "dagster/data_version_is_user_provided": "true"}
    tags["dagster/code_version"] = making.code_version
    for table in making.reads:
        key = asset_key(table)
        tags[get_input_data_version_tag(key)] = inputs.version(f"{table.path}/*")
        tags[get_input_event_pointer_tag(key)] = str(event_ids.get(key) or "NULL")
    return tags


def read_back(lake: Lake, table: Table, partitions: list[str]) -> dg.AssetCheckResult:
    """Whether the partitions read back as committed: every byte by its hash; of tables also row counts and keys."""
    rows = repeated = differing = damaged = 0
    for partition in partitions:
        record = lake.record(table, partition)
        if record is None or not lake.is_intact(table, partition):
            damaged += 1
            continue
        if table.form == "folder":
            rows += record.rows
            continue
        found = pl.scan_parquet(lake.path(table, partition), glob=False)
        keys = pl.struct(table.key).n_unique() if table.key else pl.len()
        height, distinct = found.select(pl.len(), keys.alias("keys")).collect().row(0)
        rows, repeated, differing = rows + height, repeated + height - distinct, differing + (height != record.rows)
    return dg.AssetCheckResult(
        check_name=CHECK,
        asset_key=asset_key(table),
        passed=repeated + differing + damaged == 0,
        metadata={
            "partitions": len(partitions),
            "rows": rows,
            "repeated keys": repeated,
            "wrong counts": differing,
            "damaged partitions": damaged,
        },
    )


def _note(note: str | float) -> dg.MetadataValue:
    if isinstance(note, str):
        is_markdown = note.startswith(("![", "|"))
        return dg.MetadataValue.md(note) if is_markdown else dg.MetadataValue.text(note)
    return dg.MetadataValue.int(note) if isinstance(note, int) else dg.MetadataValue.float(note)


def _shown(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list) and value and isinstance(value[0], float):
        start = ", ".join(f"{number:.3f}" for number in value[:PREVIEW_NUMBERS])
        return f"[{start}, ...] ({len(value)})"
    text = str(value)
    if HASH.fullmatch(text):
        return f"{text[:12]}..."
    return text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 3] + "..."
