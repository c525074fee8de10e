"""Where a process reads and writes, by its environment."""

from pathlib import Path

import pytest

from dagster_project.settings import PROJECT, settings
from resources.profile import EMBEDDED, PAPER


def test_nothing_set_means_the_sample_world() -> None:
    """The small profile, the sample world and its lake, all under data/embedded of the project."""
    chosen = settings({})
    data = PROJECT / "data/embedded"
    assert (chosen.raw, chosen.lake) == (data / "sample", data / "lake")
    assert chosen.profile == EMBEDDED.model_copy(update={"models": str(PROJECT / "models")})
    assert chosen.is_sample


def test_models_lie_where_they_are_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`MUSIC_MODELS` is of the shell's folder and made absolute, because workers have other ones."""
    monkeypatch.chdir(tmp_path)
    assert settings({"MUSIC_MODELS": "weights"}).profile.models == str(tmp_path.resolve() / "weights")


@pytest.mark.parametrize("environment", [{}, {"MUSIC_RAW": "/music"}, {"MUSIC_LAKE": "/lake"}])
def test_dagsters_home_lies_in_the_lake(environment: dict[str, str]) -> None:
    """Each lake has its own history."""
    chosen = settings(environment)
    assert chosen.home == chosen.lake / ".dagster"


def test_given_data_is_no_sample() -> None:
    """`MUSIC_RAW` is read as it is, and never filled with a sample world."""
    chosen = settings({"MUSIC_RAW": "/music"})
    assert chosen.raw == Path("/music")
    assert not chosen.is_sample


def test_each_folder_of_data_has_its_own_lake() -> None:
    """Two folders of one name at different places have two lakes, both named after them; one folder has one."""
    lakes = [settings({"MUSIC_RAW": raw}).lake for raw in ("/a/music", "/b/music", "/a/music/", "/a/x/../music")]
    assert lakes[0] != lakes[1]
    assert lakes[0] == lakes[2] == lakes[3]
    assert all(lake.name.startswith("lake-music-") for lake in lakes)
    assert settings({}).lake not in lakes


def test_each_profile_has_its_own_lake() -> None:
    """The paper's numbers never meet tables made with the small ones."""
    for environment in ({}, {"MUSIC_RAW": "/music"}):
        paper = settings({**environment, "MUSIC_PROFILE": "paper"})
        assert paper.profile == PAPER.model_copy(update={"models": paper.profile.models})
        assert paper.lake != settings(environment).lake
        assert paper.lake.parent.name == "paper"


def test_a_named_lake_is_used_as_it_is() -> None:
    """`MUSIC_LAKE` comes before every default; a tilde is the home folder, and an empty value is none."""
    assert settings({"MUSIC_LAKE": "/data/lake", "MUSIC_RAW": "/music"}).lake == Path("/data/lake")
    assert settings({"MUSIC_LAKE": "~/lake"}).lake == Path.home().resolve() / "lake"
    assert settings({"MUSIC_LAKE": ""}).lake == settings({}).lake
    assert settings({"MUSIC_RAW": ""}) == settings({})


def test_relative_folders_are_of_the_shells_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is made absolute at once, so that it means the same in every process started later."""
    monkeypatch.chdir(tmp_path)
    chosen = settings({"MUSIC_RAW": "raw", "MUSIC_LAKE": "lake"})
    assert (chosen.raw, chosen.lake) == (tmp_path.resolve() / "raw", tmp_path.resolve() / "lake")


def test_a_lake_that_is_no_folder_is_refused() -> None:
    """An object store is no folder, and no folder of that name is made."""
    with pytest.raises(ValueError, match="MUSIC_LAKE=s3://bucket/lake: the lake must be a folder"):
        settings({"MUSIC_LAKE": "s3://bucket/lake"})
