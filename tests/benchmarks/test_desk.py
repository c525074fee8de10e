from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import CAPTIONS, LYRICS, RHYTHM, TAGS
from assets.content.track_facts import Content
from assets.conversations.dialogues import Dialogue, conversation_requests
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS
from benchmarks.desk import (
    at_latency,
    at_rate_limit,
    estimated,
    library_alone,
    profile_for,
    through_desk,
)
from benchmarks.desk_floors import identity, latency_floor_s, rate_floor_s
from resources.desk.calls import Prompt
from resources.desk.prompts import first_prompt
from resources.gemini import KEY_NAME
from resources.profile import EMBEDDED
from resources.sample.gemini.server import KEY, GeminiServer
from resources.sample.gemini.service import Latency
from resources.tables import Table

TITLES = [
    "Silver River",
    "Broken Mirror",
    "Quiet Engine",
    "Golden Lantern",
    "Hollow Winter",
    "Wild Garden",
    "Frozen Sea",
]
QUICK = Latency(0.01, 0.4)


def frame(table: Table, **columns: object) -> pl.DataFrame:
    """Rows of a table with these columns and nothing in the others."""
    types = {name: table.empty().schema[name] for name in columns}
    return pl.concat([table.empty(), pl.DataFrame(columns, schema=types)], how="diagonal")


@pytest.fixture(scope="module")
def dialogues() -> list[Dialogue]:
    """Two dialogues for each of two training playlists of the same seven tracks."""
    ids = [f"track-{place}" for place in range(len(TITLES))]
    artists = [f"Ensemble {place}" for place in range(len(TITLES))]
    positions = [(playlist, place, uri) for playlist in (1, 2) for place, uri in enumerate(ids)]
    playlist_ids, places, uris = map(list, zip(*positions, strict=True))
    others = (table.empty() for table in (TAGS, RHYTHM, CAPTIONS, LYRICS))
    asked = conversation_requests(
        frame(PLAYLISTS, playlist_id=[1, 2], name=["morning", "evening"], slice=["a", "a"]),
        frame(PLAYLIST_TRACKS, playlist_id=playlist_ids, position=places, track_uri=uris, slice=["a"] * len(uris)),
        frame(PLAYLIST_SPLITS, playlist_id=[1, 2], slice=["a", "a"], split=["train", "train"]),
        Content(frame(TRACKS, track_id=ids, title=TITLES, artist=artists, track_uri=ids), *others),
        dialogues=2,
        turns=(5, 7),
        seed=7,
    )
    return asked.dialogues


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    """A quick server, its key in the environment."""
    monkeypatch.setenv(KEY_NAME, KEY)
    with GeminiServer(latency_s=QUICK.median_s, latency_sigma=QUICK.sigma) as server:
        yield server


def prompts_of(dialogues: list[Dialogue]) -> list[Prompt]:
    """The first prompt of each."""
    return [first_prompt(dialogue.request, EMBEDDED.answers) for dialogue in dialogues]


def test_both_sides_make_the_calls_that_the_floor_is_of(
    dialogues: list[Dialogue], server: GeminiServer, tmp_path: Path
) -> None:
    """Desk and library are billed once each for the very prompts whose latencies the floor adds up."""
    profile, prompts = profile_for(server.endpoint, at_once=2), prompts_of(dialogues)
    ours = through_desk(dialogues, profile, tmp_path)
    alone = library_alone(prompts, profile)
    assert server.counters.times_paid == {identity(prompt): 2 for prompt in prompts}
    assert (ours.server["calls"], alone.server["calls"]) == (4, 8)
    assert (ours.tally.requests, ours.tally.calls, alone.tally.calls) == (4, 4, 4)
    assert ours.tally.usd == pytest.approx(ours.server["usd"])


def test_latency_floor_gives_each_prompt_to_the_first_free_slot(dialogues: list[Dialogue]) -> None:
    """Four calls of 3 s, three at once, end after 6 s."""
    assert latency_floor_s(prompts_of(dialogues), Latency(3.0), at_once=3) == 6


def test_rate_floor_is_the_burst_at_once_and_then_the_limit(dialogues: list[Dialogue]) -> None:
    """At 61 a minute one call goes at once and the others at the limit; the last reply comes 3 s after its call."""
    prompts = prompts_of(dialogues)
    assert rate_floor_s(prompts, 4, Latency(3.0), per_minute=61) == pytest.approx(3 * 60 / 61 + 3)
    assert rate_floor_s(prompts, 8, Latency(3.0), per_minute=61) == pytest.approx(7 * 60 / 61 + 3)
    assert rate_floor_s(prompts, 4, Latency(3.0), per_minute=61 * 4) == 3


def test_every_claim_has_figures(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tiny run makes no call for kept requests, books no less than was billed, and prints a line a run."""
    monkeypatch.setenv(KEY_NAME, KEY)
    paced = at_rate_limit(dialogues, tmp_path, latency=QUICK)
    claims = [*paced, *at_latency(dialogues, tmp_path, latency=QUICK, rounds=1), estimated(dialogues)]
    assert all(claim.ours > 0 and claim.alternative > 0 for claim in claims)
    assert len({claim.name for claim in claims}) == 7
    assert paced[1].ours >= paced[1].alternative > 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "the desk, 1000 calls a minute, faults",
        "the desk, all kept",
        "the desk, 16 at once",
        "the library alone, 16 at once",
    ]
    assert " 0 calls, " in lines[1]
