"""The one way an asset reads and writes the lake, and tells Dagster what it did.

`@asset` turns a function of one `Work` into a Dagster asset. The function goes over the parts of the run that are
still to be made, reads declared tables through each part, and writes it. Each write is one commit, reported at once,
so that a run that dies loses only the part under way. Current parts are passed over in runs that only fill
(`music/fill`) and in retries of one run, and reported so that Dagster knows them; a person's "materialize" always
makes them again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import dagster as dg
import polars as pl
from tqdm import tqdm

from assets.asking import Asks
from assets.code_version import code_version
from assets.making import MAKINGS, Inputs, Looking, Making, asset_key, asset_spec, check_spec
from assets.reporting import DATA_VERSION_TAG, event_metadata, read_back, version_tags
from resources.lake import WHOLE, Lake, LakeError, Made, Notes, Origin, Record
from resources.profile import Profile
from resources.raw import RawFolder
from resources.tables import Table, refused_table

if TYPE_CHECKING:
    from resources.language_model import LanguageModel

FILL_TAG = "music/fill"


class Part:
    """One partition under way: what it reads is remembered, what it writes is committed and reported."""

    def __init__(self, work: "Work", key: str) -> None:
        self.key = key
        self._work = work
        self._refused = refused_table(work.making.tables[0].stage)
        self._refused_key = f"{work.making.tables[0].name}.{key}"
        self._attempts = {table: work.lake.claim(table, key) for table in work.making.tables}
        self._attempts[self._refused] = work.lake.claim(self._refused, self._refused_key)
        self._inputs: dict[str, str] = {}

    def read(self, table: Table, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The same partition of a table that is cut alike, or the whole of any other declared table."""
        if table in self._work.making.same:
            self._remember(f"{table.path}/{self.key}")
            return self._work.lake.read(table, self.key, columns=columns)
        return self._work.read_whole(table, self.partitions(table), columns)

    def tables(self, *tables: Table) -> dict[str, Sequence[Path] | pl.DataFrame]:
        """Whole tables for `sql.select`, by `<stage>.<table>`: their files, or no rows where there is no partition."""
        lake = self._work.lake
        files = {table: [lake.file(table, key) for key in self.partitions(table)] for table in tables}
        return {f"{table.stage}.{table.name}": files[table] or table.empty() for table in tables}

    def folder(self, table: Table, partition: str = WHOLE) -> Path:
        """The folder of a declared whole table, or of one of its partitions."""
        self.partitions(table)
        return self._work.lake.file(table, partition)

    def partitions(self, table: Table) -> list[str]:
        """The partitions of a declared whole table that there should be now, all committed.

        Raises LakeError if one is missing.
        """
        if table not in self._work.making.whole:
            raise LakeError(f"{self._work.making.tables[0].path} reads {table.path} without declaring it")
        expected = MAKINGS[table.path].keys(self._work.instance)
        missing = sorted(set(expected) - set(self._work.lake.partitions(table)))
        if missing:
            raise LakeError(
                f"{table.path} lacks {len(missing)} partitions ({missing[0]} first): materialize them first"
            )
        self._remember(f"{table.path}/*")
        return expected

    def raw(self, path: Path) -> Path:
        """A file or folder of published data, whose version is remembered, there or not."""
        self._remember(f"raw:{self._work.raw.relative(path)}")
        return path

    def outside(self, folder: str) -> Path:
        """A folder that a setting names, whose version is remembered."""
        self._remember(f"folder:{folder}")
        return Path(folder)

    def models(self, provider: str) -> None:
        """Remembers the versions of the model files of a provider that the profile does not pin."""
        for path in self._work.profile.unpinned(provider):
            self._remember(f"model:{path}")

    def listed(self, table: Table) -> None:
        """Remembers size and time of change of the published files that the part's `path` column lists."""
        self._remember(f"files:{table.path}/{self.key}")

    def write(
        self, frames: Mapping[Table, pl.DataFrame], refused: pl.DataFrame | None = None, notes: Notes | None = None
    ) -> None:
        """Commits one frame a table and the rows refused on the way; `notes` go to the UI."""
        origin = self._origin(refused, notes or {})
        for table, frame in frames.items():
            attempt = self._attempts[table]
            record = self._work.lake.write(table, frame, partition=self.key, attempt=attempt, origin=origin)
            self._work.report(table, record)
            origin = replace(origin, refused={})  # counted once, with the first table

    def write_folder(
        self,
        table: Table,
        build: Callable[[Path], Made],
        refused: pl.DataFrame | None = None,
        notes: Notes | None = None,
    ) -> None:
        """Commits the folder that `build` fills and the rows refused on the way; `notes` go to the UI."""
        origin = self._origin(refused, notes or {})
        attempt = self._attempts[table]
        record = self._work.lake.write_folder(table, build, partition=self.key, attempt=attempt, origin=origin)
        self._work.report(table, record)

    def _origin(self, refused: pl.DataFrame | None, notes: Notes) -> Origin:
        making, lake = self._work.making, self._work.lake
        refused = self._refused.empty() if refused is None else refused
        counts = dict(refused.group_by("reason").len().sort("reason").iter_rows())
        settings = self._work.inputs.settings(making, self.key)
        origin = Origin(dict(self._inputs), making.code_version, settings, self._work.run, counts, notes)
        if refused.height or lake.record(self._refused, self._refused_key):
            attempt = self._attempts[self._refused]
            lake.write(self._refused, refused, partition=self._refused_key, attempt=attempt, origin=origin)
        return origin

    def _remember(self, name: str) -> None:
        self._inputs[name] = self._work.inputs.version(name)


class Work:
    """The parts of one run of one asset. Iterating gives those still to be made."""

    def __init__(self, context: dg.AssetExecutionContext, making: Making) -> None:
        self.making = making
        self.lake = cast("Lake", context.resources.lake)
        self.raw = cast("RawFolder", context.resources.raw)
        self.profile = cast("Profile", context.resources.profile)
        self.instance = context.instance
        self.log = context.log
        self.run = context.run.root_run_id or context.run.run_id
        self.inputs = Inputs(self.lake, self.raw, self.profile, self.instance)
        self._context = context
        self._whole: dict[tuple[Table, tuple[str, ...]], pl.DataFrame] = {}
        self._keys = list(context.partition_keys) if making.partitions else [WHOLE]
        self._is_fill = context.run.tags.get(FILL_TAG) == "true"
        self._events: list[dg.AssetMaterialization] = []
        records = (
            context.instance.get_asset_records([asset_key(table) for table in making.reads]) if making.reads else []
        )
        entries = [record.asset_entry for record in records]
        self._event_ids = {entry.asset_key: entry.last_materialization_storage_id for entry in entries}

    def __iter__(self) -> Iterator[Part]:
        for key in tqdm(self._keys, desc=f"  {self.making.tables[0].path}", unit="part", leave=False, disable=None):
            current = self._current(key)
            if not current:
                yield Part(self, key)
            for table, record in current.items():
                self.report(table, record)

    def ask_ahead(self, model: "LanguageModel") -> None:
        """Lets a model that works in batches start on what all the parts of the run will ask."""
        if not (self.making.asks and model.works_ahead and len(self._keys) > 1):
            return
        looking = Looking(self.making, self.lake, self.instance)
        for key in self._keys:
            if not self._current(key):
                model.ahead(self.making.asks.requests(looking.at(key), self.profile))

    def read_whole(self, table: Table, partitions: Sequence[str], columns: Sequence[str] | None) -> pl.DataFrame:
        """A whole table, read once for all parts of the run."""
        name = (table, tuple(columns or ()))
        if name not in self._whole:
            self._whole[name] = self.lake.read(table, partitions, columns=columns)
        return self._whole[name]

    def report(self, table: Table, record: Record) -> None:
        """Tells Dagster that the partition is there: with its content version, counts and first rows."""
        event = dg.AssetMaterialization(
            asset_key=asset_key(table),
            partition=record.partition if self.making.partitions else None,
            metadata=event_metadata(self.lake, table, record),
            tags=version_tags(self.inputs, self.making, record, self._event_ids),
        )
        self._events.append(event)
        if len(self._keys) > 1:
            self._context.log_event(event)

    def results(self) -> Iterator[dg.MaterializeResult[None]]:
        """Ends the step. Dagster gives all partitions of one step one version, so each one's own is reported after it.

        Raises LakeError if a partition of the run was neither written nor current: Dagster would count it as made.
        """
        reported = {(event.asset_key, event.partition) for event in self._events}
        for table in self.making.tables:
            key = asset_key(table)
            lost = [part for part in self._keys if (key, part if self.making.partitions else None) not in reported]
            if lost:
                raise LakeError(f"{table.path}: partitions {lost[:3]} were not written")
            event = next(event for event in self._events if event.asset_key == key)
            is_single = len(self._keys) == 1
            yield dg.MaterializeResult(
                asset_key=key,
                metadata=event.metadata if is_single else None,
                data_version=dg.DataVersion((event.tags or {})[DATA_VERSION_TAG]) if is_single else None,
                check_results=[read_back(self.lake, table, self._keys)],
            )
        for event in self._events if len(self._keys) > 1 else []:
            self._context.log_event(event)

    def _current(self, key: str) -> dict[Table, Record]:
        """The records of a part that need not be made again in this run; empty if it is to be made."""
        records = [self.lake.record(table, key) for table in self.making.tables]
        found = [record for record in records if record]
        is_passed_over = self._is_fill or all(record.origin.run == self.run for record in found)
        if len(found) < len(records) or not is_passed_over:
            return {}
        is_there = all(self.lake.is_intact(table, key) for table in self.making.tables)
        is_fresh = is_there and self.inputs.are_current(self.making, found)
        return dict(zip(self.making.tables, found, strict=True)) if is_fresh else {}


def asset(
    *tables: Table,
    same: Sequence[Table] = (),
    whole: Sequence[Table] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    kinds: set[str] | None = None,
    pool: str | None = None,
    parts_per_run: int | None = None,
    sections: Sequence[str] = (),
    asks: Asks | None = None,
) -> Callable[[Callable[[Work], None]], dg.AssetsDefinition]:
    """An asset that makes `tables` with the numbers of its stage's profile section, if any, and of further `sections`.

    Its docstring is what the UI shows. `same` tables are cut alike and read partition by partition, `whole` ones in
    full. `parts_per_run` caps the partitions of one backfill run; without it a backfill is a single run, so that a
    model is loaded once. `asks` tells what the asset asks of a language model, for an estimate.
    """
    policy = dg.BackfillPolicy.multi_run(parts_per_run) if parts_per_run else dg.BackfillPolicy.single_run()
    counts = ("partitions",) if isinstance(partitions, dg.StaticPartitionsDefinition) else ()

    def decorate(make: Callable[[Work], None]) -> dg.AssetsDefinition:
        of_stage = (tables[0].stage,) if tables[0].stage in Profile.model_fields else ()
        all_sections = (*of_stage, *counts, *sections)
        making = Making(tables, same, whole, partitions, all_sections, code_version(make), asks)
        MAKINGS.update({table.path: making for table in tables})
        docstring = "\n".join(line.strip() for line in (make.__doc__ or "").strip().splitlines())

        @dg.multi_asset(
            name=f"{tables[0].stage}__{make.__name__}",
            specs=[asset_spec(table, making, docstring, kinds or {"polars", "parquet"}) for table in tables],
            check_specs=[check_spec(table) for table in tables],
            partitions_def=partitions,
            backfill_policy=policy if partitions else None,
            required_resource_keys={"lake", "raw", "profile"},
            pool=pool,
        )
        def run(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
            work = Work(context, making)
            make(work)
            yield from work.results()

        return run

    return decorate
