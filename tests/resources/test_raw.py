"""The folder of published data: slices found by name, and versions of what is there and what is not."""

import hashlib
import os
from pathlib import Path

import pytest

from resources.raw import RawFolder, slice_order


def written(path: Path, text: str = "{}") -> Path:
    """A file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_slices_are_found_at_any_depth_in_numeric_order(tmp_path: Path) -> None:
    """A slice is known by its name wherever it lies under mpd/, and 2000 comes before 10000."""
    for place in ("mpd.slice.10000-10999.json", "data/mpd.slice.2000-2999.json", "a/b/mpd.slice.0-999.json"):
        written(tmp_path / "mpd" / place)
    slices = RawFolder(root=str(tmp_path)).slices()
    assert list(slices) == ["mpd.slice.0-999", "mpd.slice.2000-2999", "mpd.slice.10000-10999"]
    assert slices["mpd.slice.2000-2999"] == tmp_path / "mpd/data/mpd.slice.2000-2999.json"


@pytest.mark.parametrize(
    "name", ["challenge_set.json", "mpd.slice.0-999.json.json", "mpd.slice.a-b.json", "old.mpd.slice.0-999.json"]
)
def test_other_files_are_no_slices(tmp_path: Path, name: str) -> None:
    """What is not named as the publisher names slices is passed over."""
    written(tmp_path / "mpd" / name)
    assert RawFolder(root=str(tmp_path)).slices() == {}


def test_no_folder_has_no_slices(tmp_path: Path) -> None:
    """Published data without mpd/ has no slices, and that is no error."""
    assert RawFolder(root=str(tmp_path / "nowhere")).slices() == {}


def test_one_name_twice_is_an_error_that_names_both(tmp_path: Path) -> None:
    """Two files of one name would be one partition: both paths are named."""
    paths = [written(tmp_path / "mpd" / folder / "mpd.slice.0-999.json") for folder in ("a", "b")]
    with pytest.raises(ValueError, match="have one name") as caught:
        RawFolder(root=str(tmp_path)).slices()
    assert all(str(path) in str(caught.value) for path in paths)


def test_slices_that_start_alike_are_ordered_by_name() -> None:
    """The first number decides, then the whole name."""
    names = ["mpd.slice.10-19", "mpd.slice.9-99", "mpd.slice.9-10"]
    assert sorted(names, key=slice_order) == ["mpd.slice.9-10", "mpd.slice.9-99", "mpd.slice.10-19"]


def test_the_version_of_a_file_is_its_content(tmp_path: Path) -> None:
    """SHA-256 of the bytes: touching changes nothing, another byte does, also where size stays."""
    raw, path = RawFolder(root=str(tmp_path)), written(tmp_path / "facts/tracks.jsonl", "abc")
    assert raw.version(path) == hashlib.sha256(b"abc").hexdigest()
    os.utime(path, (0, 0))
    assert raw.version(path) == hashlib.sha256(b"abc").hexdigest()
    path.write_text("abd")
    assert raw.version(path) == hashlib.sha256(b"abd").hexdigest()


def test_the_version_of_a_folder_is_its_listing(tmp_path: Path) -> None:
    """A file more in a folder, at any depth, is another version; a folder that is not there has none."""
    raw = RawFolder(root=str(tmp_path))
    assert raw.version(raw.lastfm) == ""
    written(raw.lastfm / "a.tsv")
    version = raw.version(raw.lastfm)
    assert raw.version(raw.lastfm) == version
    written(raw.lastfm / "more/b.tsv")
    assert raw.version(raw.lastfm) not in ("", version)


def test_stats_change_with_any_of_the_files(tmp_path: Path) -> None:
    """Size, time of change and absence count, and so does which files are asked for."""
    raw = RawFolder(root=str(tmp_path))
    path = written(tmp_path / "audio/a.flac", "abc")
    absent = raw.stats(["audio/a.flac", "audio/b.flac"])
    seen = {absent, raw.stats(["audio/a.flac"]), raw.stats(["audio/b.flac"])}
    os.utime(path, ns=(1, 1))
    seen.add(raw.stats(["audio/a.flac"]))
    written(tmp_path / "audio/b.flac", "abc")
    seen.add(raw.stats(["audio/a.flac", "audio/b.flac"]))
    assert len(seen) == 5
    (tmp_path / "audio/b.flac").unlink()
    os.utime(path, ns=(2, 2))
    assert raw.stats(["audio/a.flac"]) == raw.stats(iter(["audio/a.flac"]))


def test_paths_are_recorded_relative_to_the_folder(tmp_path: Path) -> None:
    """A commit record names a published file by its place in the folder, so that the folder may move."""
    raw = RawFolder(root=str(tmp_path))
    assert raw.relative(raw.mpd / "a/b.json") == "mpd/a/b.json"
