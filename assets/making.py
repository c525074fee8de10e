"""What each asset is declared to make, and whether a partition of it is current.

A partition is current if its commit record names the code version, the settings and the versions of all it read that
hold now. Staleness is so decided from the lake alone: Dagster's history may be lost or of another machine.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl

from assets.asking import Asks, Reading
from resources.hashing import digest_of
from resources.lake import WHOLE, Lake, LakeError, Record
from resources.profile import Profile, settings_digest
from resources.raw import RawFolder
from resources.refusals import TRANSIENT
from resources.tables import Table, is_vector

OWNER = "team:music-corpus"
CHECK = "reads_back"


@dataclass(frozen=True, slots=True, eq=False)
class Making:
    """One asset's tables, what it reads part by part and as a whole, and the profile sections that set it up."""

    tables: Sequence[Table]
    same: Sequence[Table]
    whole: Sequence[Table]
    partitions: dg.PartitionsDefinition[str] | None
    sections: Sequence[str]
    code_version: str
    asks: Asks | None = None

    @property
    def reads(self) -> list[Table]:
        """Every table that it reads."""
        return [*self.same, *self.whole]

    def keys(self, instance: dg.DagsterInstance) -> list[str]:
        """The partitions that there should be now."""
        if self.partitions is None:
            return [WHOLE]
        return list(self.partitions.get_partition_keys(dynamic_partitions_store=instance))


class Looking:
    """An asset that is looked at and not made: what its partitions would read, whole tables read once."""

    def __init__(self, making: Making, lake: Lake, instance: dg.DagsterInstance) -> None:
        self.making, self._lake, self._instance = making, lake, instance
        self._whole: dict[tuple[Table, tuple[str, ...]], pl.DataFrame] = {}

    def at(self, key: str) -> Reading:
        """One partition. Its reads raise LakeError where an input is not made yet."""
        return _Look(key, self)

    def read(self, table: Table, key: str, columns: Sequence[str] | None) -> pl.DataFrame:
        """What the partition would read."""
        if table in self.making.same:
            return self._lake.read(table, key, columns=columns)
        name = (table, tuple(columns or ()))
        if name not in self._whole:
            partitions = MAKINGS[table.path].keys(self._instance)
            self._whole[name] = self._lake.read(table, partitions, columns=columns)
        return self._whole[name]


class _Look:
    def __init__(self, key: str, looking: Looking) -> None:
        self.key, self._looking = key, looking

    def read(self, table: Table, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
        return self._looking.read(table, self.key, columns)


MAKINGS: dict[str, Making] = {}  # of every asset, by its tables' paths, in the order of the graph


def asset_key(table: Table) -> dg.AssetKey:
    """The table's key in Dagster: its stage and name."""
    return dg.AssetKey([table.stage, table.name])


class Inputs:
    """The versions that hold now of what assets read, each looked up once; for one pass over an asset's partitions."""

    def __init__(self, lake: Lake, raw: RawFolder, profile: Profile, instance: dg.DagsterInstance) -> None:
        self.lake, self.raw, self.profile, self.instance = lake, raw, profile, instance
        self._versions: dict[str, str] = {}

    def version(self, name: str) -> str:
        """The version of an input as a commit record names it; "" if it is gone.

        `raw:<path>` is a published file or folder, `folder:<path>` one outside, `model:<path>` one of the models;
        `files:<table>/<partition>` are the published files that a partition lists; `<table>/<partition>` and
        `<table>/*` are of the lake.
        """
        if name not in self._versions:
            self._versions[name] = self._version(name)
        return self._versions[name]

    def settings(self, making: Making, partition: str) -> str:
        """Digest of the profile's sections that the asset depends on.

        Of a field that has values by partition, one of an asset that is cut so depends on its own value alone.
        """
        is_static = isinstance(making.partitions, dg.StaticPartitionsDefinition)
        keys = making.keys(self.instance) if is_static else []
        sections = (getattr(self.profile, section) for section in making.sections)
        return digest_of([settings_digest(section, partition, keys) for section in sections])

    def are_current(self, making: Making, records: Iterable[Record]) -> bool:
        """Whether the records name the code version, settings and input versions that hold now.

        Rows that were refused for no fault of theirs are to be tried again.
        """
        return all(
            record.origin.code_version == making.code_version
            and TRANSIENT.isdisjoint(record.origin.refused)
            and record.origin.settings == self.settings(making, record.partition)
            and all(self.version(name) == version for name, version in record.origin.inputs.items())
            for record in records
        )

    def _version(self, name: str) -> str:
        kind, _, rest = name.partition(":")
        if kind == "raw":
            return self.raw.version(Path(self.raw.root) / rest)
        if kind == "folder":
            return self.raw.version(Path(rest))
        if kind == "model":
            return self.raw.version(Path(self.profile.models) / rest)
        path, _, partition = (rest if kind == "files" else name).rpartition("/")
        making = MAKINGS.get(path)
        if making is None:
            return ""
        table = next(table for table in making.tables if table.path == path)
        if kind == "files":
            return self._listed_version(table, partition)
        return self.lake.version(table, making.keys(self.instance) if partition == "*" else partition)

    def _listed_version(self, table: Table, partition: str) -> str:
        try:
            paths = self.lake.read(table, partition, columns=["path"])["path"]
        except LakeError:
            return ""
        return self.raw.stats(paths.drop_nulls().to_list())


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
            "profile sections": ", ".join(making.sections),
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
