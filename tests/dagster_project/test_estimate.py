"""The estimate counts what a filling would ask, without asking or writing."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.partitions import TRACK_SHARDS
from dagster_project import definitions
from dagster_project.estimate import NOTHING, Line, Paid, asked, main, table
from dagster_project.filling import World, fill, follow_slices
from dagster_project.settings import settings
from resources.desk.estimate import Estimate
from resources.lake import Lake
from resources.raw import RawFolder

QUERIES, RELEVANCE, RATINGS = "conversations/queries", "conversations/relevance", "content/mgphot_ratings"
CATEGORIES = 7
SHARDS = len(TRACK_SHARDS.get_partition_keys())


def lines(world: World, paid: Paid = NOTHING, **options: bool) -> dict[str, Line]:
    """The lines by asset."""
    options = {"is_gemini": True, "is_all": False, **options}
    return {line.asset: line for line in asked(world, paid, **options)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of two tracks with the tables that requests are made of."""
    folder = tmp_path_factory.mktemp("estimate")
    tracks = [{"track_uri": f"spotify:track:{n}", "track_name": f"T{n}", "artist_name": "A"} for n in range(2)]
    playlist = {"pid": 0, "name": "P", "modified_at": 1_509_494_400, "tracks": tracks}
    (folder / "raw/mpd").mkdir(parents=True)
    (folder / "raw/mpd/mpd.slice.0-0.json").write_text(json.dumps({"info": {}, "playlists": [playlist]}))
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MUSIC_RAW", str(folder / "raw"))
        patch.setenv("MUSIC_LAKE", str(folder / "lake"))
        importlib.reload(definitions)
        chosen = settings()
        world = World(instance, Lake(root=str(chosen.lake)), RawFolder(root=str(chosen.raw)), chosen.profile)
        steps = list(fill(world, stages=["sources", "catalog", "content"]))
        assert not [step.error for step in steps if step.error]
        yield world
    importlib.reload(definitions)


def test_what_is_not_made_yet_is_named(small: World) -> None:
    """In an empty lake each line says which table is missing, and none fails."""
    follow_slices(small)
    assert all(line.problem and line.figures == Estimate() for line in lines(small).values())


def test_requests_are_counted_asset_by_asset(prepared: World) -> None:
    """Two tracks: a request each for queries, one a category for ratings; too few tracks for a dialogue."""
    found = lines(prepared)
    assert found[QUERIES].figures.requests == 2
    assert found[QUERIES].partitions == SHARDS
    assert found["conversations/turns"].figures.requests == 0
    assert QUERIES in found[RELEVANCE].problem
    # The ratings are up to date: the filling has made them.
    assert (found[RATINGS].partitions, found[RATINGS].figures) == (0, Estimate())
    ratings = lines(prepared, is_all=True)[RATINGS].figures.requests
    assert ratings >= 2 * CATEGORIES
    assert ratings % CATEGORIES == 0


def test_dollars_are_tokens_at_their_price(prepared: World) -> None:
    """gemini-2.5-flash: 0.30 and 2.50 dollars per million tokens in and out; at most, 8,192 tokens out each."""
    figures = lines(prepared)[QUERIES].figures
    assert figures.input_tokens > figures.output_tokens > 0
    assert figures.likely_usd == pytest.approx((0.3 * figures.input_tokens + 2.5 * figures.output_tokens) / 1e6)
    assert figures.most_usd > 2 * 8192 * 2.5 / 1e6


def test_kept_replies_cost_nothing(prepared: World) -> None:
    """Requests whose first call is answered are counted apart."""
    figures = lines(prepared, Paid(lambda keys: keys, {}))[QUERIES].figures
    assert figures == Estimate(kept=2.0)


def test_rules_are_free(prepared: World) -> None:
    """The profile's own language model is rules: requests and no dollars."""
    line = lines(prepared, is_gemini=False)[QUERIES]
    assert (line.model, line.figures.requests, line.figures.likely_usd) == ("rules", 2, 0)


def test_nothing_is_written(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a table and a budget, and leaves no table and no ledger."""
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert RATINGS in printed
    assert "MUSIC_DESK__BUDGET_USD" in printed
    assert {path.name for path in environment.iterdir()} <= {".dagster"}


def test_the_last_line_sums_the_others() -> None:
    """Partitions and figures of all assets together; where one has a problem the sum is incomplete."""
    shown = table([Line("a", "gemini", 2, Estimate(1, 2, 3, 4, 0.5, 6), ""), Line("b", "rules", 1, Estimate(1), "b")])
    assert shown.splitlines()[-1].split() == ["all", "3", "2", "2", "3", "4", "0.50", "6.00", "incomplete"]
