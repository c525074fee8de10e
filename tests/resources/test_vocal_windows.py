from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from resources.vocal_windows import (
    FRAME,
    HOP,
    LEAST_SWING_DB,
    LONGEST,
    SAMPLE_RATE_HZ,
    frame_rms,
    level,
    loudness,
    pieces,
    swing_db,
    vocal_windows,
)

Samples = NDArray[np.float32]


def tone(duration_s: float, *, hertz: float = 220.0) -> Samples:
    """A steady tone."""
    times_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.5 * np.sin(2 * np.pi * hertz * times_s)).astype(np.float32)


def song(duration_s: float) -> Samples:
    """A tone that goes up and down three times a second, by 30 dB."""
    times_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return tone(duration_s, hertz=440.0) * (0.515 + 0.485 * np.sin(6 * np.pi * times_s)).astype(np.float32)


def silence(duration_s: float) -> Samples:
    """Zeros."""
    return np.zeros(round(duration_s * SAMPLE_RATE_HZ), dtype=np.float32)


def in_s(samples_N: Samples, *, min_silence_s: float = 1.0) -> list[tuple[float, float]]:
    """The pieces in seconds, to a tenth."""
    found = pieces(samples_N, onset=0.1, min_silence_s=min_silence_s)
    return [(round(start / SAMPLE_RATE_HZ, 1), round(end / SAMPLE_RATE_HZ, 1)) for start, end in found]


def test_loudness_is_the_root_mean_square() -> None:
    """Halves and minus halves have one half; nothing has 0."""
    assert loudness(np.array([0.5, -0.5, 0.5, -0.5], dtype=np.float32)) == 0.5
    assert loudness(np.zeros(0, dtype=np.float32)) == 0.0


def test_frames_cover_the_recording() -> None:
    """A whole frame every 512 samples, and one more for what the last whole one leaves."""
    assert len(frame_rms(np.ones(FRAME, dtype=np.float32))) == 1
    assert len(frame_rms(np.ones(FRAME + HOP, dtype=np.float32))) == 2
    rms_T = frame_rms(np.full(FRAME + HOP + 1, 0.5, dtype=np.float32))
    assert rms_T.tolist() == [0.5, 0.5, 0.5]


def test_a_pause_of_a_second_parts_two_pieces() -> None:
    """Each is padded by 0.2 s; a pause of less than a second is kept, as frames see it."""
    assert in_s(np.concatenate([silence(1), tone(2), silence(1.5), tone(2), silence(1)])) == [(0.7, 3.3), (4.2, 6.8)]
    assert in_s(np.concatenate([tone(2), silence(0.9), tone(2)])) == [(0.0, 4.9)]


def test_pads_meet_in_a_short_pause() -> None:
    """Where pauses of a tenth of a second count, pieces touch in the middle and do not overlap."""
    samples_N = np.concatenate([tone(2), silence(0.5), tone(2)])
    (_, end), (start, _) = pieces(samples_N, onset=0.1, min_silence_s=0.1)
    assert end == start
    assert abs(end / SAMPLE_RATE_HZ - 2.25) < 0.05


def test_quiet_music_is_a_pause() -> None:
    """Frames below a tenth of the level are no voice; the threshold follows the recording's own loudness."""
    samples_N = np.concatenate([tone(2), 0.05 * tone(2), tone(2)])
    assert len(in_s(samples_N)) == 2
    assert in_s(0.01 * samples_N) == in_s(samples_N)


def test_a_burst_makes_no_pause_of_the_rest() -> None:
    """One of 0.19 s at full scale, fifty times as loud as the minute around it."""
    samples_N = 0.02 * song(60)
    samples_N[30 * SAMPLE_RATE_HZ :][:3000] = 1.0
    found = vocal_windows(samples_N, onset=0.1, min_silence_s=1.0)
    assert sum(window.end - window.start for window in found) == len(samples_N)


def test_a_short_voice_in_hiss_is_found() -> None:
    """Two seconds of a minute are less than a twentieth; what is 60 dB quieter is a pause all the same."""
    hiss_N = np.random.default_rng(7).normal(0, 2e-4, 58 * SAMPLE_RATE_HZ).astype(np.float32)
    half = len(hiss_N) // 2
    assert in_s(np.concatenate([hiss_N[:half], song(2), hiss_N[half:]])) == [(28.7, 31.3)]


def test_the_level_is_that_of_the_loudest_twentieth() -> None:
    """The frame that 5 % are louder than, but at least a hundredth of the loudest."""
    assert level(np.arange(101.0)) == 95.0
    assert level(np.array([0.0] * 100 + [1.0])) == 0.01
    assert level(np.zeros(3)) == 0.0


def test_a_long_piece_is_cut_where_it_is_quietest() -> None:
    """In the second half of its 30 s: at 20 s, not at 10 s, where it is quieter still."""
    samples_N = tone(40)
    samples_N[10 * SAMPLE_RATE_HZ :][:4000] *= 0.2
    samples_N[20 * SAMPLE_RATE_HZ :][:4000] *= 0.3
    (_, first_end), (second_start, second_end) = pieces(samples_N, onset=0.1, min_silence_s=1.0)
    assert first_end == second_start
    assert 20.0 < first_end / SAMPLE_RATE_HZ < 20.25
    assert second_end == len(samples_N)


@given(
    st.lists(st.tuples(st.floats(0.01, 40), st.sampled_from([0.0, 0.02, 0.3, 1.0])), min_size=1, max_size=6),
    st.floats(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_pieces_hold_every_loud_frame(stretches: list[tuple[float, float]], min_silence_s: float) -> None:
    """Whatever the loudness over time: in order, disjoint, at most 30 s, and no loud sample is left out."""
    samples_N = np.concatenate([volume * tone(duration_s) for duration_s, volume in stretches]).astype(np.float32)
    found = pieces(samples_N, onset=0.1, min_silence_s=min_silence_s)
    is_inside_N = np.zeros(len(samples_N), dtype=bool)
    before = 0
    for start, end in found:
        assert before <= start < end <= len(samples_N)
        assert end - start <= LONGEST
        is_inside_N[start:end] = True
        before = end
    rms_T = frame_rms(samples_N)
    for frame in np.flatnonzero((rms_T >= 0.1 * level(rms_T)) & (rms_T > 0)):
        assert is_inside_N[frame * HOP : frame * HOP + FRAME].all()


def test_what_cannot_be_sung_has_no_window() -> None:
    """A steady tone, a steady chord, a rumble, white noise and silence."""
    noise_N = np.random.default_rng(7).normal(0, 0.2, 5 * SAMPLE_RATE_HZ).astype(np.float32)
    chord_N = (tone(5, hertz=220) + tone(5, hertz=277) + tone(5, hertz=330)) / 3
    for samples_N in (tone(5), chord_N, tone(5, hertz=50), noise_N, silence(5), silence(0)):
        assert vocal_windows(samples_N, onset=0.1, min_silence_s=1.0) == []


def test_syllables_have_a_window() -> None:
    """Loud and quiet by turns, also at a thousandth of the volume and over a steady accompaniment."""
    accompanied_N = 0.5 * song(5) + 0.3 * tone(5, hertz=100)
    for samples_N in (song(5), 0.001 * song(5), accompanied_N):
        (window,) = vocal_windows(samples_N.astype(np.float32), onset=0.1, min_silence_s=1.0)
        assert (window.start, window.end) == (0, 5 * SAMPLE_RATE_HZ)
        assert window.swing_db > 2 * LEAST_SWING_DB


def test_a_steady_part_has_no_window() -> None:
    """The gate judges each piece alone."""
    samples_N = np.concatenate([tone(4), silence(2), song(4)])
    (window,) = vocal_windows(samples_N, onset=0.1, min_silence_s=1.0)
    assert 5 < window.start / SAMPLE_RATE_HZ < 6.1


def test_too_short_to_swing_is_let_through() -> None:
    """Less than a frame is not judged."""
    assert swing_db(tone(0.1)) == LEAST_SWING_DB


def test_sung_and_spoken_recordings_pass_whole() -> None:
    """No piece of the shared recordings with a voice is dropped."""
    folder = Path(__file__).parents[3] / "shared/data/audio"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.name} in the shared data")
    voices = [folder / "jfk.flac", *sorted(folder.glob("*-*-0000.ogg"))]
    for path in voices:
        samples_N, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        places = np.arange(0, len(samples_N), rate_hz / SAMPLE_RATE_HZ).astype(int)
        mono_N = samples_N.mean(axis=1)[places]
        found = vocal_windows(mono_N, onset=0.1, min_silence_s=1.0)
        assert [window[:2] for window in found] == pieces(mono_N, onset=0.1, min_silence_s=1.0)
