from pathlib import Path

import numpy as np
import pytest

from assets.content.decoding import decode
from assets.content.tempo import KEYS, Samples, tempo_and_key

RATE_HZ = 22_050


def played(bpm: float, tonic: int, third: int, *, duration_s: float = 6.0) -> Samples:
    """Clicks on each beat over I-IV-V-I triads, one chord in two beats; third is 4 in major, 3 in minor."""
    count = round(duration_s * RATE_HZ)
    sound = np.zeros(count)
    click = np.random.default_rng(0).standard_normal(800) * np.exp(-np.arange(800) / 150)
    chords = [(0, third, 7), (5, 5 + third, 12), (7, 11, 14), (0, third, 7)]
    for number, at in enumerate(np.arange(0, count, 60 / bpm * RATE_HZ).astype(int)):
        end = min(count, at + round(60 / bpm * RATE_HZ))
        times_s = np.arange(end - at) / RATE_HZ
        for note in chords[number // 2 % 4]:
            sound[at:end] += 0.1 * np.sin(2 * np.pi * 261.63 * 2 ** ((tonic + note) / 12) * times_s)
        sound[at : at + 800] += 0.4 * click[: count - at]
    return sound.astype(np.float32)


@pytest.mark.parametrize("bpm", [72.0, 90.0, 105.0, 120.0, 137.0, 150.0, 165.0])
def test_tempo_is_within_four_percent(bpm: float) -> None:
    """The tempo of clicks is found between the frames' resolution."""
    assert tempo_and_key(played(bpm, 0, 4), RATE_HZ).tempo_bpm == pytest.approx(bpm, rel=0.04)


@pytest.mark.parametrize("number", range(24))
def test_all_keys_are_told_apart(number: int) -> None:
    """Triads of each of the 24 keys are heard in their key."""
    rhythm = tempo_and_key(played(120, number % 12, 4 if number < 12 else 3), RATE_HZ)
    assert rhythm.key == KEYS[number]
    assert rhythm.key_strength is not None
    assert rhythm.key_strength > 0.6


def test_keys_are_written_tonic_then_mode() -> None:
    """The seventh major and minor keys are on F sharp."""
    assert (KEYS[6], KEYS[18]) == ("F# major", "F# minor")


@pytest.mark.parametrize("samples", [np.zeros(RATE_HZ), np.zeros(0), np.full(RATE_HZ, np.nan)])
def test_silence_is_silent(samples: np.ndarray) -> None:
    """Silence, nothing and NaN have neither tempo nor key nor meter."""
    assert tempo_and_key(samples.astype(np.float32), RATE_HZ) == (None, None, None, None, "silent")


def test_loudness_does_not_matter() -> None:
    """A hundredth of the amplitude has the same tempo and key."""
    loud = played(100, 2, 3)
    quiet = (loud / 100).astype(np.float32)
    assert tempo_and_key(quiet, RATE_HZ).key == tempo_and_key(loud, RATE_HZ).key
    assert tempo_and_key(quiet, RATE_HZ).tempo_bpm == pytest.approx(100, rel=0.04)


def test_a_few_samples_have_no_tempo() -> None:
    """Ten samples do not crash and hold no beat."""
    assert tempo_and_key(np.ones(10, dtype=np.float32), RATE_HZ).tempo_bpm is None


def test_no_pulse_is_no_tempo() -> None:
    """Bursts at random times, as of speech, have no tempo and no meter, but a key of a sort."""
    draw = np.random.default_rng(3)
    sound = 0.003 * draw.standard_normal(30 * RATE_HZ)
    for start in draw.integers(0, 29 * RATE_HZ, 120):
        sound[start : start + 3000] += 0.3 * draw.random() * draw.standard_normal(3000) * np.hanning(3000)
    rhythm = tempo_and_key(sound.astype(np.float32), RATE_HZ)
    assert (rhythm.tempo_bpm, rhythm.triple_strength, rhythm.status) == (None, None, "measured")
    assert rhythm.key in KEYS


def test_real_recordings_are_measured() -> None:
    """Each of the shared recordings has a key; those that are music, by their names, a tempo in range, speech none."""
    folder = Path(__file__).parents[4] / "shared/data/audio"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder.name} in the shared data")
    for path in sorted(folder.glob("*.[of][gl][ga]*")):
        rhythm = tempo_and_key(decode(path.read_bytes(), rates_hz=[RATE_HZ], max_s=60).samples[RATE_HZ], RATE_HZ)
        assert rhythm.key in KEYS
        assert (rhythm.tempo_bpm is not None) == ("_" in path.stem)
        assert rhythm.tempo_bpm is None or 40 <= rhythm.tempo_bpm <= 240
