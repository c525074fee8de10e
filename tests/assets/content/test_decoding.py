import io
import random
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from assets.content.decoding import UndecodableError, decode

Encode = Callable[..., bytes]


def refused_as(raw: bytes) -> str:
    """The reason for which a file is not decoded."""
    with pytest.raises(UndecodableError) as caught:
        decode(raw, rates_hz=[8_000], max_s=60)
    return caught.value.reason


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_decodes_each_format_to_the_rate_asked_for(encode: Encode, form: str) -> None:
    """Six seconds at 22,050 Hz in stereo are six seconds of mono at 16,000 Hz, as loud as they were."""
    heard = decode(encode(form, channels=2), rates_hz=[16_000], max_s=60)
    samples_N = heard.samples[16_000]
    assert samples_N.dtype == np.float32
    assert heard.decoded_s == pytest.approx(6, abs=0.1)
    assert len(samples_N) == pytest.approx(heard.decoded_s * 16_000, abs=40)
    assert (heard.status, heard.sample_rate_hz, heard.channels) == ("decoded", 22_050, 2)
    assert np.sqrt(np.mean(samples_N**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3"])
def test_half_a_file_is_truncated(encode: Encode, form: str) -> None:
    """What is declared does not count: half of the bytes decode to about half the length."""
    raw = encode(form)
    heard = decode(raw[: len(raw) // 2], rates_hz=[8_000], max_s=60)
    assert heard.status == "truncated"
    assert heard.decoded_s == pytest.approx(3, abs=0.3)
    assert heard.declared_s == pytest.approx(6, abs=0.1)


def test_more_than_the_cap_is_cut(encode: Encode) -> None:
    """Of six seconds the first two are kept, to the sample."""
    heard = decode(encode(), rates_hz=[8_000], max_s=2)
    assert (len(heard.samples[8_000]), heard.decoded_s, heard.status) == (16_000, 2.0, "capped")


def test_exactly_the_cap_is_whole(encode: Encode) -> None:
    """Two seconds under a cap of two seconds are not cut."""
    assert decode(encode(duration_s=2), rates_hz=[22_050], max_s=2).status == "decoded"


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
            decode(file, rates_hz=[8_000], max_s=60)


def test_damaged_files_decode_or_are_refused(encode: Encode) -> None:
    """Whatever bytes are overwritten, decoding ends in a result or in UndecodableError."""
    rng = random.Random(5)
    raws = [encode(form, duration_s=2) for form in ("WAV", "FLAC", "OGG", "MP3")]
    for trial in range(80):
        raw = bytearray(raws[trial % 4])
        for _ in range(rng.randrange(1, 30)):
            raw[rng.randrange(200 if trial % 8 < 4 else len(raw))] = rng.randrange(256)
        try:
            heard = decode(bytes(raw), rates_hz=[8_000], max_s=60)
        except UndecodableError:
            continue
        assert np.isfinite(heard.samples[8_000]).all()


def test_three_hours_stay_under_200_mb(tmp_path: Path) -> None:
    """A three-hour FLAC of silence is decoded as a stream up to the cap of 20 minutes."""
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        for _ in range(180):
            file.write(np.zeros(8_000 * 60, dtype=np.int16))
    script = f"""
        from pathlib import Path
        from assets.content.decoding import decode
        with Path({str(path)!r}).open("rb") as file:
            heard = decode(file, rates_hz=[8_000], max_s=1_200)
        status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
        print(heard.status, heard.decoded_s, status["VmHWM"].split()[0])
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    status, decoded_s, peak_kb = run.stdout.split()
    assert (status, float(decoded_s)) == ("capped", 1_200)
    assert int(peak_kb) < 200_000


def test_one_decoding_gives_each_rate_what_it_gives_alone(encode: Encode) -> None:
    """Samples at three rates at once are, to the bit, those of three decodings; facts do not depend on the rates."""
    raw = encode("MP3", channels=2)
    together = decode(raw, rates_hz=[8_000, 16_000, 48_000], max_s=4)
    for rate_hz, samples_N in together.samples.items():
        alone = decode(raw, rates_hz=[rate_hz], max_s=4)
        assert alone.samples[rate_hz].tobytes() == samples_N.tobytes()
        assert alone._replace(samples={}) == together._replace(samples={})
        assert len(samples_N) == 4 * rate_hz


def test_the_real_recordings_decode() -> None:
    """The eleven recordings of the shared data decode whole."""
    folder = Path(__file__).parents[4] / "shared/data/audio"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.name} in the shared data")
    for path in sorted(folder.glob("*.[ofm][glp][ga3]*")):
        assert decode(path.read_bytes(), rates_hz=[8_000], max_s=1_200).status == "decoded", path.name
