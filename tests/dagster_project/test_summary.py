"""What `make run` prints."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.making import MAKINGS
from assets.sources.tables import ARTIST_FACTS, PLAYLISTS
from dagster_project import definitions
from dagster_project.filling import Step, World
from dagster_project.summary import step_line, summary
from resources.lake import Lake, Origin
from resources.profile import EMBEDDED
from resources.raw import RawFolder
from resources.refusals import Refusal, refused_frame
from resources.tables import refused_table

assert definitions  # fills MAKINGS


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A lake of three artists in one table, one row of which was refused."""
    lake = Lake(root=str(tmp_path))
    empty = ARTIST_FACTS.empty()
    frame = pl.concat([pl.DataFrame({"artist": ["a", "b", "c"]}), empty], how="diagonal")
    frame = frame.with_columns(roles=pl.lit([], empty.schema["roles"]))
    lake.write(ARTIST_FACTS, frame, attempt=lake.claim(ARTIST_FACTS), origin=Origin(refused={"broken_json": 1}))
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(instance, lake, RawFolder(root=str(tmp_path / "raw")), EMBEDDED)


def refuse(lake: Lake, partition: str, *refusals: Refusal) -> None:
    """Writes refused rows of the sources."""
    table = refused_table("sources")
    attempt = lake.claim(table, partition)
    lake.write(table, refused_frame(refusals), partition=partition, attempt=attempt)


def step(*, made: int = 0, error: str = "", stage: str = "sources", seconds: float = 1.5) -> Step:
    """A step of three partitions."""
    return Step(f"{stage}/table", stage, 3, made, seconds, error)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (step(made=2), "sources/table 2 of 3 made 1.5 s"),
        (step(), "sources/table 3 up to date 1.5 s"),
        (step(error="not run: x failed"), "sources/table - 1.5 s not run: x failed"),
    ],
)
def test_a_step_is_one_line(line: Step, said: str) -> None:
    """What was made of how many, or that all is up to date, or why nothing was made."""
    assert step_line(line).split() == said.split()
    assert step_line(line)[:2] == "  "


def test_every_table_has_a_line(world: World) -> None:
    """Rows, partitions and refused rows of each table, and the start of its content version; empty ones too."""
    printed = summary(world, [], seconds=0).splitlines()
    lines = {line.split()[0]: line.split() for line in printed if "/" in line[:34]}
    version = world.lake.version(ARTIST_FACTS, ["all"])[:12]
    assert lines["sources/artist_facts"] == ["sources/artist_facts", "3", "1", "1", version]
    assert lines["sources/playlists"] == ["sources/playlists", "0", "0", "0", world.lake.version(PLAYLISTS, [])[:12]]
    assert set(MAKINGS) <= set(lines)


def test_refused_rows_are_counted_by_reason(world: World) -> None:
    """The most frequent come first, each with the first of its rows; without any the summary says so."""
    assert "No row was refused." in summary(world, [], seconds=0)
    refuse(
        world.lake, "plays.listeners_000", *[Refusal("log", f"line {n}", "bad_time", "x") for n in range(1000, 2200)]
    )
    refuse(world.lake, "artist_facts.all", Refusal("facts", "line 7", "no_name", "{}"))
    printed = [line.split() for line in summary(world, [], seconds=0).splitlines() if line.startswith("sources ")]
    assert printed == [
        ["sources", "1,200", "bad_time:", "log", "line", "1000:", "x"],
        ["sources", "1", "no_name:", "facts", "line", "7:", "{}"],
    ]


def test_what_left_the_corpus_is_not_counted(world: World) -> None:
    """Partitions of a slice whose file is gone, and their refused rows, stay in the lake and out of the summary."""
    lake = world.lake
    lake.write(PLAYLISTS, PLAYLISTS.empty(), partition="mpd.slice.0-1", attempt=lake.claim(PLAYLISTS, "mpd.slice.0-1"))
    refuse(lake, "playlists.mpd.slice.0-1", Refusal("mpd.slice.0-1", "whole file", "truncated_json", ""))

    def counted() -> tuple[str, bool]:
        printed = summary(world, [], seconds=0)
        line = next(line for line in printed.splitlines() if line.startswith("sources/playlists "))
        return line.split()[2], "truncated_json" in printed

    assert counted() == ("0", False)
    world.instance.add_dynamic_partitions("mpd_slice", ["mpd.slice.0-1"])
    assert counted() == ("1", True)


def test_time_is_summed_by_stage(world: World) -> None:
    """The seconds of a stage's steps add up, in the order of the steps."""
    steps = [step(seconds=1.0), step(seconds=0.5), step(stage="catalog", seconds=2.0)]
    assert "Time per stage: sources 1.5 s, catalog 2.0 s" in summary(world, steps, seconds=0)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([step(), step()], "Nothing to do: all 6 partitions are up to date, nothing was written (4 s)."),
        ([step(made=2), step()], "2 of 6 partitions made in 4 s; the rest was up to date."),
        ([step(made=2), step(error="no disk")], "1 assets failed; the first: sources/table: no disk"),
    ],
)
def test_the_end_says_what_happened(world: World, steps: list[Step], said: str) -> None:
    """Nothing to do, what was made, or what failed; and where the tables are."""
    lines = summary(world, steps, seconds=4.2).splitlines()
    assert said in lines
    assert lines[-1] == world.lake.root
