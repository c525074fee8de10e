import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.id3 import ID3, USLT
from mutagen.oggvorbis import OggVorbis

from resources.inside import open_inside
from resources.refusals import Refusal
from resources.transcriber import (
    MAX_CHARACTERS,
    MAX_FILE_BYTES,
    LyricFiles,
    Recording,
    Segment,
    Transcript,
    plain_lyrics,
)


def recorded(root: Path, form: str = "FLAC") -> Path:
    """A second of silence as `song.<form>` under the root."""
    path = root / f"song.{form.lower()}"
    file = io.BytesIO()
    soundfile.write(file, np.zeros(22_050), 22_050, format=form)
    path.write_bytes(file.getvalue())
    return path


def transcribed(root: Path, name: str = "song.flac") -> Transcript | Refusal:
    """The result for one recording."""
    return LyricFiles().transcribe([Recording("t", root, name)])[0]


def sung(text: str, origin: str) -> Transcript:
    """A transcript of one segment that nothing but its text is known of."""
    return Transcript((Segment(text),), origin, "sung")


def test_lrc_loses_its_times_and_metadata(tmp_path: Path) -> None:
    """Line and word stamps and metadata lines go; the words and the empty line between verses stay."""
    recorded(tmp_path)
    text = "\ufeff[ar:Ann]\n[length: 02:10]\n[00:01.00]One <00:01.50>two\n[00:02.00][00:09.10]three\n\n\n[01:00]four\n"
    (tmp_path / "song.lrc").write_text(text, encoding="utf-8")
    assert transcribed(tmp_path) == sung("One two\nthree\n\nfour", "lrc")


def test_the_first_file_that_says_something_counts(tmp_path: Path) -> None:
    """`.lrc` before `.lyrics.txt` before `.txt`; an empty file says nothing."""
    recorded(tmp_path)
    (tmp_path / "song.txt").write_text("plain", encoding="utf-8")
    assert transcribed(tmp_path) == sung("plain", "txt")
    (tmp_path / "song.lyrics.txt").write_text("better", encoding="utf-8")
    (tmp_path / "song.lrc").write_text("[ti:Rain]\n", encoding="utf-8")
    assert transcribed(tmp_path) == sung("better", "txt")


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3"])
def test_lyrics_inside_the_recording_are_read(tmp_path: Path, form: str) -> None:
    """USLT frames and LYRICS comments are lyrics; LRC stamps in them go."""
    path = recorded(tmp_path, form)
    if form == "MP3":
        tags = ID3()
        tags.add(USLT(encoding=3, lang="und", desc="", text="[00:01.00]sung words"))
        tags.save(path)
    else:
        comments = FLAC(path) if form == "FLAC" else OggVorbis(path)
        comments["LYRICS"] = "[00:01.00]sung words"
        comments.save(path)
    assert transcribed(tmp_path, path.name) == sung("sung words", "tag")


@pytest.mark.parametrize("marker", ["[instrumental]", "Instrumental", "[00:00.00](INSTRUMENTAL)"])
def test_an_explicit_marker_is_instrumental(tmp_path: Path, marker: str) -> None:
    """A text that only says so means that nothing is sung."""
    recorded(tmp_path)
    (tmp_path / "song.lrc").write_text(marker, encoding="utf-8")
    assert transcribed(tmp_path) == Transcript((), "lrc", "instrumental")


def test_an_instrumental_break_is_sung(tmp_path: Path) -> None:
    """The marker among other lines is only a line."""
    recorded(tmp_path)
    (tmp_path / "song.txt").write_text("one\n[instrumental]\ntwo", encoding="utf-8")
    assert transcribed(tmp_path) == sung("one\n[instrumental]\ntwo", "txt")


def test_nothing_is_absent(tmp_path: Path) -> None:
    """A recording without lyric files and tags has no lyrics, also where it is no recording at all."""
    recorded(tmp_path)
    (tmp_path / "noise.mp3").write_bytes(b"\x00\x01noise")
    assert transcribed(tmp_path) == Transcript((), None, "absent")
    assert transcribed(tmp_path, "noise.mp3") == Transcript((), None, "absent")


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    """Latin-1 is not guessed at."""
    recorded(tmp_path)
    (tmp_path / "song.txt").write_bytes("más".encode("latin-1"))
    result = transcribed(tmp_path)
    assert isinstance(result, Refusal)
    assert (result.source, result.location, result.reason) == ("song.txt", "t", "not_utf8")


def test_huge_files_and_links_are_refused(tmp_path: Path) -> None:
    """A lyric file of more than a mebibyte, and one that is a link, are not read."""
    recorded(tmp_path)
    (tmp_path / "song.txt").write_bytes(b"a" * (MAX_FILE_BYTES + 1))
    assert transcribed(tmp_path)[2] == "too_large"
    (tmp_path / "song.lrc").symlink_to("/etc/hostname")
    assert transcribed(tmp_path)[2] == "unreadable"


def test_long_lyrics_end_with_a_whole_line() -> None:
    """20,000 characters are kept at most, and no line is cut."""
    plain = plain_lyrics("nine char\n" * 3_000)
    assert plain == "\n".join(["nine char"] * 2_000)[:MAX_CHARACTERS]
    assert plain_lyrics("x" * 30_000) == "x" * MAX_CHARACTERS


def test_one_result_per_recording_in_order(tmp_path: Path) -> None:
    """Good, bad and missing recordings each have their result at their place."""
    recorded(tmp_path)
    (tmp_path / "song.txt").write_text("la", encoding="utf-8")
    names = ["gone.flac", "song.flac", "gone.flac"]
    results = LyricFiles().transcribe([Recording(name, tmp_path, name) for name in names])
    assert [isinstance(result, Refusal) for result in results] == [True, False, True]


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_plain_lyrics_are_plain(text: str) -> None:
    """Whatever comes in, what goes out is encodable, without control characters, and unchanged by a second pass."""
    plain = plain_lyrics(text)
    assert plain.encode().decode() == plain
    assert not any(ord(character) < 32 and character != "\n" for character in plain)
    assert plain == plain.strip()


def test_open_inside_stays_inside(tmp_path: Path) -> None:
    """Paths with '..', absolute ones, links at any place and FIFOs raise OSError without waiting."""
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"good")
    (tmp_path / "secret").write_bytes(b"secret")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "linked").symlink_to(root / "folder")
    os.mkfifo(root / "fifo")
    with open_inside(root, "folder/file") as file:
        assert file.read() == b"good"
    for path in ("../secret", str(tmp_path / "secret"), "link", "linked/file", "fifo", "folder", "folder/gone"):
        with pytest.raises(OSError, match=r"."):
            open_inside(root, path)


def test_the_sung_recording_has_its_lyrics() -> None:
    """The shared recording with a lyric file has its first line; its licence is not read before the lyrics."""
    folder = Path(__file__).parents[3] / "shared/data/audio"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.name} in the shared data")
    name = next(path for path in sorted(folder.glob("*.mp3"))).name
    result = transcribed(folder, name)
    assert isinstance(result, Transcript)
    assert result.segments[0].text.startswith("soy un fantasma")
