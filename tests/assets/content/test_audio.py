import hashlib
import io
import os
import random
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import polars as pl
import pytest
import soundfile
from mutagen.flac import FLAC

from assets.content.audio import UndecodableError, audio_files, decode, find_recordings, samples_of
from assets.content.tables import AUDIO_FILES, REFUSED

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


def refused_as(raw: bytes) -> str:
    """The reason for which a file is not decoded."""
    with pytest.raises(UndecodableError) as caught:
        decode(raw, sample_rate_hz=8_000, max_s=60)
    return caught.value.reason


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_decodes_each_format_to_the_rate_asked_for(encode: Encode, form: str) -> None:
    """Six seconds at 22,050 Hz in stereo are six seconds of mono at 16,000 Hz, as loud as they were."""
    heard = decode(encode(form, channels=2), sample_rate_hz=16_000, max_s=60)
    assert heard.samples_N.dtype == np.float32
    assert heard.decoded_s == pytest.approx(6, abs=0.1)
    assert len(heard.samples_N) == round(heard.decoded_s * 16_000)
    assert (heard.status, heard.sample_rate_hz, heard.channels) == ("decoded", 22_050, 2)
    assert np.sqrt(np.mean(heard.samples_N**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_a_file_is_decoded_by_content(encode: Encode, tmp_path: Path) -> None:
    """FLAC named .mp3 decodes."""
    (audio(tmp_path) / "a.mp3").write_bytes(encode("FLAC"))
    files = audio_files(tmp_path, pl.DataFrame({"track_id": ["a"], "path": ["audio/a.mp3"]}), max_s=60).files
    assert files["status"].to_list() == ["decoded"]


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3"])
def test_half_a_file_is_truncated(encode: Encode, form: str) -> None:
    """What is declared does not count: half of the bytes decode to about half the length."""
    raw = encode(form)
    heard = decode(raw[: len(raw) // 2], sample_rate_hz=8_000, max_s=60)
    assert heard.status == "truncated"
    assert heard.decoded_s == pytest.approx(3, abs=0.3)
    assert heard.declared_s == pytest.approx(6, abs=0.1)


def test_more_than_the_cap_is_cut(encode: Encode) -> None:
    """Of six seconds the first two are kept, to the sample."""
    heard = decode(encode(), sample_rate_hz=8_000, max_s=2)
    assert (len(heard.samples_N), heard.decoded_s, heard.status) == (16_000, 2.0, "capped")


def test_exactly_the_cap_is_whole(encode: Encode) -> None:
    """Two seconds under a cap of two seconds are not cut."""
    assert decode(encode(duration_s=2), sample_rate_hz=22_050, max_s=2).status == "decoded"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty_file"),
        (b"x", "undecodable"),
        (b"<!doctype html><html><body>not found</body></html>", "undecodable"),
        (random.Random(3).randbytes(20_000), "undecodable"),
        (b"ID3" + random.Random(4).randbytes(20_000), "undecodable"),
    ],
    ids=["empty", "one byte", "html", "random", "random after an mp3 tag"],
)
def test_what_is_no_recording_is_refused(raw: bytes, reason: str) -> None:
    """Empty files, other kinds of files and noise have their reasons."""
    assert refused_as(raw) == reason


def test_less_than_a_second_is_refused(encode: Encode) -> None:
    """Half a second is too little to be a recording of a track."""
    assert refused_as(encode("WAV", duration_s=0.5)) == "undecodable"


def test_a_file_without_sound_has_no_audio_stream() -> None:
    """A video without sound has nothing to hear."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert refused_as(file.getvalue()) == "no_audio_stream"


@pytest.mark.parametrize(
    ("offset", "form", "value", "reason"),
    [(22, "<H", 9, "channels"), (24, "<I", 7_999, "sample_rate"), (24, "<I", 192_001, "sample_rate")],
)
def test_headers_beyond_the_limits_are_refused(encode: Encode, offset: int, form: str, value: int, reason: str) -> None:
    """A WAV header may claim 1-8 channels at 8-192 kHz."""
    raw = bytearray(encode("WAV"))
    struct.pack_into(form, raw, offset, value)
    assert refused_as(bytes(raw)) == reason


def test_samples_that_are_not_numbers_are_refused() -> None:
    """One NaN in a float WAV refuses it."""
    samples = np.zeros(22_050 * 2, dtype=np.float32)
    samples[100] = np.nan
    file = io.BytesIO()
    soundfile.write(file, samples, 22_050, format="WAV", subtype="FLOAT")
    assert refused_as(file.getvalue()) == "undecodable"


@pytest.mark.parametrize("suffix", [".m3u8", ".ffconcat", ".flac"])
def test_a_playlist_opens_no_other_file(encode: Encode, tmp_path: Path, suffix: str) -> None:
    """Playlists that name a good recording are refused: the decoder opens nothing but the bytes it is given."""
    canary = tmp_path / "canary.flac"
    canary.write_bytes(encode())
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:6,\n{canary}\n#EXT-X-ENDLIST\n".encode()
    concat = f"ffconcat version 1.0\nfile '{canary}'\n".encode()
    for text in (hls, concat):
        playlist = tmp_path / f"playlist{suffix}"
        playlist.write_bytes(text)
        assert refused_as(text) == "undecodable"
        with playlist.open("rb") as file, pytest.raises(UndecodableError):
            decode(file, sample_rate_hz=8_000, max_s=60)


def test_damaged_files_decode_or_are_refused(encode: Encode) -> None:
    """Whatever bytes are overwritten, decoding ends in a result or in UndecodableError."""
    rng = random.Random(5)
    raws = [encode(form, duration_s=2) for form in ("WAV", "FLAC", "OGG", "MP3")]
    for trial in range(80):
        raw = bytearray(raws[trial % 4])
        for _ in range(rng.randrange(1, 30)):
            raw[rng.randrange(200 if trial % 8 < 4 else len(raw))] = rng.randrange(256)
        try:
            heard = decode(bytes(raw), sample_rate_hz=8_000, max_s=60)
        except UndecodableError:
            continue
        assert np.isfinite(heard.samples_N).all()


def test_three_hours_stay_under_200_mb(tmp_path: Path) -> None:
    """A three-hour FLAC of silence is decoded as a stream up to the cap of 20 minutes."""
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(180):
            file.write(np.zeros(8_000 * 60, dtype=np.int16))
    script = f"""
        from pathlib import Path
        from assets.content.audio import decode
        with Path({str(path)!r}).open("rb") as file:
            heard = decode(file, sample_rate_hz=8_000, max_s=1_200)
        status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        print(heard.status, heard.decoded_s, status["VmHWM"].split()[0])
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    status, decoded_s, peak_kb = run.stdout.split()
    assert (status, float(decoded_s)) == ("capped", 1_200)
    assert int(peak_kb) < 200_000


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
    paths = {"c": None, "b": "audio/bad.flac", "a": "audio/good.flac", "d": "audio/gone.flac"}
    result = audio_files(tmp_path, pl.DataFrame({"track_id": list(paths), "path": list(paths.values())}), max_s=60)
    files = AUDIO_FILES.checked(result.files)
    assert files["status"].to_list() == ["decoded", "refused", "absent", "refused"]
    assert files["bytes"].to_list() == [len(good), len(bad), None, None]
    assert files["sha256"].to_list()[:2] == [hashlib.sha256(raw).hexdigest() for raw in (good, bad)]
    assert files["decoded_s"][0] == pytest.approx(6)
    assert result.refused.select("location", "reason").rows() == [("b", "undecodable"), ("d", "unreadable")]


def test_the_manifest_is_the_same_each_time(tmp_path: Path) -> None:
    """Details name no file handle: with other files open, the refused rows are equal."""
    (audio(tmp_path) / "bad.flac").write_bytes(b"no recording")
    manifest = pl.DataFrame({"track_id": ["a", "b"], "path": ["audio/bad.flac", "audio/gone.flac"]})
    first = audio_files(tmp_path, manifest, max_s=60).refused
    with (tmp_path / "audio" / "bad.flac").open():
        assert first.equals(audio_files(tmp_path, manifest, max_s=60).refused)


def test_a_path_cannot_leave_the_folder(encode: Encode, tmp_path: Path) -> None:
    """A manifest that names a file outside, or reaches one through a linked folder, reads nothing."""
    root = tmp_path / "raw"
    audio_folder = root / "audio"
    audio_folder.mkdir(parents=True)
    (tmp_path / "a.flac").write_bytes(encode())
    (audio_folder / "linked").symlink_to(tmp_path)
    paths = ["../a.flac", str(tmp_path / "a.flac"), "audio/linked/a.flac"]
    result = audio_files(root, pl.DataFrame({"track_id": ["1", "2", "3"], "path": paths}), max_s=60)
    assert result.refused["reason"].to_list() == ["unreadable"] * 3


def test_samples_come_for_what_can_be_decoded(encode: Encode, tmp_path: Path) -> None:
    """Absent and refused tracks have no samples, in the order of the manifest."""
    (audio(tmp_path) / "a.flac").write_bytes(encode())
    rows = [("a", "audio/a.flac", "decoded"), ("b", None, "absent"), ("c", "audio/c.flac", "refused")]
    files = pl.DataFrame(rows, schema=["track_id", "path", "status"], orient="row")
    heard = list(samples_of(tmp_path, files, sample_rate_hz=8_000, max_s=60))
    assert [(track_id, None if samples is None else len(samples)) for track_id, samples in heard] == [
        ("a", 48_000),
        ("b", None),
        ("c", None),
    ]


def test_the_real_recordings_decode() -> None:
    """The eleven recordings of the shared data decode whole."""
    folder = Path(__file__).parents[4] / "shared/data/audio"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.name} in the shared data")
    for path in sorted(folder.glob("*.[ofm][glp][ga3]*")):
        assert decode(path.read_bytes(), sample_rate_hz=8_000, max_s=1_200).status == "decoded", path.name
