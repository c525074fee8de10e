"""Assets commit part by part, pass over what is current, and tell Dagster the version of each partition."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import dataframely as dy
import polars as pl
import pytest

from assets.making import MAKINGS, Inputs
from assets.work import FILL_TAG, Work, asset
from resources.lake import Lake
from resources.profile import EMBEDDED, Profile
from resources.raw import RawFolder
from resources.refusals import Refusal, refused_frame
from resources.tables import Table, refused_table

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
LETTERS = dg.StaticPartitionsDefinition(["a", "b", "c"])


class Words(dy.Schema):
    """One word."""

    word = dy.String(primary_key=True)


SMALL = Table("sources", "small_words", Words)
LARGE = Table("sources", "large_words", Words)
ALL = Table("sources", "all_words", Words)


class World:
    """Three assets over a temporary lake: small words by letter, large ones made of them, and all of them together."""

    def __init__(self, folder: Path) -> None:
        self.lake = Lake(root=str(folder / "lake"))
        self.raw = RawFolder(root=str(folder / "raw"))
        (folder / "raw").mkdir()
        self.failing = ""
        self.made: list[str] = []

        @asset(SMALL, partitions=LETTERS)
        def small_words(work: Work) -> None:
            """Words."""
            for part in work:
                path = part.raw(Path(self.raw.root) / part.key)
                self._note(f"small {part.key}")
                words = path.read_text().split() if path.exists() else []
                reasons = {word: "unreadable" if word.startswith("?") else "has_digit" for word in words}
                bad = [Refusal(part.key, word, reasons[word], word) for word in words if not word.isalpha()]
                good = [word for word in words if word.isalpha()]
                part.write({SMALL: pl.DataFrame({"word": good}, schema={"word": pl.String})}, refused_frame(bad))

        @asset(LARGE, same=[SMALL], partitions=LETTERS)
        def large_words(work: Work) -> None:
            """Large words."""
            for part in work:
                self._note(f"large {part.key}")
                part.write({LARGE: part.read(SMALL).with_columns(pl.col("word").str.to_uppercase())})

        @asset(ALL, whole=[LARGE])
        def all_words(work: Work) -> None:
            """All words."""
            for part in work:
                self._note("all")
                part.write({ALL: part.read(LARGE)})

        self.assets = [small_words, large_words, all_words]
        for letter in ("a", "b", "c"):
            self.say(letter, f"{letter}nt {letter}pe")

    def say(self, letter: str, words: str) -> None:
        """Replaces a published file."""
        (Path(self.raw.root) / letter).write_text(words)

    def run(self, instance: dg.DagsterInstance, select: str = "*", **options: object) -> dg.ExecuteInProcessResult:
        """Materializes a selection; all letters unless `partition_key` is given."""
        tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
        tags = {} if "partition_key" in options or select == "all" else tags
        tags |= options.pop("tags", {})  # type: ignore[arg-type]
        self.made.clear()
        return dg.materialize(
            self.assets,
            selection=dg.AssetSelection.all()
            if select == "*"
            else dg.AssetSelection.assets(["sources", f"{select}_words"]),
            instance=instance,
            tags=tags,
            resources={"lake": self.lake, "raw": self.raw, "profile": options.pop("profile", EMBEDDED)},
            run_config=QUIET,
            raise_on_error=False,
            **options,  # type: ignore[arg-type]
        )

    def _note(self, step: str) -> None:
        if step == self.failing:
            raise RuntimeError(step)
        self.made.append(step)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The three assets, taken from the list of all assets afterwards."""
    yield World(tmp_path)
    for table in (SMALL, LARGE, ALL):
        MAKINGS.pop(table.path, None)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def reported_version(instance: dg.DagsterInstance, table: Table, partition: str | None) -> str:
    """The data version of the latest event of a partition."""
    event = instance.get_latest_data_version_record(dg.AssetKey([table.stage, table.name]), partition_key=partition)
    assert event
    materialization = event.event_log_entry.asset_materialization
    assert materialization
    assert materialization.tags
    return materialization.tags["dagster/data_version"]


def test_each_partition_of_a_range_has_its_own_version(world: World, instance: dg.DagsterInstance) -> None:
    """Dagster knows the content version of every partition, although one step made them all."""
    assert world.run(instance, "small").success
    for letter in ("a", "b", "c"):
        assert reported_version(instance, SMALL, letter) == world.lake.version(SMALL, letter)
    assert len({world.lake.version(SMALL, letter) for letter in ("a", "b", "c")}) == 3


def test_a_failing_part_loses_no_other(world: World, instance: dg.DagsterInstance) -> None:
    """Parts committed before a failure stay and are known to Dagster; a retry of the run makes only the rest."""
    world.failing = "small c"
    failed = world.run(instance, "small")
    assert not failed.success
    assert world.lake.partitions(SMALL) == ["a", "b"]
    assert instance.get_materialized_partitions(dg.AssetKey(["sources", "small_words"])) == {"a", "b"}
    world.failing = ""
    retry = {"dagster/root_run_id": failed.run_id, "dagster/parent_run_id": failed.run_id}
    assert world.run(instance, "small", tags={**retry, FILL_TAG: "true"}).success
    assert world.made == ["small c"]


def test_filling_passes_over_what_is_current(world: World, instance: dg.DagsterInstance) -> None:
    """A filling makes nothing twice; a person's materialization makes it again."""
    world.run(instance, "small")
    world.run(instance, "small", tags={FILL_TAG: "true"})
    assert world.made == []
    world.run(instance, "small")
    assert world.made == ["small a", "small b", "small c"]


def test_a_changed_file_changes_only_its_part_and_what_reads_it(world: World, instance: dg.DagsterInstance) -> None:
    """After one published file changed, a filling makes its partition and those made of it, no more."""
    for select in ("small", "large", "all"):
        assert world.run(instance, select).success
    world.say("b", "bee")
    made = []
    for select in ("small", "large", "all"):
        world.run(instance, select, tags={FILL_TAG: "true"})
        made += world.made
    assert made == ["small b", "large b", "all"]
    assert world.lake.read(ALL)["word"].to_list() == ["ANT", "APE", "BEE", "CNT", "CPE"]


def test_equal_content_ends_the_chain(world: World, instance: dg.DagsterInstance) -> None:
    """A file that changed without changing its table's rows leaves what is made of them current."""
    for select in ("small", "large"):
        world.run(instance, select)
    world.say("b", "bpe   bnt")
    world.run(instance, "small", tags={FILL_TAG: "true"})
    assert world.made == ["small b"]
    world.run(instance, "large", tags={FILL_TAG: "true"})
    assert world.made == []


def test_other_settings_make_it_again(world: World, instance: dg.DagsterInstance) -> None:
    """A number of the stage's profile section that changed makes the stage's partitions out of date."""
    world.run(instance, "small")
    sources = EMBEDDED.sources.model_copy(update={"log_from": "2001-01-01"})
    other = Profile(**{**EMBEDDED.model_dump(), "sources": sources.model_dump()})
    world.run(instance, "small", tags={FILL_TAG: "true"}, profile=other)
    assert world.made == ["small a", "small b", "small c"]


def test_rows_refused_for_no_fault_of_theirs_are_tried_again(world: World, instance: dg.DagsterInstance) -> None:
    """A filling makes a partition again whose input could not be reached; one with bad input it leaves."""
    world.say("a", "ant ?away")
    world.say("b", "bee b33")
    world.run(instance, "small")
    world.run(instance, "small", tags={FILL_TAG: "true"})
    assert world.made == ["small a"]


def test_a_model_is_known_by_what_it_is_not_by_where_it_lies(world: World, instance: dg.DagsterInstance) -> None:
    """Another models folder with the same files changes nothing; one with another model does."""
    folder = Path(world.raw.root).parent
    for name in ("here", "there", "elsewhere"):
        (folder / name).mkdir()
        (folder / name / "stats.json").write_text("other" if name == "elsewhere" else "same")

    def version(models: str) -> str:
        profile = EMBEDDED.model_copy(update={"models": str(folder / models)})
        return Inputs(world.lake, world.raw, profile, instance).version("model:stats.json")

    assert version("here") == version("there") != version("elsewhere")


def test_a_lacking_partition_is_named(world: World, instance: dg.DagsterInstance) -> None:
    """Reading a whole table that lacks a partition fails and says which."""
    world.run(instance, "small", partition_key="a")
    world.run(instance, "large", partition_key="a")
    result = world.run(instance, "all")
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert failure.step_failure_data.error
    error = failure.step_failure_data.error
    assert "lacks 2 partitions (b first)" in (error.cause.message if error.cause else error.message)


def test_refused_rows_are_kept_and_counted(world: World, instance: dg.DagsterInstance) -> None:
    """A row that can't be used is in the stage's refused table with its reason, and counted in the event."""
    world.say("a", "ant b0b")
    result = world.run(instance, "small", partition_key="a")
    assert world.lake.read(refused_table("sources")).rows() == [("a", "b0b", "has_digit", "b0b")]
    metadata = result.asset_materializations_for_node("sources__small_words")[0].metadata
    assert metadata["refused rows"].value == 1
    assert metadata["dagster/row_count"].value == 1


def test_every_table_has_a_blocking_check_that_reads_back(world: World, instance: dg.DagsterInstance) -> None:
    """Each run ends with a check that the committed rows read back."""
    result = world.run(instance, "small")
    checks = result.get_asset_check_evaluations()
    assert [(check.check_name, check.passed) for check in checks] == [("reads_back", True)]
    assert checks[0].metadata["rows"].value == 6
