from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from assets.tokens import rqvae_training
from assets.tokens.rqvae import RQVAE, codes_of, decoded, to_bytes
from assets.tokens.rqvae_training import Training, train_rqvae
from resources.m3_settings import M3

SIZES = (8, 6)


def small(**changed: object) -> M3:
    """Settings of a network that trains in a moment."""
    settings = {"hidden": [24, 16], "latent_dimensions": 6, "batch": 32, "epochs": 4, "learning_rate": 3e-3}
    return M3.model_validate(settings | changed)


def mixture(n: int = 200, *, dimensions: int = 12, clusters: int = 10, seed: int = 0) -> np.ndarray:
    """Vectors close to a few centers."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((clusters, dimensions))
    x_ND = centers[random.integers(clusters, size=n)] + 0.1 * random.standard_normal((n, dimensions))
    return x_ND.astype(np.float32)


def error_of(model: RQVAE, x_ND: np.ndarray) -> float:
    """Mean squared error of vectors and what their codes stand for, summed over dimensions."""
    return float(np.square(decoded(model, codes_of(model, x_ND)) - x_ND).sum(1).mean())


def in_training(layers: torch.nn.Sequential, x_BD: torch.Tensor) -> torch.Tensor:
    """Linear layers, batch norm by the batch's own mean and deviation, ReLU, written out."""
    for layer in layers:
        if isinstance(layer, torch.nn.Linear):
            x_BD = functional.linear(x_BD, layer.weight, layer.bias)
        elif isinstance(layer, torch.nn.BatchNorm1d):
            deviation_D = (x_BD.var(0, correction=0) + 1e-5).sqrt()
            x_BD = (x_BD - x_BD.mean(0)) / deviation_D * layer.weight + layer.bias
        else:
            x_BD = x_BD.clamp(min=0)
    return x_BD


@pytest.mark.parametrize("reconstruction", ["sum", "mean"])
def test_a_step_is_adamw_on_the_papers_loss(reconstruction):
    """One step's losses and gradients are those of eq. 2.2, written out, and its weights those of plain AdamW."""
    x_BD = torch.from_numpy(mixture(32))
    settings = small(reconstruction=reconstruction)
    ours, reference = (Training(x_BD, sizes=SIZES, settings=settings) for _ in range(2))
    losses = ours.step(x_BD)

    model = reference.model
    latents_BZ = residual_BZ = in_training(model.encoder, x_BD)
    codewords, distance, loss = [], torch.zeros(()), torch.zeros(())
    for codebook_KZ in model.codebooks:
        e_BZ = codebook_KZ[torch.cdist(residual_BZ, codebook_KZ).argmin(1)]
        distance = distance + (residual_BZ - e_BZ).square().sum(1).mean().detach()
        loss = loss + (residual_BZ.detach() - e_BZ).square().sum(1).mean()
        loss = loss + settings.commitment * (residual_BZ - e_BZ.detach()).square().sum(1).mean()
        codewords.append(e_BZ)
        residual_BZ = residual_BZ - e_BZ.detach()
    sum_BZ = latents_BZ + (torch.stack(codewords).sum(0) - latents_BZ).detach()
    squares_BD = (in_training(model.decoder, sum_BZ) - x_BD).square()
    squares = squares_BD.sum(1).mean()
    loss = loss + (squares if reconstruction == "sum" else squares_BD.mean())
    loss.backward()
    torch.testing.assert_close(losses, torch.stack([squares.detach(), distance]))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, foreach=False
    )
    for ours_weight, weight in zip(ours.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours_weight.grad, weight.grad, rtol=1e-4, atol=1e-4)
        weight.grad = ours_weight.grad  # AdamW divides a gradient by itself: rounding would count as much as it
    optimizer.step()
    for ours_weight, weight in zip(ours.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours_weight, weight)


def test_training_fits_a_mixture_and_uses_its_codes():
    """On a mixture of 10 the error falls below a tenth of the vectors' variance and level 1 uses all of its codes."""
    x_ND = mixture(256)
    trained = train_rqvae(x_ND, sizes=SIZES, settings=small(epochs=25))
    losses = [epoch.reconstruction for epoch in trained.epochs]
    assert losses[-1] < losses[0] / 10
    assert error_of(trained.model, x_ND) < 0.1 * x_ND.var(0).sum()
    assert len(np.unique(codes_of(trained.model, x_ND)[:, 0])) == 8
    assert len(losses) == 25


@pytest.mark.parametrize(
    "changed",
    [
        {"codebook_update": "ema", "ema_decay": 0.9},
        {"gradient_through": "rotation"},
        {"precision": "bfloat16"},
        {"scales_input": False},
        {"reconstruction": "mean"},
        {"revives_dead_codes": False},
        {"has_kmeans_start": False},
    ],
    ids=str,
)
def test_every_switch_trains(changed):
    """Each way of training brings the error below a fifth of the vectors' variance."""
    x_ND = mixture(256)
    trained = train_rqvae(x_ND, sizes=SIZES, settings=small(epochs=25, **changed))
    assert error_of(trained.model, x_ND) < 0.2 * x_ND.var(0).sum()


@pytest.mark.parametrize("changed", [{}, {"codebook_update": "ema", "scales_input": True}], ids=str)
def test_the_same_input_gives_the_same_bytes(changed):
    """Two trainings agree to the byte, another seed differs, and torch's own random state stays where it is."""
    x_ND = mixture()
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    first, second, other = (train_rqvae(x_ND, sizes=SIZES, settings=small(seed=seed, **changed)) for seed in (1, 1, 2))
    assert to_bytes(first.model) == to_bytes(second.model) != to_bytes(other.model)
    assert first.epochs == second.epochs
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_moving_averages_equal_the_written_out_ones():
    """After each step a codeword is m / n: both decay by 0.9 and take a tenth of the step's vectors and count."""
    x_ND = torch.from_numpy(mixture(64))
    training = Training(x_ND, sizes=SIZES, settings=small(codebook_update="ema", ema_decay=0.9))
    counts = [torch.full((k,), 32 / k) for k in SIZES]
    sums = [codebook.clone() * count[:, None] for codebook, count in zip(training.model.codebooks, counts, strict=True)]
    for x_BD in (x_ND[:32], x_ND[32:], x_ND[:32]):
        residual_BZ = in_training(training.model.encoder, x_BD).detach()
        held = [codebook.clone() for codebook in training.model.codebooks]
        training.step(x_BD)
        for level, codebook_KZ in enumerate(held):
            codes_B = torch.cdist(residual_BZ, codebook_KZ).argmin(1)
            chosen_BK = functional.one_hot(codes_B, len(codebook_KZ)).float()
            counts[level] = 0.9 * counts[level] + 0.1 * chosen_BK.sum(0)
            sums[level] = 0.9 * sums[level] + 0.1 * chosen_BK.T @ residual_BZ
            expected_KZ = sums[level] / counts[level][:, None]
            torch.testing.assert_close(training.model.codebooks[level].data, expected_KZ, rtol=1e-4, atol=1e-5)
            residual_BZ = residual_BZ - codebook_KZ[codes_B]


@pytest.mark.parametrize("update", ["gradient", "ema"])
def test_dead_codes_move_to_residuals(update):
    """Codes too far away to be chosen move onto vectors' residuals, are chosen from then on, and start afresh."""
    x_ND = torch.from_numpy(mixture())
    training = Training(x_ND, sizes=SIZES, settings=small(codebook_update=update))
    with torch.no_grad():
        for codebook_KZ in training.model.codebooks:
            codebook_KZ[2:5] = 1e4
        for average in training.averages:
            average.sums_KZ[2:5] = 1e4
    for x_BD in x_ND.split(50):
        training.step(x_BD)
    assert training.revive(np.random.default_rng(0)) == 6
    for codebook_KZ in training.model.codebooks:
        assert codebook_KZ.abs().max() < 100
        if update == "gradient":
            assert not training.optimizer.state[codebook_KZ]["exp_avg"][2:5].any()
    training.step(x_ND)
    assert all(uses_K[2:5].all() for uses_K in training.uses.split(SIZES))


def test_revival_makes_no_equal_codes():
    """Three dead codes and two distinct vectors: two codes move."""
    x_ND = torch.from_numpy(np.tile(mixture(2), (20, 1)))
    training = Training(x_ND, sizes=(4,), settings=small())
    training.uses[0] = 1
    assert training.revive(np.random.default_rng(0)) == 2


def test_the_last_epoch_revives_none():
    """Codes are revived after each epoch but the last, and never where the setting says so."""
    x_ND = mixture()
    dead = {"has_kmeans_start": False, "epochs": 3}
    revived = [epoch.revived for epoch in train_rqvae(x_ND, sizes=(64, 64), settings=small(**dead)).epochs]
    assert revived[0] > 0
    assert revived[-1] == 0
    never = train_rqvae(x_ND, sizes=(64, 64), settings=small(revives_dead_codes=False, **dead))
    assert not any(epoch.revived for epoch in never.epochs)


def test_codebooks_start_at_kmeans_of_the_residuals():
    """Each codeword of the first level starts at the mean of the latents that choose it."""
    x_ND = torch.from_numpy(mixture())
    training = Training(x_ND, sizes=SIZES, settings=small())
    latents_NZ = in_training(training.model.encoder, x_ND).detach()
    codebook_KZ = training.model.codebooks[0].detach()
    codes_N = torch.cdist(latents_NZ, codebook_KZ).argmin(1)
    means_KZ = torch.stack([latents_NZ[codes_N == code].mean(0) for code in range(8)])
    torch.testing.assert_close(codebook_KZ, means_KZ, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n", [1, 2, 3, 31, 33, 65])
def test_any_number_of_vectors_trains(n):
    """Fewer vectors than a batch, and one more than a batch, leave no batch of one behind and finite losses."""
    trained = train_rqvae(mixture(n), sizes=(min(n, 8), 1), settings=small())
    assert np.isfinite([epoch[:3] for epoch in trained.epochs]).all()
    assert codes_of(trained.model, mixture(n)).shape == (n, 2)


@pytest.mark.parametrize(("n", "batch", "sizes"), [(3, 2, [3]), (65, 32, [21, 22, 22]), (64, 32, [32, 32])])
def test_batches_are_even(monkeypatch, n, batch, sizes):
    """No batch is above the setting by more than one vector, and none is a single vector."""
    taken: list[int] = []
    step = Training.step

    def counting(self: Training, x_BD: torch.Tensor) -> torch.Tensor:
        taken.append(len(x_BD))
        return step(self, x_BD)

    monkeypatch.setattr(rqvae_training.Training, "step", counting)
    train_rqvae(mixture(n), sizes=(2,), settings=small(batch=batch, epochs=1))
    assert sorted(taken) == sizes


@pytest.mark.parametrize("scales_input", [False, True])
def test_constant_and_sparse_dimensions_train(scales_input):
    """One-hot vectors beside a dimension that never changes give finite losses and come back."""
    x_ND = np.zeros((120, 12), np.float32)
    x_ND[np.arange(120), np.arange(120) % 8] = 1
    x_ND[:, 9] = 0.1  # its deviation is not quite 0 in float32
    trained = train_rqvae(x_ND, sizes=SIZES, settings=small(scales_input=scales_input, epochs=25))
    assert np.isfinite([epoch[:3] for epoch in trained.epochs]).all()
    assert error_of(trained.model, x_ND) < 0.2
    expected = x_ND.var(0).mean() ** 0.5 if scales_input else 1.0  # one scale for all dimensions
    np.testing.assert_allclose(trained.model.deviation_D, np.full(12, expected), rtol=1e-5)
    np.testing.assert_allclose(trained.model.mean_D, x_ND.mean(0) * scales_input, rtol=1e-5)


def test_duplicates_are_no_obstacle():
    """Eight distinct vectors, each often, fill a codebook of eight."""
    x_ND = np.tile(mixture(8), (20, 1))
    trained = train_rqvae(x_ND, sizes=(8, 8), settings=small(epochs=20))
    codes_NL = codes_of(trained.model, x_ND)
    assert (codes_NL[:8] == codes_NL[8:16]).all()
    assert np.isfinite(trained.epochs[-1].codebook)


def test_too_few_distinct_vectors_are_refused():
    """Equal vectors count once, and the message names the settings to change."""
    x_ND = np.tile(mixture(5), (10, 1))
    with pytest.raises(ValueError, match=r"need 8 distinct vectors, found 5; set m3.sizes or m3.vqvae_k to at most 5"):
        train_rqvae(x_ND, sizes=SIZES, settings=small())


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(wrong):
    """The first such vector is named."""
    x_ND = mixture()
    x_ND[17, 3] = wrong
    with pytest.raises(ValueError, match="vector 17 is not finite"):
        train_rqvae(x_ND, sizes=SIZES, settings=small())


def test_a_loss_that_is_not_finite_is_an_error():
    """Training that diverges stops, naming the epoch and the setting."""
    with pytest.raises(ValueError, match=r"epoch 1: the loss is not finite; lower m3.learning_rate"):
        train_rqvae(mixture() * np.float32(1e25), sizes=SIZES, settings=small(scales_input=False))


def test_vectors_too_long_to_scale_are_refused():
    """A variance beyond float32 would scale every vector to zeros, and zeros would train."""
    with pytest.raises(ValueError, match="variance of the vectors overflows float32"):
        train_rqvae(mixture() * np.float32(1e25), sizes=SIZES, settings=small(scales_input=True))


def test_one_level_is_a_vqvae():
    """With one codebook there is one code a vector."""
    trained = train_rqvae(mixture(), sizes=(20,), settings=small())
    assert codes_of(trained.model, mixture()).shape == (200, 1)


def test_the_network_is_the_settings_own():
    """Hidden widths and latent dimensions are the profile's, the mirror image in the decoder."""
    model = train_rqvae(mixture(), sizes=SIZES, settings=small(epochs=1)).model
    linears = [layer for layer in [*model.encoder, *model.decoder] if isinstance(layer, torch.nn.Linear)]
    widths = [12, 24, 16, 6]
    assert [(layer.in_features, layer.out_features) for layer in linears] == [
        *pairwise(widths),
        *pairwise(widths[::-1]),
    ]
    assert not model.training
