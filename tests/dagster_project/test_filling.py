"""Filling runs what is missing, failed or out of date, asset by asset, and says what it did."""

import os
import threading
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.sources.tables import ARTIST_FACTS, PLAYLISTS, RELEASE_FACTS
from dagster_project.filling import BusyError, Step, World, fill, follow_slices, forget, only_filling

SOURCES = {
    "sources/playlists, sources/playlist_tracks, sources/slice_tracks": 1,
    "sources/plays, sources/listeners": 4,
    "sources/artist_facts": 1,
    "sources/release_facts": 1,
    "sources/track_facts": 1,
}
SLICES = next(iter(SOURCES))


def filled(
    world: World, *stages: str, most_partitions: int | None = None, is_verifying: bool = False
) -> dict[str, Step]:
    """The steps of a filling, by asset."""
    steps = fill(world, stages=stages or ["sources"], most_partitions=most_partitions, is_verifying=is_verifying)
    return {step.asset: step for step in steps}


def made(steps: dict[str, Step]) -> dict[str, int]:
    """The partitions made, of each asset that made any."""
    return {name: step.made for name, step in steps.items() if step.made}


def runs(world: World) -> int:
    """The runs in Dagster's history."""
    return world.instance.get_runs_count()


def stamps(world: World) -> dict[Path, int]:
    """The times of change of the lake's tables."""
    return {path: path.stat().st_mtime_ns for path in Path(world.lake.root).rglob("*.parquet")}


def test_every_partition_is_made_once(small: World) -> None:
    """A filling makes each partition of each asset and no second one makes any, or starts a run."""
    steps = filled(small)
    assert made(steps) == SOURCES
    assert not any(step.error for step in steps.values())
    assert small.lake.read(PLAYLISTS)["playlist_id"].to_list() == [0, 1]
    before = (runs(small), stamps(small))
    again = filled(small)
    assert made(again) == {}
    assert {name: step.partitions for name, step in again.items()} == SOURCES
    assert (runs(small), stamps(small)) == before


def test_a_bounded_filling_goes_on_where_the_last_one_stopped(small: World) -> None:
    """At most three partitions a time, in the order of the graph, until the eight there are have been made."""
    counts = [list(made(filled(small, most_partitions=3)).values()) for _ in range(4)]
    assert counts == [[1, 2], [2, 1], [1, 1], []]


def test_neighbours_share_a_run(small: World, published) -> None:
    """Of four slices, the first, the third and the fourth changed: two runs make three partitions."""
    for first in (2, 4, 6):
        published.put_slice(f"mpd.slice.{first}-{first + 1}", [first, first + 1])
    assert made(filled(small))[SLICES] == 4
    before = runs(small)
    for first in (0, 4, 6):
        published.put_slice(f"mpd.slice.{first}-{first + 1}", [first])
    assert made(filled(small)) == {SLICES: 3}
    assert runs(small) - before == 2
    assert small.lake.read(PLAYLISTS)["playlist_id"].to_list() == [0, 2, 3, 4, 6]


def test_what_reads_a_failed_asset_is_not_run_and_says_so(small: World, published) -> None:
    """A facts file that cannot be read fails its asset alone; what reads it, and what reads that, is not run, the rest
    is; once the file is mended only what was not made is made.
    """
    (published.root / "facts/releases.jsonl").mkdir(parents=True)
    steps = filled(small, "sources", "catalog")
    errors = {name: step.error for name, step in steps.items() if step.error}
    assert "Is a directory" in errors.pop("sources/release_facts")
    assert errors == {
        "catalog/tracks": "not run: sources/release_facts failed",
        "catalog/sessions": "not run: catalog/tracks failed",
        "catalog/session_splits": "not run: catalog/sessions failed",
    }
    assert steps["catalog/tracks"].made == steps["catalog/sessions"].made == 0
    assert steps["sources/release_facts"].made == 0
    assert small.lake.record(RELEASE_FACTS) is None
    assert steps["sources/track_facts"].made == steps["catalog/dataset_table"].made == 1

    (published.root / "facts/releases.jsonl").rmdir()
    mended = filled(small, "sources", "catalog")
    assert made(mended) == {
        "sources/release_facts": 1,
        "catalog/tracks": 8,
        "catalog/sessions": 4,
        "catalog/session_splits": 4,
    }
    assert not any(step.error for step in mended.values())


def test_a_slice_that_is_gone_leaves_and_may_come_back(small: World, published) -> None:
    """A slice whose file was taken away is no partition any more and stops no other; back again, it counts at once."""
    filled(small)
    path = published.root / "mpd/mpd.slice.0-1.json"
    content = path.read_bytes()
    path.unlink()
    published.put_slice("mpd.slice.2-3", [2, 3])
    step = filled(small)[SLICES]
    assert (step.partitions, step.made, step.error) == (1, 1, "")
    assert small.instance.get_dynamic_partitions("mpd_slice") == ["mpd.slice.2-3"]
    path.write_bytes(content)
    step = filled(small)[SLICES]
    assert (step.partitions, step.made, step.error) == (2, 0, "")


def test_a_lost_file_is_made_again(small: World) -> None:
    """A table's file that is missing or cut is noticed by every filling, and comes back as it was."""
    filled(small)
    path = small.lake.file(ARTIST_FACTS)
    content = path.read_bytes()
    path.unlink()
    assert made(filled(small)) == {"sources/artist_facts": 1}
    path.write_bytes(content[:-1])
    assert made(filled(small)) == {"sources/artist_facts": 1}
    assert path.read_bytes() == content


def test_a_garbled_file_is_made_again_when_verifying(small: World) -> None:
    """A byte that changed, size being equal, is found by a filling that reads every byte, and only by such a one."""
    filled(small)
    path = small.lake.file(ARTIST_FACTS)
    content = path.read_bytes()
    path.write_bytes(content[:-9] + b"?" * 9)
    assert made(filled(small)) == {}
    assert made(filled(small, is_verifying=True)) == {"sources/artist_facts": 1}
    assert path.read_bytes() == content


def test_one_filling_at_a_time(small: World) -> None:
    """While one holds the lake another is turned away, or waits until the first has ended."""
    order = []

    def wait() -> None:
        with only_filling(small.lake, is_waiting=True):
            order.append("second")

    with only_filling(small.lake, is_waiting=False):
        with pytest.raises(BusyError, match=f"another run fills {small.lake.root}: wait for it, or stop it"):
            only_filling(small.lake, is_waiting=False).__enter__()
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_a_forgotten_slice_is_made_again(small: World, published) -> None:
    """Nothing changed, but the slice is read again; equal content leaves the file and what reads it alone."""
    published.put_slice("mpd.slice.2-3", [2, 3])
    filled(small)
    before = stamps(small)
    forget(small, "mpd.slice.2-3")
    assert made(filled(small)) == {SLICES: 1}
    assert stamps(small) == before
    assert made(filled(small)) == {}


def test_a_lost_history_is_told_again(small: World) -> None:
    """A Dagster home that knows nothing learns every partition from the lake, and no file is written."""
    filled(small)
    before = stamps(small)
    with dg.DagsterInstance.ephemeral() as empty:
        other = small._replace(instance=empty)
        filled(other)
        assert empty.get_materialized_partitions(dg.AssetKey(["sources", "playlists"])) == {"mpd.slice.0-1"}
        assert made(filled(other)) == {}
    assert stamps(small) == before


def test_only_changed_content_is_out_of_date(small: World, published) -> None:
    """A touched file makes nothing; other bytes make the asset that reads them, and only it."""
    facts = published.root / "facts/artists.jsonl"
    facts.parent.mkdir()
    facts.write_text('{"artist": "A", "birth_year": 1970}\n')
    filled(small)
    os.utime(facts, ns=(7, 7))
    assert made(filled(small)) == {}
    facts.write_text('{"artist": "A", "birth_year": 1971}\n')
    assert made(filled(small)) == {"sources/artist_facts": 1}
    assert small.lake.read(ARTIST_FACTS).select("artist", "birth_year").rows() == [("A", 1971)]


def test_partitions_follow_the_slice_files(small: World, published) -> None:
    """Every slice file is a partition after one look, one whose file is gone is none; a second look finds no news."""
    path = published.put_slice("mpd.slice.2-3", [2, 3])
    assert follow_slices(small) == (["mpd.slice.0-1", "mpd.slice.2-3"], [])
    assert follow_slices(small) == ([], [])
    path.unlink()
    assert follow_slices(small) == ([], ["mpd.slice.2-3"])
    assert small.instance.get_dynamic_partitions("mpd_slice") == ["mpd.slice.0-1"]


def test_only_the_stages_asked_for_are_filled(small: World) -> None:
    """A filling of the catalog does not make the sources first: what is lacking fails, and is named."""
    steps = filled(small, "catalog")
    assert {name.split("/")[0] for name in steps} == {"catalog"}
    assert steps["catalog/playlist_splits"].error.endswith(
        "lacks 1 partitions (mpd.slice.0-1 first): materialize them first"
    )
    assert small.lake.read(PLAYLISTS).equals(pl.DataFrame(schema=PLAYLISTS.empty().schema))
