import numpy as np
import pytest

from assets.content.meter import tracked_beats
from assets.content.tempo import Samples, tempo_and_key

RATE_HZ = 22_050
CLICK = np.random.default_rng(0).standard_normal(1600) * np.exp(-np.arange(1600) / 200)


def clicks(pulses_per_minute: float, loudness: list[float], *, duration_s: float = 30.0, seed: int = 1) -> Samples:
    """Clicks of these amplitudes in turn, each up to some milliseconds beside its place, in faint noise."""
    draw = np.random.default_rng(seed)
    sound = 0.003 * draw.standard_normal(round(duration_s * RATE_HZ))
    places = np.arange(0.1, duration_s - 0.2, 60 / pulses_per_minute) + draw.normal(0, 0.004)
    for number, place_s in enumerate(places + draw.normal(0, 0.004, len(places))):
        start = round(place_s * RATE_HZ)
        sound[start : start + len(CLICK)] += 0.3 * loudness[number % len(loudness)] * CLICK
    return sound.astype(np.float32)


def strength(sound: Samples) -> float | None:
    """What is measured of the whole sound."""
    return tempo_and_key(sound, RATE_HZ).triple_strength


@pytest.mark.parametrize("bpm", [60, 72, 90, 100, 120, 140, 160, 180, 200])
@pytest.mark.parametrize("with_eighths", [False, True])
def test_three_beats_a_bar_are_threes(bpm: float, with_eighths: bool) -> None:
    """3/4 from slow to fast, with and without eighths, whichever level of it the tempo is taken from."""
    bar = [1, 0.2, 0.4, 0.2, 0.4, 0.2] if with_eighths else [1, 0.4, 0.4]
    found = strength(clicks(bpm * (1 + with_eighths), bar))
    assert found is not None
    assert found > 0.9


@pytest.mark.parametrize("bpm", [60, 72, 90, 100, 120, 140, 160, 180, 200])
@pytest.mark.parametrize("bar", [[1, 0.4, 0.7, 0.4], [1, 0.4, 0.4, 0.4], [1, 0.2, 0.4, 0.2, 0.7, 0.2, 0.4, 0.2]])
def test_four_beats_a_bar_are_no_threes(bpm: float, bar: list[float]) -> None:
    """4/4 with and without a second accent or eighths."""
    found = strength(clicks(bpm * len(bar) / 4, bar))
    assert found is not None
    assert found < 0.1


@pytest.mark.parametrize("dotted_bpm", [50, 60, 70, 80, 100, 120])
@pytest.mark.parametrize(
    "bar", [[1, 0.3, 0.3, 0.7, 0.3, 0.3], [1, 0.3, 0.3, 0.6, 0.3, 0.3, 0.8, 0.3, 0.3, 0.6, 0.3, 0.3]]
)
def test_compound_meters_are_no_triple_meter(dotted_bpm: float, bar: list[float]) -> None:
    """6/8 and 12/8 are in twos and fours, or not told from a fast 3/4: never threes."""
    found = strength(clicks(dotted_bpm * 3, bar))
    assert found is None or found < 0.1


@pytest.mark.parametrize("bpm", [60, 80, 100, 120])
def test_a_shuffle_is_no_triple_meter(bpm: float) -> None:
    """4/4 whose beats have a third third."""
    found = strength(clicks(bpm * 3, [1, 0, 0.3, 0.6, 0, 0.3, 0.8, 0, 0.3, 0.6, 0, 0.3]))
    assert found is not None
    assert found < 0.1


@pytest.mark.parametrize("bpm", [60, 100, 120, 160, 200])
def test_without_accents_there_is_no_meter(bpm: float) -> None:
    """Clicks that are all alike say nothing."""
    assert strength(clicks(bpm, [1.0])) is None


@pytest.mark.parametrize("seed", range(12))
def test_accents_at_random_are_not_threes(seed: int) -> None:
    """Accents without a pattern are seldom taken for twos and not for threes."""
    loudness = np.random.default_rng(seed).random(400).tolist()
    found = strength(clicks(110, loudness, duration_s=60, seed=seed))
    assert found is None or found < 0.5


def sounded(pulses_per_minute: float, loudness: list[float], *, seed: int) -> Samples:
    """As `clicks`, over a held tone: the loudest are low thuds, the others high clicks of nearly their loudness."""
    draw = np.random.default_rng(seed)
    sound = 0.003 * draw.standard_normal(60 * RATE_HZ) + 0.05 * np.sin(np.arange(60 * RATE_HZ) * 0.0627)
    times_s = np.arange(round(0.08 * RATE_HZ)) / RATE_HZ
    for number, place_s in enumerate(np.arange(0.3, 59.5, 60 / pulses_per_minute)):
        start = round((place_s + draw.normal(0, 0.01)) * RATE_HZ)
        loud = loudness[number % len(loudness)]
        tone = np.sin(2 * np.pi * (80 if loud > 0.8 else 2000) * times_s) + 0.3 * draw.standard_normal(len(times_s))
        sound[start : start + len(tone)] += loud * draw.uniform(0.85, 1.15) * tone * np.exp(-times_s / 0.02)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eighths_per_minute", [180, 210])
def test_six_eighths_of_two_sounds_are_no_threes(eighths_per_minute: float, seed: int) -> None:
    """A low first beat and a high second one, as loud, are still two beats of three."""
    assert strength(sounded(eighths_per_minute, [1, 0.4, 0.4, 0.8, 0.4, 0.4], seed=seed)) is None
    twelve = [1, 0.4, 0.4, 0.8, 0.4, 0.4, 0.9, 0.4, 0.4, 0.8, 0.4, 0.4]
    assert strength(sounded(eighths_per_minute, twelve, seed=seed)) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("eighths_per_minute", [180, 200, 220, 240])
@pytest.mark.parametrize("hits", [[1, 0, 0, 1, 0, 0, 0.9, 0], [1, 0, 0, 0.6, 0, 0, 0.6, 0, 0, 0, 0.6, 0, 1, 0, 0, 0]])
def test_three_uneven_hits_a_bar_are_no_threes(eighths_per_minute: float, seed: int, hits: list[float]) -> None:
    """The 3+3+2 of a tresillo, alone and in a son clave, has three hits a bar and no three beats."""
    found = strength(sounded(eighths_per_minute, hits, seed=seed))
    assert found is None or found < 0.5


def test_few_beats_have_no_meter() -> None:
    """Eight seconds are too few bars to tell."""
    assert strength(clicks(120, [1, 0.4, 0.4], duration_s=8)) is None


def test_meter_does_not_depend_on_loudness() -> None:
    """A hundredth of the amplitude has the same meter, or nearly."""
    waltz = clicks(120, [1, 0.4, 0.4])
    assert strength(waltz / np.float32(100)) == pytest.approx(strength(waltz), abs=0.02)


def test_meter_is_the_same_each_time() -> None:
    """The same samples give the same number to the bit."""
    waltz = clicks(100, [1, 0.4, 0.4])
    assert strength(waltz) == strength(waltz.copy())


def test_beats_of_an_even_pulse_are_found():
    """A click every 43 frames, tracked at that rate: the clicks, whatever small noise lies between."""
    onsets = np.random.default_rng(3).random(2000) * 0.05
    onsets[7::43] += 1
    assert tracked_beats(onsets, frames_per_beat=43.0).tolist() == list(range(7, 2000, 43))


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_no_beats_in_silence(frames: int):
    """Of no onsets, or of a few silent frames, no beat comes and nothing fails."""
    assert len(tracked_beats(np.zeros(frames), frames_per_beat=43.0)) == 0
