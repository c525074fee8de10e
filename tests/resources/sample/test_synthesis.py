"""Synthesised sound: tempo, key, energy and genre can be heard again."""

import librosa
import numpy as np
import pytest

from resources.sample.latents import draw_latents
from resources.sample.recordings import score_of
from resources.sample.synthesis import Score, synthesise
from resources.sample.vocabulary import GENRES

# Krumhansl and Kessler's (1982) key profiles, rounded.
MAJOR = np.array([6.4, 2.2, 3.5, 2.3, 4.4, 4.1, 2.5, 5.2, 2.4, 3.7, 2.3, 2.9])
MINOR = np.array([6.3, 2.7, 3.5, 5.4, 2.6, 3.5, 2.5, 4.8, 4.0, 2.7, 3.3, 3.2])


@pytest.fixture(scope="module")
def heard():
    """Twenty tracks of a world: what is to be played, and six seconds of it."""
    latents = draw_latents(7, tracks=1_500)
    scores = [score_of(latents, track) for track in range(10, 1_500, 75)]
    return [(score, synthesise(np.random.default_rng(at), score, duration_s=6)) for at, score in enumerate(scores)]


def test_tempo_can_be_heard(heard):
    """The tempo estimate of librosa finds 17 of 20 tempos within 8 %, or an octave of them."""
    found = 0
    for score, samples in heard:
        tempo_bpm = float(librosa.feature.tempo(y=samples, sr=22_050)[0])
        found += any(abs(tempo_bpm / (times * score.tempo_bpm) - 1) < 0.08 for times in (0.5, 1, 2))
    assert found >= 17


def test_key_can_be_heard_roughly(heard):
    """Correlation of the mean chroma with key profiles finds at least 9 of 20 keys; chance is one in 24."""
    found = 0
    for score, samples in heard:
        chroma = librosa.feature.chroma_stft(y=samples, sr=22_050, tuning=0.0).mean(axis=1)
        fits = [np.corrcoef(np.roll(profile, at), chroma)[0, 1] for profile in (MAJOR, MINOR) for at in range(12)]
        found += int(np.argmax(fits)) == score.key
    assert found >= 9


def test_energy_is_loudness():
    """Peak amplitude is 0.25 + 0.65 x energy, without clipping."""
    for energy in (0.0, 0.5, 1.0):
        samples = synthesise(np.random.default_rng(0), Score(120, 0, energy, True, GENRES[0].sound), duration_s=1)
        assert np.abs(samples).max() == pytest.approx(0.25 + 0.65 * energy, abs=1e-5)


def test_genre_can_be_heard():
    """The nearest mean of MFCC means and spreads, learnt on half of 250 tracks, names over half of the other genres."""
    latents = draw_latents(7, tracks=1_500)
    tracks = np.arange(0, 1_500, 6)
    coefficients = np.stack([_mfcc(score_of(latents, track)) for track in tracks.tolist()])
    coefficients = (coefficients - coefficients.mean(axis=0)) / coefficients.std(axis=0)
    genres, learnt = latents.tracks.genre[tracks], np.arange(len(tracks)) % 2 == 0
    known = np.unique(genres[learnt])
    means = np.stack([coefficients[learnt & (genres == genre)].mean(axis=0) for genre in known])
    nearest = ((coefficients[~learnt, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (known[nearest] == genres[~learnt]).mean() > 0.5


def _mfcc(score: Score) -> np.ndarray:
    samples = synthesise(np.random.default_rng(0), score, duration_s=1.5)
    coefficients = librosa.feature.mfcc(y=samples, sr=22_050, n_mfcc=20, hop_length=2_048)
    return np.concatenate([coefficients.mean(axis=1), coefficients.std(axis=1)])


def test_slowest_and_fastest_tracks_have_their_length():
    """Any tempo and length gives exactly rate x seconds samples, all finite."""
    for tempo_bpm in (60.0, 180.0):
        for duration_s in (1.0, 2.37):
            score = Score(tempo_bpm, 23, 1.0, True, GENRES[6].sound)
            samples = synthesise(np.random.default_rng(0), score, duration_s=duration_s)
            assert len(samples) == int(duration_s * 22_050)
            assert np.isfinite(samples).all()
