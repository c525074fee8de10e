"""Tempo, meter and key of a recording, from its samples.

Tempo is the strongest period of the onset strength under a log-normal prior (as Ellis 2007); key is the best of 24
Krumhansl-Kessler profiles (1982) against the mean chroma. One of each per recording: no changes within it. A tempo
may be twice or half the felt one.
"""

from typing import Literal, NamedTuple

import librosa
import numpy as np
from librosa.onset import onset_strength
from numpy.typing import NDArray

from assets.content.meter import triple_strength

# N samples, T frames, F frequency bins

Samples = NDArray[np.float32]

HEARD_S = 120.0  # of a longer recording, its middle
SILENT_RMS = 1e-4  # -80 dB of full scale
ONSET_WINDOW = 1024  # samples
ONSET_HOP = 256
SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0
PRIOR_BPM = 120.0
LEAST_PULSE = 0.1  # of the onset strength's autocorrelation: speech of 15 s has 0.08 at most, noise less, music 0.12 up
PRIOR_OCTAVES = 0.8  # standard deviation; our choice
CHROMA_WINDOW = 4096  # samples: tells semitones apart from 130 Hz at 22,050 Hz
TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)
PROFILES = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])


class Rhythm(NamedTuple):
    """Tempo, key and meter; null where the recording has no pulse or no pitch.

    key_strength is a correlation, -1 to 1. triple_strength is 1 where beats group in threes, 0 where in twos or fours,
    null where unsure.
    """

    tempo_bpm: float | None
    key: str | None
    key_strength: float | None
    triple_strength: float | None
    status: Literal["measured", "silent", "absent"]


def tempo_and_key(samples_N: Samples, sample_rate_hz: int) -> Rhythm:
    """Tempo in 40-240 beats a minute, key and meter of mono samples in -1..1; silent below -80 dB."""
    heard_N = middle(samples_N, round(HEARD_S * sample_rate_hz))
    # Not '<=': NaN counts as silent.
    if len(heard_N) == 0 or not np.sqrt(np.mean(np.square(heard_N))) > SILENT_RMS:
        return Rhythm(None, None, None, None, "silent")
    heard_N = np.pad(heard_N, (0, max(0, CHROMA_WINDOW - len(heard_N))))
    key, strength = _key(heard_N, sample_rate_hz)
    pulse = _pulse(heard_N, sample_rate_hz)
    return Rhythm(pulse.tempo_bpm, key, strength, pulse.triple_strength, "measured")


def middle(samples_N: Samples, count: int) -> Samples:
    """The `count` samples in the middle, or all if there are fewer."""
    start = max(0, (len(samples_N) - count) // 2)
    return samples_N[start : start + count]


class Pulse(NamedTuple):
    """Tempo and meter, null where there are none."""

    tempo_bpm: float | None
    triple_strength: float | None


def _pulse(samples_N: Samples, sample_rate_hz: int) -> Pulse:
    mel_FT = librosa.feature.melspectrogram(
        y=samples_N, sr=sample_rate_hz, n_fft=ONSET_WINDOW, hop_length=ONSET_HOP, n_mels=40
    )
    onsets_T = onset_strength(
        S=librosa.power_to_db(mel_FT), sr=sample_rate_hz, n_fft=ONSET_WINDOW, hop_length=ONSET_HOP
    )
    tempo_bpm = _tempo_bpm(onsets_T, 60 * sample_rate_hz / ONSET_HOP)
    if tempo_bpm is None:
        return Pulse(None, None)
    return Pulse(
        tempo_bpm, triple_strength(mel_FT, onsets_T, tempo_bpm=tempo_bpm, sample_rate_hz=sample_rate_hz, hop=ONSET_HOP)
    )


def _tempo_bpm(onsets_T: NDArray[np.floating], frames_per_minute: float) -> float | None:
    shortest, longest = int(frames_per_minute / FASTEST_BPM), int(frames_per_minute / SLOWEST_BPM) + 1
    likeness = librosa.autocorrelate(onsets_T - onsets_T.mean(), max_size=longest + 2)
    lags = np.arange(shortest, min(longest + 1, len(likeness) - 1))
    if len(lags) == 0 or likeness[0] <= 0:
        return None
    # Fewer pairs of frames are as far apart as a long lag; per pair, so that slow is not held against a track.
    likeness = likeness / np.arange(len(onsets_T), len(onsets_T) - len(likeness), -1)
    octaves = np.log2(frames_per_minute / lags / PRIOR_BPM)
    weighted = likeness[lags] * np.exp(-0.5 * (octaves / PRIOR_OCTAVES) ** 2)
    best = int(lags[weighted.argmax()])
    if likeness[best] < LEAST_PULSE * likeness[0]:
        return None
    return float(frames_per_minute / (best + _peak_shift(likeness[best - 1 : best + 2])))


def _peak_shift(around: NDArray[np.floating]) -> float:
    """Where the parabola through three neighbouring values peaks, -0.5 to 0.5 from the middle one."""
    before, at, after = (float(value) for value in around)
    curve = before - 2 * at + after
    return 0.0 if curve >= 0 else float(np.clip(0.5 * (before - after) / curve, -0.5, 0.5))


def _key(samples_N: Samples, sample_rate_hz: int) -> tuple[str | None, float | None]:
    power_FT = np.abs(librosa.stft(samples_N, n_fft=CHROMA_WINDOW, hop_length=CHROMA_WINDOW // 2)) ** 2
    chroma = librosa.feature.chroma_stft(S=power_FT, sr=sample_rate_hz, n_fft=CHROMA_WINDOW, tuning=0.0).mean(axis=1)
    if not chroma.std() > 0:
        return None, None
    strengths = np.corrcoef(np.vstack([chroma, PROFILES]))[0, 1:]
    best = int(strengths.argmax())
    return KEYS[best], float(strengths[best])
