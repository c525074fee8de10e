import numpy as np
import pytest
from numpy.typing import NDArray

from resources.audio_encoder import DIMENSIONS, SAMPLE_RATE_HZ, Samples, SpectralEncoder, Vector
from resources.refusals import Refusal


def drums(seed: int) -> Samples:
    """Three seconds of noise bursts, two a second."""
    rng = np.random.default_rng(seed)
    bursts: NDArray[np.float64] = np.exp(-(np.arange(3 * SAMPLE_RATE_HZ) % (SAMPLE_RATE_HZ // 2)) / 900)
    noise: Samples = rng.standard_normal(len(bursts), dtype=np.float32)
    beats: Samples = (0.3 * bursts * noise).astype(np.float32)
    return beats


def chord(seed: int) -> Samples:
    """Three seconds of a soft triad on a random note."""
    times_s = np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    hertz = 220 * 2 ** (np.random.default_rng(seed).integers(0, 4) / 12)
    notes = [np.sin(2 * np.pi * hertz * ratio * times_s) for ratio in (1, 1.25, 1.5)]
    tone: Samples = (0.1 * np.sum(notes, axis=0)).astype(np.float32)
    return tone


def encoded(*recordings: Samples) -> list[Vector]:
    """The vector of each recording."""
    results = SpectralEncoder().encode(recordings)
    vectors = [result for result in results if isinstance(result, np.ndarray)]
    assert len(vectors) == len(recordings)
    return vectors


def test_vectors_have_unit_length_and_the_stated_size() -> None:
    """Each is float32, of DIMENSIONS numbers and length 1."""
    for vector in encoded(drums(0), chord(0)):
        assert vector.dtype == np.float32
        assert vector.shape == (DIMENSIONS,) == (SpectralEncoder().dimensions,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_like_sounds_are_nearer_than_unlike_ones() -> None:
    """Drums are nearer to other drums than to a chord, and chords to chords."""
    drum, other_drum, soft, other_soft = encoded(drums(0), drums(1), chord(0), chord(1))
    assert drum @ other_drum > drum @ soft + 0.3
    assert soft @ other_soft > soft @ other_drum + 0.3


def test_a_vector_depends_on_its_recording_alone() -> None:
    """Alone, in company and in another order a recording has the same bytes."""
    alone = encoded(drums(0))[0]
    assert np.array_equal(encoded(chord(0), drums(0))[1], alone)


@pytest.mark.parametrize(
    "samples", [np.zeros(SAMPLE_RATE_HZ), np.zeros(0), np.full(SAMPLE_RATE_HZ, np.nan), np.full(9, 1e-6)]
)
def test_silence_is_refused_in_its_place(samples: np.ndarray) -> None:
    """Silence, nothing and NaN have no vector; the others keep their places."""
    results = SpectralEncoder().encode([drums(0), samples.astype(np.float32), chord(0)])
    assert [isinstance(result, Refusal) for result in results] == [False, True, False]
    refusal = results[1]
    assert isinstance(refusal, Refusal)
    assert (refusal.location, refusal.reason) == ("1", "silent")


def test_a_short_and_a_constant_sound_have_finite_vectors() -> None:
    """A hundred samples, and a direct current, are odd but not silent."""
    for vector in encoded(np.ones(100, dtype=np.float32), np.full(SAMPLE_RATE_HZ, 0.5, dtype=np.float32)):
        assert np.isfinite(vector).all()
