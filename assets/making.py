"""What each asset is declared to make, and whether a partition of it is current.

A partition is current if its commit record names the code version, the settings and the versions of all it read that
hold now. Staleness is so decided from the lake alone: Dagster's history may be lost or of another machine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from resources.lake import WHOLE, Lake, Record
from resources.profile import Profile, settings_digest
from resources.raw import RawFolder
from resources.tables import Table, is_vector

OWNER = "team:music-corpus"
CHECK = "reads_back"


@dataclass(frozen=True, slots=True)
class Making:
    """One asset's tables, what it reads part by part and as a whole, and the profile section that sets it up."""

    tables: Sequence[Table]
    same: Sequence[Table]
    whole: Sequence[Table]
    partitions: dg.PartitionsDefinition[str] | None
    section: str
    code_version: str

    @property
    def reads(self) -> list[Table]:
        """Every table that it reads."""
        return [*self.same, *self.whole]

    def keys(self, instance: dg.DagsterInstance) -> list[str]:
        """The partitions that there should be now."""
        if self.partitions is None:
            return [WHOLE]
        return list(self.partitions.get_partition_keys(dynamic_partitions_store=instance))


MAKINGS: dict[str, Making] = {}  # of every asset, by its tables' paths, in the order of the graph


def asset_key(table: Table) -> dg.AssetKey:
    """The table's key in Dagster: its stage and name."""
    return dg.AssetKey([table.stage, table.name])


def is_current(making: Making, records: Iterable[Record], lake: Lake, raw: RawFolder, profile: Profile) -> bool:
    """Whether the records name the code version, settings and input versions that hold now."""
    settings = settings_digest(getattr(profile, making.section))
    return all(
        record.origin.code_version == making.code_version
        and record.origin.settings == settings
        and all(current_version(name, lake, raw) == version for name, version in record.origin.inputs.items())
        for record in records
    )


def current_version(name: str, lake: Lake, raw: RawFolder) -> str:
    """The version that holds now of an input, as a commit record names it.

    `raw:<path>` is a published file or folder, `files:<table>/<partition>` the published files that a partition lists,
    `<table>/<partition>` and `<table>/*` are of the lake. An input that is gone has the version "".
    """
    if name.startswith("raw:"):
        return raw.version(Path(raw.root) / name.removeprefix("raw:"))
    path, _, partition = name.removeprefix("files:").rpartition("/")
    making = MAKINGS.get(path)
    if making is None:
        return ""
    table = next(table for table in making.tables if table.path == path)
    if name.startswith("files:"):
        return raw.stats(lake.read(table, partition, columns=["path"])["path"].drop_nulls().to_list())
    return lake.version(table, None if partition == "*" else partition)


def asset_spec(table: Table, making: Making, docstring: str, kinds: set[str]) -> dg.AssetSpec:
    """What Dagster shows of one table: description, columns, dependencies with their partition mappings."""
    columns = [
        dg.TableColumn(
            name=name,
            type="vector" if is_vector(column) else str(column.dtype),
            description=column.description,
            constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == [name]),
        )
        for name, column in table.schema.columns().items()
    ]
    is_one_of_several = len(making.tables) > 1
    return dg.AssetSpec(
        key=asset_key(table),
        deps=[_dep(read, making) for read in making.reads],
        description=f"{table.description}\n\n{docstring}" if is_one_of_several else docstring,
        group_name=table.stage,
        kinds=kinds,
        owners=[OWNER],
        code_version=making.code_version,
        metadata={
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "one row": table.description,
            "key": ", ".join(table.key),
            "profile section": making.section,
        },
    )


def check_spec(table: Table) -> dg.AssetCheckSpec:
    """The check that every table has: what was committed reads back."""
    return dg.AssetCheckSpec(
        CHECK,
        asset=asset_key(table),
        blocking=True,
        description="Each partition of the run reads back with its committed hash, its row count and no key twice.",
    )


def _dep(table: Table, making: Making) -> dg.AssetDep:
    if MAKINGS[table.path].partitions is None:
        return dg.AssetDep(asset_key(table))
    is_same = table in making.same
    return dg.AssetDep(
        asset_key(table),
        partition_mapping=dg.IdentityPartitionMapping() if is_same else dg.AllPartitionMapping(),
    )
