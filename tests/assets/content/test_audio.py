import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
from mutagen.flac import FLAC

from assets.content.audio import AudioFiles, audio_files, find_recordings, hashed_files, rhythm_frame
from assets.content.hearing import Facts, Hearing, HearingSettings, Prepared, Recorded
from assets.content.tables import AUDIO_FILES, REFUSED, RHYTHM
from assets.content.tempo import Rhythm
from resources.refusals import Refusal

Encode = Callable[..., bytes]

URI = "spotify:track:0abcdefghijklmnopqrstu"
MBID = "12345678-1234-1234-1234-123456789abc"


def tracks(*rows: tuple[str, str | None, str | None, str, str]) -> pl.DataFrame:
    """Rows of the catalog."""
    names = ["track_id", "track_uri", "track_mbid", "artist", "title"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


ONE = tracks((URI, URI, None, "Ann", "Rain"))


def audio(root: Path) -> Path:
    """The audio folder of the raw data."""
    folder = root / "audio"
    folder.mkdir(exist_ok=True)
    return folder


def reasons(refused: pl.DataFrame) -> dict[str, str]:
    """Reason by file."""
    return dict(REFUSED.checked(refused).select("source", "reason").rows())


def manifest(root: Path, paths: dict[str, str | None]) -> AudioFiles:
    """content/audio_files of the tracks, each file decoded."""
    frame = pl.DataFrame({"track_id": list(paths), "path": list(paths.values())}, schema_overrides={"path": pl.String})
    hashed = hashed_files(root, frame)
    settings = HearingSettings(str(root), 60.0, {"facts": 8_000}, "{}")
    heard: dict[str, Facts | Refusal] = {}
    for track_id, path, sha256 in hashed.files.drop_nulls("sha256").select("track_id", "path", "sha256").iter_rows():
        prepared = Hearing.prepare(settings, Recorded(track_id, path, sha256), ("facts",))
        heard[track_id] = prepared.facts if isinstance(prepared, Prepared) else prepared
    return audio_files(hashed, heard)


def test_a_file_belongs_to_the_track_it_is_named_after(tmp_path: Path) -> None:
    """Spotify id, MusicBrainz id and the track id with '_' for ':' name a track; the suffix may be in capitals."""
    folder = audio(tmp_path)
    (folder / "deep").mkdir()
    for name in ("0abcdefghijklmnopqrstu.mp3", f"deep/{MBID}.OGG", "name_77.wav"):
        (folder / name).write_bytes(b"")
    catalog = tracks(
        (URI, URI, None, "Ann", "Rain"), (f"mbid:{MBID}", None, MBID, "Bo", "Sun"), ("name:77", None, None, "Cy", "Fog")
    )
    found = find_recordings(tmp_path, catalog)
    assert dict(found.paths.rows()) == {
        URI: "audio/0abcdefghijklmnopqrstu.mp3",
        f"mbid:{MBID}": f"audio/deep/{MBID}.OGG",
        "name:77": "audio/name_77.wav",
    }
    assert found.refused.is_empty()


def test_a_file_belongs_to_the_only_track_its_tags_name(encode: Encode, tmp_path: Path) -> None:
    """Artist and title are compared after normalisation; tags that fit two tracks name none."""
    for name, title in (("one", "RAIN"), ("two", "Sun")):
        path = audio(tmp_path) / f"{name}.flac"
        path.write_bytes(encode())
        tagged = FLAC(path)
        tagged["artist"], tagged["title"] = "ann", title
        tagged.save()
    catalog = tracks(
        (URI, URI, None, "Ann", "Rain"), ("name:1", None, None, "Ann", "Sun"), ("name:2", None, None, "Ann", "sun")
    )
    found = find_recordings(tmp_path, catalog)
    assert dict(found.paths.rows()) == {URI: "audio/one.flac"}
    assert reasons(found.refused) == {"audio/two.flac": "no_such_track"}


def test_of_two_files_the_better_format_counts(tmp_path: Path) -> None:
    """Flac before wav before ogg before mp3 before m4a, then by path; the others are refused."""
    folder = audio(tmp_path)
    (folder / "b").mkdir()
    for name in (
        "spotify_track_0abcdefghijklmnopqrstu.mp3",
        "0abcdefghijklmnopqrstu.flac",
        "b/0abcdefghijklmnopqrstu.flac",
    ):
        (folder / name).write_bytes(b"")
    found = find_recordings(tmp_path, ONE)
    assert found.paths["path"].to_list() == ["audio/0abcdefghijklmnopqrstu.flac"]
    assert reasons(found.refused) == {
        "audio/b/0abcdefghijklmnopqrstu.flac": "second_recording",
        "audio/spotify_track_0abcdefghijklmnopqrstu.mp3": "second_recording",
    }


def test_texts_beside_recordings_are_no_recordings(tmp_path: Path) -> None:
    """Lyrics and licences are neither found nor refused."""
    for name in ("0abcdefghijklmnopqrstu.txt", "x.lrc", "y.csv", "z.json"):
        (audio(tmp_path) / name).write_bytes(b"text")
    found = find_recordings(tmp_path, ONE)
    assert found.paths.is_empty()
    assert found.refused.is_empty()


def test_links_and_fifos_are_refused(tmp_path: Path) -> None:
    """A link, to a file or a folder, and a FIFO are never opened."""
    folder = audio(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0abcdefghijklmnopqrstu.flac").write_bytes(b"secret")
    (folder / "0abcdefghijklmnopqrstu.flac").symlink_to(outside / "0abcdefghijklmnopqrstu.flac")
    (folder / "linked").symlink_to(outside)
    os.mkfifo(folder / "0abcdefghijklmnopqrstu.wav")
    found = find_recordings(tmp_path, ONE)
    assert found.paths.is_empty()
    assert set(reasons(found.refused).values()) == {"not_a_file"}
    assert found.refused.height == 3


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Its location shows the byte."""
    (audio(tmp_path) / os.fsdecode(b"\xff.mp3")).write_bytes(b"")
    assert reasons(find_recordings(tmp_path, ONE).refused) == {"audio/\\xff.mp3": "bad_name"}


def test_no_folder_is_no_recordings(tmp_path: Path) -> None:
    """Raw data without an audio folder has no recordings and no refusals."""
    found = find_recordings(tmp_path, ONE)
    assert (found.paths.height, found.refused.height) == (0, 0)


def test_the_manifest_has_a_row_per_track(encode: Encode, tmp_path: Path) -> None:
    """Decoded, refused and absent tracks each have their row; what was seen is hashed whether it decodes or not."""
    good, bad = encode(), b"no recording"
    (audio(tmp_path) / "good.flac").write_bytes(good)
    (audio(tmp_path) / "bad.flac").write_bytes(bad)
    result = manifest(tmp_path, {"c": None, "b": "audio/bad.flac", "a": "audio/good.flac", "d": "audio/gone.flac"})
    files = AUDIO_FILES.checked(result.files)
    assert files["status"].to_list() == ["decoded", "refused", "absent", "refused"]
    assert files["bytes"].to_list() == [len(good), len(bad), None, None]
    assert files["sha256"].to_list()[:2] == [hashlib.sha256(raw).hexdigest() for raw in (good, bad)]
    assert files["decoded_s"].to_list() == [6.0, None, None, None]
    assert REFUSED.checked(result.refused).select("location", "reason").rows() == [
        ("b", "undecodable"),
        ("d", "unreadable"),
    ]


def test_the_manifest_is_the_same_each_time(tmp_path: Path) -> None:
    """Details name no file handle: with other files open, the refused rows are equal."""
    (audio(tmp_path) / "bad.flac").write_bytes(b"no recording")
    paths: dict[str, str | None] = {"a": "audio/bad.flac", "b": "audio/gone.flac"}
    first = manifest(tmp_path, paths).refused
    with (tmp_path / "audio" / "bad.flac").open():
        assert first.equals(manifest(tmp_path, paths).refused)


def test_a_path_cannot_leave_the_folder(encode: Encode, tmp_path: Path) -> None:
    """A manifest that names a file outside, or reaches one through a linked folder, reads nothing."""
    root = tmp_path / "raw"
    audio_folder = root / "audio"
    audio_folder.mkdir(parents=True)
    (tmp_path / "a.flac").write_bytes(encode())
    (audio_folder / "linked").symlink_to(tmp_path)
    result = manifest(root, {"1": "../a.flac", "2": str(tmp_path / "a.flac"), "3": "audio/linked/a.flac"})
    assert result.refused["reason"].to_list() == ["unreadable"] * 3


def test_a_track_has_one_recording_of_two_with_equal_bytes(encode: Encode, tmp_path: Path) -> None:
    """A refusal that is known by the file's bytes names the track and file it is of."""
    for name in ("a", "b"):
        (audio(tmp_path) / f"{name}.flac").write_bytes(b"no recording")
    hashed = hashed_files(tmp_path, pl.DataFrame({"track_id": ["a", "b"], "path": ["audio/a.flac", "audio/b.flac"]}))
    refusal = Refusal("audio/a.flac", "a", "undecodable", "0.00 s decoded")
    refused = audio_files(hashed, {"a": refusal, "b": refusal}).refused
    assert refused.select("source", "location").rows() == [("audio/a.flac", "a"), ("audio/b.flac", "b")]


def test_rhythm_is_absent_where_nothing_was_heard() -> None:
    """Every track has a row: measured, refused or without a recording."""
    tracks = pl.DataFrame({"track_id": ["c", "a", "b"]})
    measured = Rhythm(120.0, "C major", 0.9, 0.5, "measured")
    frame = rhythm_frame(tracks, {"a": measured, "b": Refusal("b.flac", "b", "undecodable", "")})
    assert RHYTHM.checked(frame).rows() == [
        ("a", 120.0, "C major", 0.9, 0.5, "measured"),
        ("b", None, None, None, None, "absent"),
        ("c", None, None, None, None, "absent"),
    ]
