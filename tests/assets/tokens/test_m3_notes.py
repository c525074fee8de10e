"""What the UI says of a trained autoencoder."""

import struct

import numpy as np
import pytest

from assets.tokens.m3_notes import errors_by_level, fit_notes, plot_losses
from assets.tokens.rqvae import codes_of, decoded
from assets.tokens.rqvae_training import Epoch, Trained, train_rqvae
from resources.m3_settings import M3


@pytest.fixture(scope="module")
def clustered() -> np.ndarray:
    """400 vectors around 24 centres: four far apart, in each three nearer ones, in each two near ones."""
    random = np.random.default_rng(0)
    spread = [scale * random.standard_normal((k, 8)) for k, scale in ((4, 3.0), (12, 1.0), (24, 0.4))]
    centres = spread[0][np.arange(24) // 6] + spread[1][np.arange(24) // 2] + spread[2]
    return (centres[random.integers(0, 24, 400)] + 0.02 * random.standard_normal((400, 8))).astype(np.float32)


@pytest.fixture(scope="module")
def trained(clustered: np.ndarray) -> Trained:
    """An RQ-VAE of them."""
    settings = M3(hidden=[32], latent_dimensions=8, batch=64, epochs=40, learning_rate=0.005)
    return train_rqvae(clustered, sizes=(4, 6, 8), settings=settings)


def test_each_level_lowers_the_error(clustered: np.ndarray, trained: Trained) -> None:
    """Vectors decoded from more levels are nearer to the originals, and all levels beat the mean vector."""
    codes_NL = codes_of(trained.model, clustered)
    first, second, third = errors_by_level(trained.model, clustered, codes_NL)
    assert clustered.var(0).sum() > first > second > third


def test_the_error_of_all_levels_is_that_of_the_reconstruction(clustered: np.ndarray, trained: Trained) -> None:
    """The last error is the mean squared distance to the decoded vectors, and measuring leaves the model alone."""
    codes_NL = codes_of(trained.model, clustered)
    errors = errors_by_level(trained.model, clustered, codes_NL)
    expected = np.square(clustered - decoded(trained.model, codes_NL)).sum(1).mean()
    assert errors[-1] == pytest.approx(expected, rel=1e-5)
    assert errors_by_level(trained.model, clustered, codes_NL) == errors


def test_the_notes_name_every_level(clustered: np.ndarray, trained: Trained) -> None:
    """There is a share, a perplexity, an error and a picture a level, and a picture of the losses."""
    codes_NL = codes_of(trained.model, clustered)
    notes = fit_notes(trained.model, trained.epochs, clustered, codes_NL, title="tc rqvae")
    assert notes["error of the mean vector"] == pytest.approx(clustered.var(0).sum(), rel=1e-5)
    assert notes["level 1: share of codes used"] == len(set(codes_NL[:, 0].tolist())) / 4
    assert 1 < notes["level 2: perplexity"] <= 6
    pictures = [name for name, note in notes.items() if str(note).startswith("![")]
    assert pictures == ["losses", *(f"level {level}: use" for level in (1, 2, 3))]


def test_loss_curves_are_a_small_png_of_the_same_bytes() -> None:
    """The PNG has 500 x 260 dots and at most 30 KB; a single epoch can be drawn, and losses of 0."""
    epochs = [Epoch(1 / number, 0.5 / number, 0.1 / number, 0) for number in range(1, 151)]
    png = plot_losses(epochs, title="tc")
    assert struct.unpack(">II", png[16:24]) == (500, 260)
    assert len(png) <= 30 * 1024
    assert png == plot_losses(epochs, title="tc")
    for few in (epochs[:1], [Epoch(0.0, 0.0, 0.0, 0)] * 2):
        assert plot_losses(few, title="tc")[:4] == b"\x89PNG"
