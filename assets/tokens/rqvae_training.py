"""Training of an RQ-VAE: the paper's AdamW over shuffled batches, and what practice added, each a setting.

In: finite vectors; the caller leaves missing ones out. Out: the trained model and the losses of each epoch. The same
vectors, settings and number of threads give the same bytes; torch's own random state is neither read nor moved. Batches
are as even as they can be, so that none is too small for batch norm. Leaves out a learning-rate schedule.
"""

# N vectors, D dimensions, Z latent dimensions, L levels, K codes of a level, B batch, S sampled vectors

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from assets.tokens.kmeans import start_centroids
from assets.tokens.rqvae import RQVAE, Quantized, nearest, quantized, sums_by_code
from resources.m3_settings import M3

SAMPLE_PER_CODE = 32  # vectors that codebooks start from: our choice
LARGEST_SAMPLE = 8192
START_ITERATIONS = 10
SMALLEST_COUNT = 1e-6  # of a moving average: below it a codeword stays where it is


class Epoch(NamedTuple):
    """Means over an epoch's vectors, scaled as the encoder's input; `commitment` is beta times `codebook`."""

    reconstruction: float
    codebook: float
    commitment: float
    revived: int


class Trained(NamedTuple):
    """The model, in eval mode on the CPU, and what each epoch lost."""

    model: RQVAE
    epochs: list[Epoch]


def train_rqvae(vectors_ND: np.ndarray, *, sizes: Sequence[int], settings: M3, device: str = "cpu") -> Trained:
    """An RQ-VAE with codebooks of these sizes; of one size it is a VQ-VAE.

    Raises ValueError for a vector that is not finite, for fewer distinct vectors than a level has codes, for vectors
    too long to scale, and where the loss stops being finite.
    """
    x_ND = _checked(vectors_ND, sizes).to(device)
    training = Training(x_ND, sizes=sizes, settings=settings)
    random = np.random.default_rng(settings.seed)
    # at least 2 vectors each: batch norm has no deviation of one
    batches = max(1, min(-(-len(x_ND) // settings.batch), len(x_ND) // 2))
    epochs = []
    for number in range(1, settings.epochs + 1):
        order_N = torch.from_numpy(random.permutation(len(x_ND))).to(x_ND.device)
        totals = torch.zeros(2, device=x_ND.device)
        for rows_B in order_N.tensor_split(batches):
            totals += training.step(training.x_ND[rows_B]) * len(rows_B)
        reconstruction, distance = (totals / len(x_ND)).tolist()
        if not np.isfinite(reconstruction + distance):
            raise ValueError(f"epoch {number}: the loss is not finite; lower m3.learning_rate={settings.learning_rate}")
        is_reviving = settings.revives_dead_codes and number < settings.epochs  # a code moved last learns nothing
        revived = training.revive(random) if is_reviving else 0
        epochs.append(Epoch(reconstruction, distance, settings.commitment * distance, revived))
    return Trained(training.model.eval().cpu(), epochs)


class Training:
    """A model under training: its optimizer, what chose each code this epoch, and moving averages under `ema`."""

    def __init__(self, x_ND: torch.Tensor, *, sizes: Sequence[int], settings: M3) -> None:
        self.settings = settings
        self.model = _started(x_ND, sizes, settings)
        self.x_ND = self.model.scaled(x_ND) if settings.scales_input else x_ND
        is_ema = settings.codebook_update == "ema"
        for codebook_KZ in self.model.codebooks:
            codebook_KZ.requires_grad_(not is_ema)
        self.optimizer = torch.optim.AdamW(
            [parameter for parameter in self.model.parameters() if parameter.requires_grad],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        if settings.has_kmeans_start:
            self._start_codebooks()
        self.uses = torch.zeros(sum(sizes), dtype=torch.int64, device=x_ND.device)  # level by level
        self.firsts_L = torch.tensor([0, *sizes[:-1]], device=x_ND.device).cumsum(0)
        self.averages = [self._average_of(codebook) for codebook in self.model.codebooks] if is_ema else []

    def step(self, x_BD: torch.Tensor) -> torch.Tensor:
        """One batch's step; reconstruction and distance of residuals to codewords, before it."""
        settings, model = self.settings, self.model
        is_half = settings.precision == "bfloat16"
        with torch.autocast(x_BD.device.type, torch.bfloat16, enabled=is_half):
            latents_BZ = model.encoder(x_BD)
        latents_BZ = latents_BZ.float()
        found = quantized(
            latents_BZ,
            list(model.codebooks),
            commitment=settings.commitment,
            is_rotated=settings.gradient_through == "rotation",
        )
        with torch.autocast(x_BD.device.type, torch.bfloat16, enabled=is_half):
            decoded_BD = model.decoder(found.sum_BZ)
        squares = functional.mse_loss(decoded_BD.float(), x_BD, reduction="sum") / len(x_BD)
        reconstruction = squares / x_BD.shape[1] if settings.reconstruction == "mean" else squares

        self.optimizer.zero_grad()
        (reconstruction + found.loss).backward()
        self.optimizer.step()
        self._follow(latents_BZ.detach(), found)
        return torch.stack([squares.detach(), found.distance])

    @torch.no_grad()
    def revive(self, random: np.random.Generator) -> int:
        """Moves each code that nothing chose since the last call to the residual of a random vector; returns how many.

        With fewer distinct residuals than dead codes the rest stay where they are.
        """
        is_dead = self.uses == 0
        self.uses.zero_()
        if not is_dead.any():
            return 0
        dead = [is_dead_K.nonzero().flatten() for is_dead_K in is_dead.split(self.model.sizes)]
        revived = 0
        residual_SZ = self._latents(self._sample(random))
        for level, codebook_KZ in enumerate(self.model.codebooks):
            distinct_SZ = residual_SZ[_first_of_equals(residual_SZ)]
            codes = dead[level][: len(distinct_SZ)]
            codebook_KZ[codes] = distinct_SZ[: len(codes)]
            self._forget(level, codes)
            revived += len(codes)
            residual_SZ = residual_SZ - codebook_KZ[nearest(residual_SZ, codebook_KZ)]
        return revived

    @torch.no_grad()
    def _start_codebooks(self) -> None:
        """Each level at the k-means of what the levels above it leave of a first sample."""
        residual_SZ = self._latents(self._sample(np.random.default_rng(self.settings.seed)))
        for codebook_KZ in self.model.codebooks:
            codebook_KZ.copy_(_kmeans(residual_SZ, len(codebook_KZ), self.settings.seed))
            residual_SZ = residual_SZ - codebook_KZ[nearest(residual_SZ, codebook_KZ)]

    def _sample(self, random: np.random.Generator) -> torch.Tensor:
        rows = min(len(self.x_ND), LARGEST_SAMPLE, max(self.settings.batch, SAMPLE_PER_CODE * max(self.model.sizes)))
        chosen_S = random.choice(len(self.x_ND), rows, replace=False)
        return self.x_ND[torch.from_numpy(chosen_S).to(self.x_ND.device)]

    def _latents(self, x_SD: torch.Tensor) -> torch.Tensor:
        """Latents normed by the sample's own statistics, as a step norms them; the running ones stay as they are."""
        held_SD = x_SD
        for layer in self.model.encoder:
            if isinstance(layer, nn.BatchNorm1d):
                held_SD = functional.batch_norm(held_SD, None, None, layer.weight, layer.bias, training=True)
            else:
                held_SD = layer(held_SD)
        return held_SD

    @torch.no_grad()
    def _follow(self, residual_BZ: torch.Tensor, found: Quantized) -> None:
        """Counts the codes, and under `ema` moves each codeword to the moving average of its residuals."""
        places = (found.codes_BL + self.firsts_L).flatten()
        counts = torch.zeros_like(self.uses).scatter_add_(0, places, torch.ones_like(places))
        self.uses += counts
        levels = zip(
            self.averages, self.model.codebooks, found.codes_BL.T, counts.split(self.model.sizes), strict=False
        )
        for average, codebook_KZ, codes_B, counts_K in levels:
            left_BZ = residual_BZ - codebook_KZ[codes_B]
            average.counts_K.lerp_(counts_K.float(), 1 - self.settings.ema_decay)
            average.sums_KZ.lerp_(sums_by_code(residual_BZ, codes_B, len(counts_K)), 1 - self.settings.ema_decay)
            counts_K1 = average.counts_K[:, None]
            codebook_KZ.copy_(torch.where(counts_K1 > SMALLEST_COUNT, average.sums_KZ / counts_K1, codebook_KZ))
            residual_BZ = left_BZ

    def _average_of(self, codebook_KZ: torch.Tensor) -> "_Average":
        """As if each code had been chosen by an even share of every batch before."""
        share = min(self.settings.batch, len(self.x_ND)) / len(codebook_KZ)
        counts_K = torch.full((len(codebook_KZ),), share, device=codebook_KZ.device)
        return _Average(counts_K, codebook_KZ.detach() * share)

    def _forget(self, level: int, codes: torch.Tensor) -> None:
        """Clears what the optimizer or the averages remember of codes that moved."""
        codebook_KZ = self.model.codebooks[level]
        if self.averages:
            fresh = self._average_of(codebook_KZ)
            self.averages[level].counts_K[codes] = fresh.counts_K[codes]
            self.averages[level].sums_KZ[codes] = fresh.sums_KZ[codes]
        for name in ("exp_avg", "exp_avg_sq"):
            if name in self.optimizer.state[codebook_KZ]:
                self.optimizer.state[codebook_KZ][name][codes] = 0


class _Average(NamedTuple):
    """Moving averages of a step's vectors of each code and of their sum; their quotient is the codeword."""

    counts_K: torch.Tensor
    sums_KZ: torch.Tensor


def _checked(vectors_ND: np.ndarray, sizes: Sequence[int]) -> torch.Tensor:
    x_ND = np.array(vectors_ND, np.float32, order="C")  # a copy: torch wants to be allowed to write
    if x_ND.ndim != 2 or 0 in x_ND.shape:
        raise ValueError(f"vectors have shape {list(x_ND.shape)}; expected [N, D] with at least one vector")
    is_finite_N = np.isfinite(x_ND).all(1)
    if not is_finite_N.all():
        raise ValueError(f"vector {int(is_finite_N.argmin())} is not finite: leave missing vectors out")
    distinct: set[bytes] = set()
    for row in x_ND:
        distinct.add((row + np.float32(0)).tobytes())  # -0.0 becomes 0.0
        if len(distinct) >= max(sizes):
            break
    else:
        raise ValueError(
            f"codebook sizes {list(sizes)} need {max(sizes)} distinct vectors, found {len(distinct)}; set m3.sizes or "
            f"m3.vqvae_k to at most {len(distinct)}, or m3.is_size_capped"
        )
    return torch.from_numpy(x_ND if len(x_ND) > 1 else x_ND.repeat(2, 0))  # batch norm has no deviation of one


def _started(x_ND: torch.Tensor, sizes: Sequence[int], settings: M3) -> RQVAE:
    """A model with torch's usual random weights, but from a generator of its own."""
    with torch.device("meta"):  # draws nothing from torch's
        model = RQVAE(x_ND.shape[1], hidden=settings.hidden, latent_dimensions=settings.latent_dimensions, sizes=sizes)
    model = model.to_empty(device="cpu")
    random = torch.Generator().manual_seed(settings.seed)
    with torch.no_grad():
        for layer in [*model.encoder, *model.decoder]:
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=random)
                layer.bias.uniform_(-bound, bound, generator=random)
            elif isinstance(layer, nn.BatchNorm1d):
                layer.reset_parameters()
        for codebook_KZ in model.codebooks:  # as van den Oord et al. 2017's own code
            codebook_KZ.uniform_(-1 / len(codebook_KZ), 1 / len(codebook_KZ), generator=random)
        model.mean_D.zero_()
        model.deviation_D.fill_(1)
        if settings.scales_input:
            deviation_D, mean_D = torch.std_mean(x_ND, 0, correction=0)
            deviation = float(deviation_D.square().mean().sqrt())
            if not np.isfinite(deviation):  # it would scale every vector to zeros
                raise ValueError("the variance of the vectors overflows float32; bring shorter ones")
            # rounding gives vectors that are all equal a deviation that is not quite 0
            is_constant = bool((x_ND.amax(0) == x_ND.amin(0)).all())
            model.mean_D.copy_(mean_D)
            model.deviation_D.fill_(1.0 if is_constant else deviation)
    return model.to(x_ND.device)


def _kmeans(x_SZ: torch.Tensor, k: int, seed: int) -> torch.Tensor:
    """A few iterations of Lloyd's from k-means++. A start: by torch alone, at once where kmeans.py would compile."""
    codebook_KZ = start_centroids(x_SZ, k=k, seed=seed)
    for _ in range(START_ITERATIONS):
        codes_S = nearest(x_SZ, codebook_KZ)
        counts_K1 = torch.zeros(k, 1, device=x_SZ.device).index_add_(0, codes_S, torch.ones(len(x_SZ), 1).to(x_SZ))
        means_KZ = sums_by_code(x_SZ, codes_S, k) / counts_K1.clamp(min=1)
        codebook_KZ = torch.where(counts_K1 > 0, means_KZ, codebook_KZ)
    return codebook_KZ


def _first_of_equals(x_SZ: torch.Tensor) -> torch.Tensor:
    """Places of the vectors that equal none before them."""
    firsts = np.unique(x_SZ.cpu().numpy(), axis=0, return_index=True)[1]
    return torch.from_numpy(np.sort(firsts)).to(x_SZ.device)
