"""One vector per recording: the contract, and the embedded provider that sums up the spectrum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resources.refusals import Refusal

# N samples, T frames, F frequency bins or bands, D dimensions

Samples = NDArray[np.float32]
Vector = NDArray[np.float32]

SAMPLE_RATE_HZ = 22_050
HEARD_S = 120.0  # of a longer recording, its middle
SILENT_RMS = 1e-4  # -80 dB of full scale
WINDOW = 2048  # samples
HOP = 512
MELS = 64
COEFFICIENTS = 20
BANDS = 7
PITCHES = 12
PULSES_BPM = np.geomspace(45, 220, 16)
DIMENSIONS = 3 * COEFFICIENTS + 2 * BANDS + 2 * PITCHES + len(PULSES_BPM) + 2 * 4
# Centres and scales lie between those of synthesised and real recordings (our choice); cepstra fall off as 1/sqrt(k).
CEPSTRUM_CENTRES = np.concatenate([[-130.0, 56.0], np.zeros(COEFFICIENTS - 2)])
CEPSTRUM_SCALES = np.concatenate([[50.0], 30 / np.sqrt(np.arange(1, COEFFICIENTS))])
CONTRAST_CENTRES = np.array([19.0, 17.0, 21.5, 21.5, 22.0, 21.0, 28.0])
CONTRAST_SCALES = np.array([5.0, 5.0, 5.0, 5.0, 5.0, 8.0, 25.0])
BRIGHTNESS_CENTRES = np.array([0.2, -0.6, 11.0, 11.0])
FLOOR = 1e-5  # keeps logarithms finite
LEAST_HZ = 50.0


class AudioEncoder(Protocol):
    """Turns recordings into unit-length vectors."""

    @property
    def name(self) -> str:
        """The provider and its settings: vectors of equal names can be compared."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """The rate of the samples it needs."""
        ...

    def encode(self, recordings: Sequence[Samples]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per recording (mono samples in -1..1), in order.

        A refusal's location is the recording's position. Raises ConnectionError when the provider cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class SpectralEncoder:
    """Timbre (MFCC, contrast), pitch classes, pulse and loudness of a recording, each by its mean and spread.

    Every part is scaled by constants, so that a vector depends on its own recording alone. Reason: silent.
    """

    dimensions: int = DIMENSIONS
    sample_rate_hz: int = SAMPLE_RATE_HZ
    name: str = f"spectral statistics, {SAMPLE_RATE_HZ} Hz, {DIMENSIONS} dimensions"

    def encode(self, recordings: Sequence[Samples]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per recording, in order."""
        results: list[Vector | Refusal] = []
        for position, samples_N in enumerate(recordings):
            count = round(HEARD_S * SAMPLE_RATE_HZ)
            start = max(0, (len(samples_N) - count) // 2)
            heard_N = np.asarray(samples_N[start : start + count], dtype=np.float32)
            loudness = float(np.sqrt(np.mean(np.square(heard_N)))) if len(heard_N) else 0.0
            if loudness > SILENT_RMS and np.isfinite(loudness):
                results.append(_vector(np.pad(heard_N, (0, max(0, WINDOW - len(heard_N))))))
            else:
                results.append(Refusal(self.name, str(position), "silent", f"root mean square {loudness}"))
        return results


def _vector(samples_N: Samples) -> Vector:
    import librosa

    magnitude_FT = np.abs(librosa.stft(samples_N, n_fft=WINDOW, hop_length=HOP))
    mel_FT = librosa.feature.melspectrogram(S=magnitude_FT**2, sr=SAMPLE_RATE_HZ, n_mels=MELS)
    decibel_FT = librosa.power_to_db(mel_FT)
    cepstrum_FT = librosa.feature.mfcc(S=decibel_FT, n_mfcc=COEFFICIENTS)
    contrast_FT = librosa.feature.spectral_contrast(S=magnitude_FT, sr=SAMPLE_RATE_HZ, n_bands=BANDS - 1)
    chroma_FT = librosa.feature.chroma_stft(S=magnitude_FT**2, sr=SAMPLE_RATE_HZ, tuning=0.0)
    parts = [
        (cepstrum_FT.mean(axis=1) - CEPSTRUM_CENTRES) / CEPSTRUM_SCALES,
        2 * cepstrum_FT.std(axis=1) / CEPSTRUM_SCALES - 1.3,
        4 * np.diff(cepstrum_FT, axis=1, append=cepstrum_FT[:, -1:]).std(axis=1) / CEPSTRUM_SCALES - 1.2,
        (contrast_FT.mean(axis=1) - CONTRAST_CENTRES) / CONTRAST_SCALES,
        (contrast_FT.std(axis=1) - 4) / 3,
        (chroma_FT.mean(axis=1) - 0.28) * 2,
        (chroma_FT.std(axis=1) - 0.25) * 2,
        2 * _pulse(decibel_FT),
        _loudness_and_brightness(magnitude_FT),
    ]
    vector = np.concatenate(parts)
    unit: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit


def _pulse(decibel_FT: NDArray[np.floating]) -> NDArray[np.floating]:
    """How alike the onset strength is to itself one beat later, for 16 tempos from 45 to 220 beats a minute."""
    import librosa
    from librosa.onset import onset_strength

    onsets_T = onset_strength(S=decibel_FT, sr=SAMPLE_RATE_HZ, hop_length=HOP)
    likeness = librosa.autocorrelate(onsets_T - onsets_T.mean())
    if likeness[0] <= 0:
        return np.zeros(len(PULSES_BPM))
    lags = 60 * SAMPLE_RATE_HZ / HOP / PULSES_BPM
    pulse: NDArray[np.floating] = np.interp(lags, np.arange(len(likeness)), likeness / likeness[0], right=0.0)
    return pulse


def _loudness_and_brightness(magnitude_FT: NDArray[np.floating]) -> NDArray[np.floating]:
    """Means and spreads of loudness, flatness, centroid and bandwidth over the frames, on logarithmic scales."""
    hertz_F = np.linspace(0, SAMPLE_RATE_HZ / 2, len(magnitude_FT), dtype=np.float32)
    total_T = magnitude_FT.sum(axis=0) + FLOOR
    centroid_T = hertz_F @ magnitude_FT / total_T
    bandwidth_T = np.sqrt(np.maximum(hertz_F**2 @ magnitude_FT / total_T - centroid_T**2, 0))
    rows = np.array(
        [
            np.log10(np.sqrt(np.mean(magnitude_FT**2, axis=0)) + FLOOR),
            np.log10(magnitude_FT + FLOOR).mean(axis=0) - np.log10(total_T / len(magnitude_FT)),
            np.log2(centroid_T + LEAST_HZ),
            np.log2(bandwidth_T + LEAST_HZ),
        ]
    )
    return np.concatenate([1.5 * (rows.mean(axis=1) - BRIGHTNESS_CENTRES), 2 * (rows.std(axis=1) - 0.4)])
