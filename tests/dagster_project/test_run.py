"""`python -m dagster_project.run`: one line for what a person got wrong, and exit code 1."""

import fcntl
from pathlib import Path

import pytest

from assets.sources.tables import PLAYLISTS
from dagster_project.run import main
from resources.lake import Lake


@pytest.fixture(autouse=True)
def _settled(environment: Path) -> None:
    """Every run here reads the tiny published data and writes a lake of its own."""


def test_a_raw_folder_that_is_none_is_named(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A `MUSIC_RAW` that is not there, or is a file, is one line on stderr that says what belongs there."""
    for raw in (tmp_path / "nowhere", Path(__file__)):
        monkeypatch.setenv("MUSIC_RAW", str(raw))
        assert main([]) == 1
        said = capsys.readouterr().err
        assert said == f"MUSIC_RAW={raw} is not a folder: name the folder that holds mpd/, lastfm/, ...\n"
    assert not environment.exists()


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("MUSIC_PROFILE", "papers", "MUSIC_PROFILE=papers: wanted one of embedded, paper"),
        ("MUSIC_LAKE", "s3://lake", "MUSIC_LAKE=s3://lake: the lake must be a folder; object stores are not supported"),
        ("MUSIC_TOKENS__K", "5", "MUSIC_TOKENS__K: the profile has no field tokens.k; see resources/profile.py"),
    ],
)
def test_a_wrong_setting_is_one_line(
    variable: str, text: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that says what cannot be is named on stderr, without a traceback."""
    monkeypatch.setenv(variable, text)
    assert main([]) == 1
    assert capsys.readouterr().err == f"{said}\n"


def test_a_slice_that_is_there_twice_is_one_line(published, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files of one slice are both named."""
    path = published.root / "mpd/mpd.slice.0-1.json"
    copy = published.root / "mpd/again/mpd.slice.0-1.json"
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(path) in said
    assert str(copy) in said


def test_a_second_run_of_one_lake_says_so(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While another process holds the lake a run stops with one line and writes nothing."""
    environment.mkdir()
    with (environment / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main([]) == 1
        assert capsys.readouterr().err == f"another run fills {environment}: wait for it, or stop it\n"
        assert [path.name for path in environment.iterdir()] == [".lock"]


def test_an_unknown_slice_is_named(environment: Path, published, capsys: pytest.CaptureFixture[str]) -> None:
    """A slice that has no file is one line on stderr, with the folder that was searched; nothing is filled."""
    assert main(["--slice", "mpd.slice.5-6"]) == 1
    said = capsys.readouterr().err
    assert said == f"no mpd.slice.5-6.json under {published.root / 'mpd'}: name a slice file without .json\n"
    assert Lake(root=str(environment)).partitions(PLAYLISTS) == []


def test_an_unknown_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The stages there are are named."""
    with pytest.raises(SystemExit) as stopped:
        main(["--stages", "embedding"])
    assert stopped.value.code == 2
    assert "embeddings" in capsys.readouterr().err


def test_a_run_with_a_failed_asset_ends_red(published, environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is filled, the summary names the asset and its error, the exit code is 1; once it is mended, 0."""
    (published.root / "facts/artists.jsonl").mkdir(parents=True)
    assert main(["--stages", "sources"]) == 1
    assert "1 assets failed; the first: sources/artist_facts: " in capsys.readouterr().out
    assert Lake(root=str(environment)).partitions(PLAYLISTS) == ["mpd.slice.0-1"]
    (published.root / "facts/artists.jsonl").rmdir()
    assert main(["--stages", "sources"]) == 0
    assert "1 of 8 partitions made" in capsys.readouterr().out
