"""A world as a whole: whole or absent, the same bytes from the same seed."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from resources.sample.__main__ import main
from resources.sample.world import WorldSize, make_world, read_world_file

TINY = WorldSize(playlists=30, tracks=80, listeners=7, plays=300, slice_size=20, audio_s=1.0)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_seed_gives_the_same_bytes(tmp_path):
    """Two worlds of one seed and size agree in every byte of every file, audio included."""
    make_world(tmp_path / "a", size=TINY, seed=3)
    make_world(tmp_path / "b", size=TINY, seed=3)
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    assert {Path(name).suffix for name in first} >= {".ogg", ".flac", ".wav", ".mp3", ".json", ".tsv", ".jsonl", ".txt"}


def test_another_seed_gives_another_world(tmp_path):
    """No slice, log or fact file of seed 4 equals that of seed 3."""
    size = replace(TINY, with_audio=False)
    make_world(tmp_path / "a", size=size, seed=3)
    make_world(tmp_path / "b", size=size, seed=4)
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_world_of_the_same_settings_is_left_alone(tmp_path):
    """A second call writes nothing and returns the same counts."""
    size = replace(TINY, with_audio=False)
    first = make_world(tmp_path / "w", size=size, seed=3)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("*")}
    second = make_world(tmp_path / "w", size=size, seed=3)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "w").rglob("*")}
    assert first.is_new
    assert second == replace(first, is_new=False)


def test_world_of_other_settings_is_replaced(tmp_path):
    """After a call with another size only the new world is there."""
    size = replace(TINY, with_audio=False)
    make_world(tmp_path / "w", size=size, seed=3)
    make_world(tmp_path / "w", size=replace(size, playlists=20), seed=3)
    assert [path.name for path in (tmp_path / "w" / "mpd").iterdir()] == ["mpd.slice.0-19.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_leavings_of_a_killed_run_do_no_harm(tmp_path):
    """A half-written sibling folder is cleared away and its files do not get into the world."""
    (tmp_path / ".w.partial" / "mpd").mkdir(parents=True)
    (tmp_path / ".w.partial" / "mpd" / "mpd.slice.9-9.json").write_text("{")
    make_world(tmp_path / "w", size=replace(TINY, with_audio=False), seed=3)
    assert sorted(path.name for path in (tmp_path / "w" / "mpd").iterdir()) == [
        "mpd.slice.0-19.json",
        "mpd.slice.20-29.json",
    ]


def test_folder_with_other_files_is_refused(tmp_path):
    """What is not a world is never deleted."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"world\.json"):
        make_world(tmp_path, size=TINY)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("field", ["playlists", "tracks", "playlist_length", "slice_size", "audio_s"])
def test_impossible_size_is_refused(field):
    """A size that no world can have names the field."""
    with pytest.raises(ValueError, match=field):
        replace(TINY, **{field: 0})


def test_world_file_states_settings_and_counts(world):
    """world.json has the seed and the number of playlists and plays."""
    stated = read_world_file(world.folder)
    assert stated.settings["seed"] == 7
    assert (stated.counts["playlists"], stated.counts["plays"], stated.counts["slices"]) == (130, 3_000, 3)


def test_latent_table_has_one_row_a_track_with_its_ids(world):
    """Every track but those of the listening log alone has a uri; every row tells its genre, mood, tempo and key."""
    latent = world.latent()
    assert latent.height == 240
    assert ((latent["track_uri"].is_null()) == (latent["origin"] == "lastfm_only")).all()
    assert latent["track_uri"].drop_nulls().n_unique() == latent["track_uri"].drop_nulls().len()
    assert (
        latent.select("genre", "mood", "tempo_bpm", "key", "energy", "vocal").null_count().sum_horizontal().item() == 0
    )


def test_command_writes_a_world_and_says_so(tmp_path, capsys):
    """`python -m resources.sample` prints the counts."""
    main(
        [
            "--out",
            str(tmp_path / "w"),
            "--playlists",
            "10",
            "--tracks",
            "80",
            "--listeners",
            "6",
            "--plays",
            "100",
            "--no-audio",
        ]
    )
    printed = capsys.readouterr().out
    assert "written" in printed
    assert not (tmp_path / "w" / "audio").exists()
    assert (tmp_path / "w" / "world.json").is_file()
