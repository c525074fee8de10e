"""Training of the RQ-VAE against vector-quantize-pytorch's ResidualVQ in the same autoencoder, on the same batches.

    python -m benchmarks.rqvae [--switches]

Theirs is float32, with its own k-means start, moving averages and rotation, the same loss and the same fused AdamW;
with AdamW as people write it, and with mean squared errors, it is printed beside. Ours computes in bf16 where the CPU
has units for it. Vectors are a mixture of Gaussians. `--switches` changes one setting of practice at a time.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from vector_quantize_pytorch import ResidualVQ

from assets.tokens.codebook_use import codebook_use
from assets.tokens.nearest import HAS_BF16_UNITS
from assets.tokens.rqvae import RQVAE, codes_of, decoded
from assets.tokens.rqvae_training import Training, train_rqvae
from benchmarks.claims import Claim
from resources.m3_settings import M3

SIZES = tuple(M3().sizes)
BATCH = 512
VECTORS = 32 * BATCH
HELD_OUT = 2048
CLUSTERS = 400
SPREAD = 0.5  # of a Gaussian, in the spread of their centers
LEARNING_RATE = 1e-3
COMMITMENT = 0.25
STEPS = {4096: 160, 128: 800}
TURNS = 8  # the methods take turns, so that a busy machine slows all
NEEDED = 1.7

SWITCH_VECTORS = 1500
SWITCH_DIMENSIONS = 128
SWITCHES: dict[str, dict[str, object]] = {
    "as the profile": {},
    "no k-means start": {"has_kmeans_start": False},
    "no revival": {"revives_dead_codes": False},
    "neither": {"has_kmeans_start": False, "revives_dead_codes": False},
    "moving averages": {"codebook_update": "ema"},
    "rotation": {"gradient_through": "rotation"},
    "mean reconstruction": {"reconstruction": "mean"},
    "scaled input": {"scales_input": True},
    "unscaled input": {"scales_input": False},
    "bfloat16": {"precision": "bfloat16"},
    "beta 1": {"commitment": 1.0},
    "d_z 64": {"latent_dimensions": 64},
    "1e-4, 512, 150": {"learning_rate": 1e-4, "batch": 512, "epochs": 150},
    "1e-3, 128, 50": {"batch": 128, "epochs": 50},
    "3e-3, 128, 50": {"learning_rate": 3e-3, "batch": 128, "epochs": 50},
}


class Method(NamedTuple):
    """A way to train: one step on a batch, and the mean squared error, summed over dimensions, of other vectors."""

    step: Callable[[torch.Tensor], object]
    error: Callable[[torch.Tensor], float]


class Run(NamedTuple):
    """Vectors a second in the median turn, and the held-out error after all steps."""

    rate: float
    error: float


def measure() -> list[Claim]:
    """Speed of a step, and error after equal steps, at 4,096 and 128 inputs."""
    claims: list[Claim] = []
    for dimensions, steps in STEPS.items():
        runs = _runs(dimensions)
        ours, theirs = runs["ours"], runs["theirs"]
        name = f"RQ-VAE, {dimensions:,} inputs, batch {BATCH}"
        ratio = ours.rate / theirs.rate
        goal = f">= {NEEDED}x vector-quantize-pytorch"
        claims.append(Claim(f"{name}: training", ours.rate, theirs.rate, ratio, goal, ratio >= NEEDED, "vectors/s"))

        ratio = theirs.error / ours.error
        name = f"{name}: error after {steps} steps"
        claims.append(Claim(name, ours.error, theirs.error, ratio, "<= theirs", ratio >= 1, "squared error"))
    return claims


def _runs(dimensions: int) -> dict[str, Run]:
    x_ND = _mixture(VECTORS + HELD_OUT, dimensions)
    train_ND, held_out_MD = x_ND[:VECTORS], x_ND[VECTORS:]
    methods = {
        "ours": _ours(train_ND, "bfloat16" if HAS_BF16_UNITS else "float32"),
        "ours in float32": _ours(train_ND, "float32"),
        "theirs": _theirs(dimensions),
        "theirs, plain AdamW": _theirs(dimensions, is_fused=False),
        "theirs, means": _theirs(dimensions, is_mean=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in methods}
    steps = STEPS[dimensions] // TURNS
    for turn in range(TURNS):
        for name, method in methods.items():
            batches = [train_ND[step * BATCH % VECTORS :][:BATCH] for step in range(turn * steps, (turn + 1) * steps)]
            started = time.perf_counter()
            for x_BD in batches:
                method.step(x_BD)
            rates[name].append(steps * BATCH / (time.perf_counter() - started))
    # the first turn warms caches, and their k-means start is in it as ours is in none
    runs = {
        name: Run(statistics.median(rates[name][1:]), method.error(held_out_MD)) for name, method in methods.items()
    }
    for name, run in runs.items():
        print(f"{dimensions:>6} {name:24} {run.rate:10,.0f} vectors/s   error {run.error:10.4f}", flush=True)
    return runs


def _mixture(vectors: int, dimensions: int) -> torch.Tensor:
    """Vectors of mean square 1 a dimension."""
    random = torch.Generator().manual_seed(dimensions)
    centers = torch.randn(CLUSTERS, dimensions, generator=random)
    x_ND = centers[torch.randint(CLUSTERS, (vectors,), generator=random)]
    x_ND += SPREAD * torch.randn(vectors, dimensions, generator=random)
    return nn.functional.normalize(x_ND, dim=1).mul_(dimensions**0.5)


def _ours(x_ND: torch.Tensor, precision: Literal["float32", "bfloat16"]) -> Method:
    settings = M3(
        batch=BATCH, learning_rate=LEARNING_RATE, commitment=COMMITMENT, precision=precision, scales_input=False
    )  # unscaled, as theirs: the batches are of the same vectors
    training = Training(x_ND, sizes=SIZES, settings=settings)

    def error(x_MD: torch.Tensor) -> float:
        codes_ML = codes_of(training.model, x_MD.numpy())
        return float(np.square(decoded(training.model, codes_ML) - x_MD.numpy()).sum(1).mean())

    return Method(training.step, error)


def _theirs(dimensions: int, *, is_fused: bool = True, is_mean: bool = False) -> Method:
    torch.manual_seed(0)
    settings = M3()
    network = RQVAE(dimensions, hidden=settings.hidden, latent_dimensions=settings.latent_dimensions, sizes=())
    quantizer = ResidualVQ(
        dim=settings.latent_dimensions, codebook_size=SIZES, kmeans_init=True, commitment_weight=COMMITMENT
    )
    parameters = [*network.parameters(), *quantizer.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, fused=is_fused or None)
    scales = (1, 1) if is_mean else (dimensions, settings.latent_dimensions)

    def step(x_BD: torch.Tensor) -> None:
        sum_BZ, _, commitments_L = quantizer(network.encoder(x_BD))
        reconstruction = nn.functional.mse_loss(network.decoder(sum_BZ), x_BD)
        loss = scales[0] * reconstruction + scales[1] * commitments_L.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def error(x_MD: torch.Tensor) -> float:
        network.eval()
        quantizer.eval()
        with torch.no_grad():
            decoded_MD = network.decoder(quantizer(network.encoder(x_MD))[0])
        return float((decoded_MD - x_MD).square().sum(1).mean())

    return Method(step, error)


def switches() -> None:
    """Prints use, perplexity, collisions and error for one changed setting a line, on as few vectors as the sample's.

    Perplexity is level 1's; collisions are the share of vectors with all codes of another; error is of unit vectors.
    """
    x_ND = _mixture(SWITCH_VECTORS, SWITCH_DIMENSIONS).numpy() / SWITCH_DIMENSIONS**0.5
    print(f"{'setting':24}{'use of levels':>18}{'perplexity':>12}{'collisions':>12}{'error':>8}{'revived':>9}{'s':>7}")
    for name, changed in SWITCHES.items():
        settings = M3.model_validate(changed)
        started = time.perf_counter()
        trained = train_rqvae(x_ND, sizes=SIZES, settings=settings)
        spent_s = time.perf_counter() - started
        codes_NL = codes_of(trained.model, x_ND)
        uses = [codebook_use(codes_N, k=k) for codes_N, k in zip(codes_NL.T, SIZES, strict=True)]
        counts = np.unique(codes_NL, axis=0, return_counts=True)[1]
        error = np.square(decoded(trained.model, codes_NL) - x_ND).sum(1).mean()
        shares = " ".join(f"{use.share_used:.2f}" for use in uses)
        print(
            f"{name:24}{shares:>18}{uses[0].perplexity:>12.1f}{counts[counts > 1].sum() / len(x_ND):>12.3f}"
            f"{error:>8.3f}{sum(epoch.revived for epoch in trained.epochs):>9}{spent_s:>7.1f}",
            flush=True,
        )


def main() -> None:
    """Prints one line a claim, or the switches' table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switches", action="store_true", help="what each setting of practice brings")
    if parser.parse_args().switches:
        switches()
        return
    for claim in measure():
        print(
            f"{claim.name:60} {claim.ours:12,.3f} {claim.alternative:12,.3f} {claim.unit:14} {claim.ratio:8.3f}x "
            f"{claim.goal} {'holds' if claim.holds else 'FAILS'}"
        )


if __name__ == "__main__":
    main()
