"""Whether a recording's beats group in threes, from how their accents repeat.

Beats are tracked at the measured tempo (Ellis 2007); an accent is how much louder the bands of the spectrum become
around a beat. Accents that are alike three beats apart, and not two or four, are a triple meter. The tracked beat may
be another level of the meter, so its halves, thirds and pairs are looked at too. One meter a recording; five and seven
beats a bar are not told from none.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# T frames, F mel bands, W wide bands, P pulses (beats or parts of beats)

FEWEST_BEATS = 24
TIGHTNESS = 100.0  # of the beats' distance, in squared logarithms: librosa's default
QUIET_START = 0.01  # of the loudest: less is before the first beat
WIDE_BANDS = 4
ACCENT_S = 0.05  # on each side of a beat; of fast pulses a quarter of their distance
MOST_APART = 9  # pulses; twice four is the farthest compared
MOST_UNEVEN = 0.11  # of beats apart, as above: beats on the hits of 3+3+2 have 0.13 and more, of steady music 0.08
LEAST_VARIATION = 0.08  # of accents, standard deviation over mean: less is the grid of frames
LEAST_CONTRAST = 0.3  # about three standard errors of 100 beats
LEAST_PART = 0.1  # of the beats' accents: parts of beats with less are not played
# Groups of three that are themselves strong and weak by turns are the two beats of a 6/8 bar, unless their pulse is too
# slow to be part of a beat; a fast pulse is no beat at all.
LEAST_TURN = 0.1
SLOWEST_PART_BPM, FASTEST_BEAT_BPM = 140.0, 250.0

Frames = NDArray[np.floating]


class Likeness(NamedTuple):
    """How like accents are that lie 0, 1, 2 ... pulses apart, as correlations, and the pulse's rate."""

    by_distance: NDArray[np.floating]
    bpm: float

    def contrast(self, pulses: int = 1) -> float:
        """How much more alike three groups of `pulses` apart than two or four: -2 to 2."""
        return float(self.by_distance[3 * pulses] - self._twos(pulses))

    def threes(self, pulses: int = 1) -> float:
        """The share of threes in what is alike: 1 where only threes are, 0 where only twos or fours."""
        least = min(self.by_distance[pulses * count] for count in (1, 2, 3, 4))
        threes, twos = self.by_distance[3 * pulses] - least, self._twos(pulses) - least
        return float(threes / (threes + twos))

    @property
    def may_be_compound(self) -> bool:
        """Whether groups of three of this pulse may be beats, not bars."""
        has_turns = self.by_distance[6] - self.by_distance[3] > LEAST_TURN
        return self.bpm >= FASTEST_BEAT_BPM or (self.bpm > SLOWEST_PART_BPM and bool(has_turns))

    def _twos(self, pulses: int) -> float:
        return float(max(self.by_distance[2 * pulses], self.by_distance[4 * pulses]))


def triple_strength(
    power_FT: Frames, onsets_T: Frames, *, tempo_bpm: float, sample_rate_hz: int, hop: int
) -> float | None:
    """1 where beats group in threes, 0 where in twos or fours, between where both; null where nothing says so.

    power_FT is a mel spectrogram, onsets_T its onset strength. What may be a 6/8 as well as a fast 3/4 is null.
    """
    found = tracked_beats(onsets_T, frames_per_beat=60 * sample_rate_hz / hop / tempo_bpm)
    if len(found) < FEWEST_BEATS or np.diff(found).std() > MOST_UNEVEN * np.diff(found).mean():
        return None
    wide = np.diff(np.sqrt(power_FT), axis=1, prepend=np.sqrt(power_FT[:, :1])).clip(min=0)
    rises_WT = np.stack([band_FT.sum(axis=0) for band_FT in np.array_split(wide, WIDE_BANDS)])
    reach = ACCENT_S * sample_rate_hz / hop
    beats_WP, halves_WP, thirds_WP = (_accents(rises_WT, found, parts, reach) for parts in (1, 2, 3))
    if np.sqrt(beats_WP.var(axis=1).sum() / np.square(beats_WP.mean(axis=1)).sum()) < LEAST_VARIATION:
        return None
    beats = _likeness(beats_WP, tempo_bpm)
    half = halves_WP[:, 1::2].mean() / beats_WP.mean()
    third = min(thirds_WP[:, place::3].mean() for place in (1, 2)) / beats_WP.mean()
    if third > max(half, LEAST_PART):
        return _of_thirds(beats, _likeness(thirds_WP, 3 * tempo_bpm))
    if half > LEAST_PART:
        summed_WP = halves_WP.sum(axis=0, keepdims=True)
        return _of_halves(beats, _likeness(halves_WP, 2 * tempo_bpm), _likeness(summed_WP, 2 * tempo_bpm))
    return _of_beats(beats)


def _of_thirds(beats: Likeness, thirds: Likeness) -> float | None:
    """Of beats that fall into three parts: a compound meter, a waltz tracked by its bars, or a beat and a half."""
    if thirds.contrast() < -LEAST_CONTRAST:
        return thirds.threes(2)
    if abs(beats.contrast()) < LEAST_CONTRAST and thirds.contrast() > LEAST_CONTRAST:
        return None if thirds.may_be_compound else thirds.threes()
    return _of_beats(beats)


def _of_halves(beats: Likeness, halves: Likeness, summed: Likeness) -> float | None:
    """Of beats that fall into two parts, which may themselves be the pulse that groups in threes.

    The two beats of a 6/8 bar may differ in sound and be alike in loudness, so the bands summed count as well.
    """
    is_hemiola = min(beats.contrast(), max(halves.contrast(), summed.contrast())) > LEAST_CONTRAST
    return None if is_hemiola and halves.may_be_compound else _of_beats(beats)


def _of_beats(beats: Likeness) -> float | None:
    """By groups of beats, else by groups of pairs of beats."""
    single, paired = beats.contrast(), beats.contrast(2)
    if single > LEAST_CONTRAST:
        return None if beats.may_be_compound else beats.threes()
    if paired > LEAST_CONTRAST:
        return beats.threes(2)
    if min(single, paired) < -LEAST_CONTRAST:
        return beats.threes(1 if single <= paired else 2)
    return None


def tracked_beats(onsets_T: Frames, *, frames_per_beat: float) -> NDArray[np.intp]:
    """The frames of the beats: strong onsets that lie about a beat apart (dynamic programming, Ellis 2007).

    What comes before the first and after the last strong onset is left out. Not librosa's: its compiled functions, once
    kept on the disk, end some processes that load them by a signal.
    """
    period = round(frames_per_beat)
    local_T = _local_scores(onsets_T, period)
    total_T, links = local_T.copy(), np.full(len(local_T), -1)
    back = np.arange(max(round(period / 2), 1), 2 * period + 1)
    costs = TIGHTNESS * np.log(back / period) ** 2
    has_begun = False
    for frame in range(len(local_T)):
        has_begun = has_begun or local_T[frame] >= QUIET_START * local_T.max()
        reached = int(np.searchsorted(back, frame, side="right"))
        if reached:
            scores = total_T[frame - back[:reached]] - costs[:reached]
            best = int(scores.argmax())
            total_T[frame] += scores[best]
            links[frame] = frame - back[best] if has_begun else -1
    beats = [_last_beat(total_T)] if len(total_T) else []
    while beats and links[beats[-1]] >= 0:
        beats.append(int(links[beats[-1]]))
    found = np.array(beats[::-1], dtype=np.intp)
    smooth = np.convolve(local_T[found], np.hanning(5))[2:] if len(found) else local_T[:0]
    strong = np.flatnonzero(local_T > np.sqrt(np.mean(smooth**2)) / 2) if len(found) else found
    return found[(found >= strong[0]) & (found <= strong[-1])] if len(strong) else found[:0]


def _last_beat(total_T: Frames) -> int:
    """The last peak of the totals that is at least half as high as peaks are in the middle; else the last frame."""
    after = np.append(total_T[2:], -np.inf)
    peaks = 1 + np.flatnonzero((total_T[1:] > total_T[:-1]) & (total_T[1:] >= after[: len(total_T) - 1]))
    high = peaks[total_T[peaks] >= np.median(total_T[peaks]) / 2] if len(peaks) else peaks
    return int(high[-1]) if len(high) else len(total_T) - 1


def _local_scores(onsets_T: Frames, period: int) -> NDArray[np.floating]:
    """Onset strength in standard deviations, smoothed over a 32nd of a beat."""
    deviation = onsets_T.std(ddof=1) if len(onsets_T) > 1 else 0.0
    bell = np.exp(-0.5 * (np.arange(-period, period + 1) * 32 / period) ** 2)
    if deviation == 0:
        return np.zeros(len(onsets_T))
    return np.convolve(np.pad(onsets_T / deviation, period), bell, "valid")


def _accents(rises_WT: Frames, beats_P: NDArray[np.integer], parts: int, reach: float) -> Frames:
    """How much each band rises around each beat, or each of its parts."""
    places_P = np.interp(np.arange((len(beats_P) - 1) * parts + 1) / parts, np.arange(len(beats_P)), beats_P)
    reach = min(reach, float(np.median(np.diff(places_P))) / 4)
    sums_WT = np.pad(np.cumsum(rises_WT, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    frames = rises_WT.shape[1]
    starts_P = np.clip(np.rint(places_P - reach).astype(int), 0, frames)
    ends_P = np.clip(np.rint(places_P + reach).astype(int) + 1, 0, frames)
    return sums_WT[:, ends_P] - sums_WT[:, starts_P]


def _likeness(accents_WP: Frames, bpm: float) -> Likeness:
    """Of all bands together, each by its own power; per pair, so that far apart is not held against it."""
    about_WP = accents_WP - accents_WP.mean(axis=1, keepdims=True)
    pulses = about_WP.shape[1]
    power = np.square(about_WP).sum() / pulses
    products = [(about_WP[:, apart:] * about_WP[:, : pulses - apart]).sum() for apart in range(MOST_APART)]
    return Likeness(np.array(products) / np.arange(pulses, pulses - MOST_APART, -1) / power, bpm)
