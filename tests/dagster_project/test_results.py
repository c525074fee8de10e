"""`python -m dagster_project.results` prints what was measured."""

from pathlib import Path

import polars as pl
import pytest

from assets.evaluation.tables import CBR, TALKPLAY
from dagster_project.results import TEXTS, main
from dagster_project.stages import STAGES
from resources.lake import Lake
from resources.tables import Table


def fill(lake: Lake, *rows: tuple[object, ...], table: Table = CBR) -> None:
    """Writes rows of an evaluation table."""
    frame = pl.DataFrame(rows, schema=table.empty().schema, orient="row")
    lake.write(table, frame, attempt=lake.claim(table))


def test_the_table_is_printed(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Value, interval and the paper's figure, under the profile and the lake."""
    fill(Lake(root=str(environment)), ("m3token", "cp", "hit", 5, 0.25, 0.2, 0.3, 0.0, 0.0, 0.0, 60, 0.284))
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"profile embedded, lake {environment}\n\nCBR on test playlists (CP): 60 cases")
    assert ".250 [.200, .300] (.284)" in printed


def test_tables_follow_each_other(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """TalkPlay's below retrieval by content."""
    lake = Lake(root=str(environment))
    figures = (0.25, 0.2, 0.3, None, None, None, 60, 0.005)
    fill(lake, ("bm25", "turns", "all", "mrr", 0, *figures), table=TALKPLAY)
    fill(lake)
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert printed.index("CBR on test playlists") < printed.index("TalkPlay on test conversations: 95 % intervals")
    assert ".250 [.200, .300] (.005)" in printed


def test_no_table_is_one_line(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lake without evaluation says how to get one, and is not written to."""
    assert main([]) == 1
    assert capsys.readouterr().err == f"no evaluation table in {environment}: make them with `make run`\n"
    assert not environment.exists()


def test_no_cases_are_said(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table without rows, as of a corpus without test data."""
    fill(Lake(root=str(environment)))
    assert main([]) == 0
    assert capsys.readouterr().out.count("no cases in this lake") == 2


def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As for every command."""
    monkeypatch.setenv("MUSIC_PROFILE", "papers")
    assert main([]) == 1
    assert capsys.readouterr().err == "MUSIC_PROFILE=papers: wanted one of embedded, paper\n"


def test_every_evaluation_table_has_a_text() -> None:
    """Those that the definitions make; other stages have none."""
    from assets.making import MAKINGS
    from dagster_project import definitions

    assert definitions
    assert {table.path for table in TEXTS} == {path for path in MAKINGS if path.startswith(f"{STAGES[-1]}/")}
