"""Where in a recording somebody may be singing: the windows that a transcriber listens to.

Pauses are found by loudness, as Syed et al. (2025) do it on separated voices (arXiv 2506.15514: frames of 2,048 samples
every 512 at 16 kHz, a share of the loudness as threshold, pauses of a second, 0.2 s around each piece, 30 s at most).
Theirs is a share of the loudest frame, ours of the 95th percentile: these are mixes, where one drum hit or click above
a quiet voice would make a pause of it all. Ours, too, is the gate that tells a window that cannot be sung: a steady
tone, hum or hiss. It lets any other music through; what nobody sings there is the transcriber's to say.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# N samples, T frames, F frequency bins, B bands

SAMPLE_RATE_HZ = 16_000
FRAME = 2048  # samples
HOP = 512
PAD_S = 0.2
LONGEST_S = 30.0
LONGEST = round(LONGEST_S * SAMPLE_RATE_HZ)
FRAMES_AT_ONCE = 1024  # of squares or spectra in memory
LEVEL_PERCENTILE = 95  # our choice: bursts of less than a twentieth of the recording do not count
# The gate, our choice. Singing and speech swing by 15 to 40 dB in these bands, through syllables, pitch and vibrato;
# white noise by 3 dB, a steady tone by 0.
VOICE_BANDS_HZ = (200.0, 400.0, 800.0, 1600.0, 3200.0)
LEAST_SWING_DB = 6.0
HEARD_DB = 40.0  # what is this far below the loudest, a band or a recording's level, is not heard
POWER_FLOOR = 1e-12


class Window(NamedTuple):
    """The samples `start` to `end` of a recording, and how far its voice bands swing, in decibels."""

    start: int
    end: int
    swing_db: float

    @property
    def vocal_amount(self) -> float:
        """How much may be sung here: long windows of much swing first."""
        return self.swing_db * (self.end - self.start)


def loudness(samples_N: NDArray[np.float32]) -> float:
    """The root mean square of the samples; 0 of none."""
    return float(np.sqrt(np.mean(np.square(samples_N, dtype=np.float64)))) if len(samples_N) else 0.0


def vocal_windows(samples_N: NDArray[np.float32], *, onset: float, min_silence_s: float) -> list[Window]:
    """The windows of finite samples at 16 kHz that may be sung, in order, disjoint, of at most 30 s.

    Frames louder than `onset` times the recording's level lie in some piece between two pauses of `min_silence_s` or
    more; the gate drops pieces, or parts of them, whose voice bands do not swing.
    """
    windows = [
        Window(start, end, swing_db(samples_N[start:end]))
        for start, end in pieces(samples_N, onset=onset, min_silence_s=min_silence_s)
    ]
    return [window for window in windows if window.swing_db >= LEAST_SWING_DB]


def pieces(samples_N: NDArray[np.float32], *, onset: float, min_silence_s: float) -> list[tuple[int, int]]:
    """The stretches between pauses, 0.2 s wider than their loud frames, cut at 30 s: start and end in samples."""
    if not len(samples_N):
        return []
    rms_T = frame_rms(samples_N)
    loud = np.flatnonzero((rms_T >= onset * level(rms_T)) & (rms_T > 0))
    if not len(loud):
        return []
    starts = loud * HOP
    ends = np.minimum(starts + FRAME, len(samples_N))
    pauses = np.flatnonzero(starts[1:] - ends[:-1] >= max(1, round(min_silence_s * SAMPLE_RATE_HZ)))
    firsts, lasts = starts[np.append(0, pauses + 1)], ends[np.append(pauses, len(loud) - 1)]
    middles = (lasts[:-1] + firsts[1:]) // 2  # pads of two pieces meet here at most
    pad = round(PAD_S * SAMPLE_RATE_HZ)
    padded_firsts = np.maximum(firsts - pad, np.append(0, middles))
    padded_lasts = np.minimum(lasts + pad, np.append(middles, len(samples_N)))
    return [
        piece
        for start, end in zip(padded_firsts.tolist(), padded_lasts.tolist(), strict=True)
        for piece in _cut(start, end, rms_T)
    ]


def frame_rms(samples_N: NDArray[np.float32]) -> NDArray[np.float64]:
    """The root mean square of each frame; the last ends with the recording and may be shorter."""
    power_T = [np.mean(np.square(frames_TN, dtype=np.float64), axis=1) for frames_TN in _frames(samples_N)]
    whole = sum(map(len, power_T))
    if len(samples_N) > (whole - 1) * HOP + FRAME or not whole:
        power_T.append(np.mean(np.square(samples_N[None, whole * HOP :], dtype=np.float64), axis=1))
    rms_T: NDArray[np.float64] = np.sqrt(np.concatenate(power_T))
    return rms_T


def level(rms_T: NDArray[np.float64]) -> float:
    """How loud a recording is: the 95th percentile of its frames.

    At least 40 dB below the loudest, so that a hiss around one short voice is a pause.
    """
    return float(max(np.percentile(rms_T, LEVEL_PERCENTILE), rms_T.max() * 10 ** (-HEARD_DB / 20)))


def swing_db(samples_N: NDArray[np.float32]) -> float:
    """By how many decibels the power of a voice band swings over time: the largest 10th-to-90th percentile range.

    Only bands that are heard count. Powers are sums over the bins of a band; a window shorter than a frame has no
    swing to be measured and counts as swinging.
    """
    if len(samples_N) < FRAME:
        return LEAST_SWING_DB
    edges = np.searchsorted(np.fft.rfftfreq(FRAME, 1 / SAMPLE_RATE_HZ), VOICE_BANDS_HZ)
    shape_N = np.hanning(FRAME).astype(np.float32)
    power_TB = np.concatenate([_band_powers(frames_TN * shape_N, edges) for frames_TN in _frames(samples_N)])
    voice_TB, total = power_TB[:, :-1], power_TB.sum()
    level_TB = 10 * np.log10(voice_TB + POWER_FLOOR)
    low_B, high_B = np.percentile(level_TB, [10, 90], axis=0)
    is_heard_B = voice_TB.sum(axis=0) > total * 10 ** (-HEARD_DB / 10)
    return float(np.where(is_heard_B, high_B - low_B, 0.0).max())


def _cut(start: int, end: int, rms_T: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """The piece in parts of at most 30 s, cut in the middle of the quietest frame of a part's second half."""
    while end - start > LONGEST:
        first = -(-(start + LONGEST // 2 - FRAME // 2) // HOP)
        last = (start + LONGEST - FRAME // 2) // HOP
        quietest = first + int(np.argmin(rms_T[first : last + 1]))
        cut = quietest * HOP + FRAME // 2
        yield start, cut
        start = cut
    yield start, end


def _frames(samples_N: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The whole frames, many at once."""
    if len(samples_N) < FRAME:
        return
    frames_TN = np.lib.stride_tricks.sliding_window_view(samples_N, FRAME)[::HOP]
    for first in range(0, len(frames_TN), FRAMES_AT_ONCE):
        yield frames_TN[first : first + FRAMES_AT_ONCE]


def _band_powers(frames_TN: NDArray[np.float32], edges: NDArray[np.intp]) -> NDArray[np.float64]:
    """The power in each voice band, and outside of them as the last column."""
    power_TF = np.square(np.abs(np.fft.rfft(frames_TN, axis=1)))
    inside = [power_TF[:, low:high].sum(axis=1) for low, high in pairwise(edges)]
    outside = power_TF[:, 1 : edges[0]].sum(axis=1) + power_TF[:, edges[-1] :].sum(axis=1)
    return np.stack([*inside, outside], axis=1)
