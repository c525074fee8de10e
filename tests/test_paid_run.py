"""Money, end to end: runs as a person starts them, asking a local Gemini, killed and started again.

The lake that one undisturbed run made is what the others are compared with; they start from copies of it without the
tables that a language model writes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest

from assets.content.tables import MGPHOT, MGPHOT_AGREEMENT, MGPHOT_RATINGS
from assets.conversations.tables import QUERIES, RELEVANCE, STATISTICS, TURNS
from resources.desk.ledger import Ledger
from resources.desk.opening import desk_folder
from resources.desk_settings import DeskSection
from resources.lake import Lake, Record
from resources.profile import Profile
from resources.sample.checkpoints.chat_model import write
from resources.sample.gemini.server import GeminiServer
from resources.sample.world import WorldSize, make_world
from resources.tables import Table, refused_table

SIZE = WorldSize(playlists=12, tracks=60, listeners=2, plays=300, playlist_length=10.0, slice_size=6, with_audio=False)
KEY = "AIza-a-key-that-must-be-nowhere"
CONCURRENCY = 4
ASKED = (TURNS, QUERIES, RELEVANCE)
STAGES = ("--stages", "sources", "catalog", "content", "conversations")
PAID = (MGPHOT_RATINGS, *ASKED)
MADE_OF_QUERIES = (MGPHOT_RATINGS, MGPHOT, MGPHOT_AGREEMENT, TURNS, STATISTICS, RELEVANCE)
MADE = (*MADE_OF_QUERIES, QUERIES)
SETTINGS = {
    "MUSIC_CONVERSATIONS__LANGUAGE_MODEL": "gemini",
    "MUSIC_CONVERSATIONS__QUERY_TRACKS": "12",
    "MUSIC_MGPHOT__LANGUAGE_MODEL": "gemini",
    "MUSIC_MGPHOT__ASKED": "all",
    "MUSIC_MGPHOT__TRACKS": "12",
    "MUSIC_GEMINI__TEMPERATURE": "0",  # or the server answers otherwise when it is asked again
    "MUSIC_ANSWERS__MAX_OUTPUT_TOKENS": "2048",
    "MUSIC_DESK__CONCURRENCY": str(CONCURRENCY),
    "MUSIC_DESK__BATCH_FROM": "0",
    "MUSIC_DESK__BUDGET_USD": "5",
    "GEMINI_API_KEY": KEY,
}
CHAT = {  # short prompts: the tiny tokenizer makes a token of nearly every letter
    "MUSIC_CONVERSATIONS__LANGUAGE_MODEL": "chat",
    "MUSIC_CONVERSATIONS__DIALOGUES": "1",
    "MUSIC_CONVERSATIONS__MIN_TURNS": "1",
    "MUSIC_CONVERSATIONS__MAX_TURNS": "1",
    "MUSIC_CONVERSATIONS__QUERY_TRACKS": "4",
    "MUSIC_MGPHOT__LANGUAGE_MODEL": "chat",
    "MUSIC_MGPHOT__ASKED": "category",
    "MUSIC_MGPHOT__TRACKS": "1",
    "MUSIC_CHAT_MODEL__BATCH": "1",  # without padding there is no mask, which is many times as fast here
    "MUSIC_ANSWERS__MAX_OUTPUT_TOKENS": "4",
    "MUSIC_ANSWERS__RE_ASKS": "1",
}


@dataclass
class Runs:
    """Starts runs on one world, and keeps what they printed."""

    journey: ModuleType
    world: Path
    folder: Path
    forking: Any  # journey's
    printed: list[Path] = field(default_factory=list)

    def command(self, lake: Path, *command: str, **settings: str) -> str:
        """A command of a process of its own, which must succeed; what it printed."""
        with self._new_page().open("wb") as out:
            done = subprocess.run(
                [sys.executable, "-m", *command],
                env=self.journey.environment(self.world, lake, **{**SETTINGS, **settings}),
                cwd=self.journey.PROJECT,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=300,
                check=False,
            )
        assert done.returncode == 0, self.printed[-1].read_text()[-4000:]
        return self.printed[-1].read_text()

    def start(self, lake: Path, server: GeminiServer, *stages: str, **settings: str) -> int:
        """A run that fills these stages of the lake; its process."""
        settings = {**SETTINGS, "MUSIC_GEMINI__ENDPOINT": server.endpoint, **settings}
        environment = self.journey.environment(self.world, lake, **settings)
        return self.forking.start(("--stages", *stages), environment, self._new_page())

    def run(self, lake: Path, server: GeminiServer, *stages: str, **settings: str) -> str:
        """The same to its end, which must be good; what it printed."""
        process = self.start(lake, server, *stages, **settings)
        assert self.end(process) == 0, self.printed[-1].read_text()[-4000:]
        return self.printed[-1].read_text()

    def end(self, process: int) -> int:
        """Waits for a run; its exit code."""
        return self.forking.end(process)

    def kill(self, process: int, is_time: Callable[[], bool]) -> None:
        """SIGKILL, when it is time."""
        ends = time.monotonic() + 120
        while not is_time():
            assert Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z", "it ended first"
            assert time.monotonic() < ends
            time.sleep(0.005)
        os.kill(process, signal.SIGKILL)
        assert self.end(process) == -signal.SIGKILL

    def copy(self, lake: Path, *without: Table) -> Path:
        """The lake without these tables, in a folder of its own, so that its desk is a new one."""
        copied = self.folder / f"copy-{len(list(self.folder.iterdir()))}" / "lake"
        shutil.copytree(lake, copied)
        self.journey.forget(copied, *without)
        return copied

    def _new_page(self) -> Path:
        self.printed.append(self.folder / f"printed-{len(self.printed)}.txt")
        return self.printed[-1]


def versions(lake: Path, *tables: Table) -> dict[str, str]:
    """The content of each table."""
    return {table.path: Lake(root=str(lake)).version(table) for table in tables}


def records(lake: Path, *tables: Table) -> list[Record]:
    """The commit records of all partitions of the tables."""
    of = Lake(root=str(lake))
    found = [of.record(table, key) for table in tables for key in of.partitions(table)]
    return [record for record in found if record]


def noted(found: list[Record], name: str) -> float:
    """A note's sum over the partitions."""
    return sum(float(record.origin.notes.get(name, 0)) for record in found)


def spent(lake: Path, **desk: Any) -> float:
    """Dollars in the ledger, what is reserved included."""
    with Ledger(desk_folder(Profile(desk=DeskSection(**desk)), lake), DeskSection()) as ledger:
        return sum(row.usd + row.reserved_usd for row in ledger.spent())


@pytest.fixture(scope="module")
def runs(journey: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs on a world of a few playlists."""
    folder = tmp_path_factory.mktemp("paid")
    world = folder / "world"
    make_world(world, size=SIZE, seed=11)
    forking = journey.Forking(journey.environment(world, folder), "--definitions")
    yield Runs(journey, world, folder, forking)
    forking.close()


@pytest.fixture(scope="module")
def service() -> Iterator[GeminiServer]:
    """The server that the undisturbed run asks."""
    with GeminiServer(key=KEY) as server:
        yield server


@dataclass(frozen=True)
class Undisturbed:
    """The lake of an undisturbed run, what it printed, and what the server counted."""

    lake: Path
    printed: str
    calls: int
    usd: float


@pytest.fixture(scope="module")
def paid(runs: Runs, service: GeminiServer) -> Undisturbed:
    """One run of all stages that there are up to conversations."""
    lake = runs.folder / "undisturbed" / "lake"
    printed = runs.command(lake, "dagster_project.run", *STAGES, MUSIC_GEMINI__ENDPOINT=service.endpoint)
    return Undisturbed(lake, printed, service.calls, service.usd)


def test_a_run_is_answered_and_its_cost_is_the_servers(paid: Undisturbed, service: GeminiServer) -> None:
    """Every table has rows; the notes of all partitions, the ledger and the server tell one sum."""
    assert "failed" not in paid.printed
    found = records(paid.lake, *PAID)
    assert all(any(record.rows for record in found if record.table == table.path) for table in PAID)
    assert noted(found, "calls_to_the_model") == paid.calls == service.paid_calls
    assert service.paid_twice == []
    assert noted(found, "cost_usd") == pytest.approx(paid.usd, abs=1e-6 * len(found))
    assert spent(paid.lake) == pytest.approx(paid.usd, abs=1e-8)
    assert noted(found, "input_tokens") == service.snapshot()["input_tokens"]
    assert noted(found, "output_tokens") == service.snapshot()["output_tokens"]
    requests, refused = noted(found, "requests"), noted(found, "requests_refused")
    assert requests > 60
    assert refused == sum(sum(record.origin.refused.values()) for record in found) < 0.2 * requests


def test_a_second_run_asks_nothing(runs: Runs, paid: Undisturbed, service: GeminiServer) -> None:
    """Nothing is to be done; and where the tables are gone, kept replies make them again, the same."""
    before = versions(paid.lake, *MADE)
    assert "Nothing to do" in runs.run(paid.lake, service, *STAGES[1:])
    remade = paid.lake.with_name("remade")  # the desk lies beside
    shutil.copytree(paid.lake, remade)
    runs.journey.forget(remade, *MADE)
    runs.run(remade, service, "content", "conversations")
    assert service.calls == paid.calls
    assert versions(remade, *MADE) == before
    found = records(remade, *PAID)
    assert (noted(found, "calls_to_the_model"), noted(found, "cost_usd")) == (0, 0)
    assert noted(found, "replies_kept_from_before") >= paid.calls


def test_killed_runs_pay_again_only_what_was_under_way(runs: Runs, paid: Undisturbed) -> None:
    """Three kills at random moments with calls under way; the next run goes on, and its content is the undisturbed."""
    lake = runs.copy(paid.lake, *ASKED, STATISTICS)
    kills = sorted(Random(5).sample(range(5, 40), 3))
    with GeminiServer(key=KEY, latency_s=0.25) as server:
        for calls in kills:
            runs.kill(runs.start(lake, server, "conversations"), partial(is_at, server, calls))
        runs.run(lake, server, "conversations")
        assert 0 < sum(times - 1 for times in server.counters.times_paid.values()) <= CONCURRENCY * len(kills)
        assert max(server.counters.times_paid.values()) <= 1 + len(kills)
        assert spent(lake) >= server.usd
    assert versions(lake, *ASKED, STATISTICS) == versions(paid.lake, *ASKED, STATISTICS)


def is_at(server: GeminiServer, calls: int) -> bool:
    """Whether it has got so many calls and some are under way."""
    return server.calls >= calls and server.counters.at_once > 0


def test_four_processes_keep_to_one_budget(runs: Runs, paid: Undisturbed) -> None:
    """Together they never exceed it, and end with a line that names the setting; with more, only the rest is paid."""
    lakes = [runs.copy(paid.lake, *ASKED, STATISTICS) for _ in range(4)]
    desk = runs.folder / "desk"
    cap = 0.05
    with GeminiServer(key=KEY, latency_s=0.05) as server:
        shared = {"MUSIC_DESK__FOLDER": str(desk), "MUSIC_DESK__BUDGET_USD": str(cap)}
        processes = [
            runs.start(lake, server, "conversations", **shared, MUSIC_CONVERSATIONS__SEED=str(place))
            for place, lake in enumerate(lakes)
        ]
        assert [runs.end(process) for process in processes] == [1] * 4
        assert 0.5 * cap < server.usd <= cap
        for printed in runs.printed[-4:]:
            text = printed.read_text()
            assert "Traceback" not in text
            assert "raise desk.budget_usd (MUSIC_DESK__BUDGET_USD) to go on" in text
        runs.run(
            lakes[0], server, "conversations", **shared | {"MUSIC_DESK__BUDGET_USD": "5"}, MUSIC_CONVERSATIONS__SEED="0"
        )
        assert server.paid_twice == []
        assert spent(lakes[0], folder=str(desk)) == pytest.approx(server.usd, abs=1e-8)


def test_a_batch_job_outlives_its_run(runs: Runs, paid: Undisturbed) -> None:
    """Killed while its first job runs: the next run fetches that job, at half the price; the content is the same."""
    lake = runs.copy(paid.lake, *ASKED, STATISTICS)
    batched = {"MUSIC_DESK__BATCH_FROM": "2", "MUSIC_DESK__BATCH_POLL_S": "0.1"}
    with GeminiServer(key=KEY, batch_looks=4) as server:
        jobs = server.counters.by_endpoint
        process = runs.start(lake, server, "conversations", **batched)
        runs.kill(process, lambda: jobs["batchGenerateContent"] == 1 and jobs["batches"] > 1 and server.paid_calls > 4)
        runs.run(lake, server, "conversations", **batched)
        names = job_names(server)
        assert len(names) == len(set(names)) == jobs["batchGenerateContent"]
        assert server.paid_twice == []
        assert spent(lake) == pytest.approx(server.usd, abs=1e-8)
        assert noted(records(lake, *ASKED), "cost_usd") == pytest.approx(server.usd, abs=1e-5)
    assert versions(lake, *ASKED, STATISTICS) == versions(paid.lake, *ASKED, STATISTICS)


def job_names(server: GeminiServer) -> list[str]:
    """The display name of every job that the server was given."""
    asked = urllib.request.Request(f"{server.endpoint}/v1beta/batches", headers={"x-goog-api-key": KEY})  # noqa: S310
    with urllib.request.urlopen(asked) as reply:  # noqa: S310
        return [operation["metadata"]["displayName"] for operation in json.load(reply)["operations"]]


def test_a_tiny_chat_model_serves_every_task(runs: Runs, paid: Undisturbed, service: GeminiServer) -> None:
    """Its noise is refused, row by row; the refused rows, the commit records and the notes tell the same numbers."""
    lake = runs.copy(paid.lake, *MADE_OF_QUERIES)
    calls, models = service.calls, runs.folder / "models"
    chat = {**CHAT, **write(models), "MUSIC_MODELS": str(models)}
    # By itself and first: there will be no queries to judge when the model has written none.
    select = ["--select", "conversations/relevance", "--partition", Lake(root=str(lake)).partitions(QUERIES)[0]]
    command = ["dagster", "asset", "materialize", *select, "-m", "dagster_project.definitions"]
    runs.command(lake, *command, **chat, DAGSTER_HOME=str(lake / ".dagster"))
    told_of_refusals(lake, RELEVANCE)
    printed = runs.run(lake, service, "content", "conversations", **chat)
    for table in (MGPHOT_RATINGS, TURNS, QUERIES):
        told_of_refusals(lake, table)
    assert service.calls == calls
    assert "failed" not in printed


def told_of_refusals(lake: Path, table: Table) -> None:
    """Every request was refused, and refused rows, commit records and notes tell the same."""
    found = records(lake, table)
    refused = refused_table(table.stage)
    keys = [key for key in Lake(root=str(lake)).partitions(refused) if key.startswith(f"{table.name}.")]
    reasons = Counter(Lake(root=str(lake)).read(refused, keys)["reason"])
    assert reasons == sum((Counter(record.origin.refused) for record in found), Counter[str]())
    assert noted(found, "requests") == noted(found, "requests_refused") == reasons.total() >= 4
    assert noted(found, "calls_to_the_model") >= reasons.total()
    assert reasons.keys() <= {"max_tokens", "unparsable", "empty"}
    assert sum(record.rows for record in found) == 0


def test_the_key_is_nowhere(runs: Runs, paid: Undisturbed) -> None:
    """Neither in any file of any lake, Dagster's home and the ledger included, nor in what was printed."""
    files = [path for path in runs.folder.rglob("*") if path.is_file()]
    assert {".dagster", "music-desk"} <= {part for path in files for part in path.parts}
    assert set(runs.printed) <= set(files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
