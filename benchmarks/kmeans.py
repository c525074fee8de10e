"""K-means against faiss-cpu: one start, the same iterations, the same vectors, codes of all vectors at the end.

    python -m benchmarks.kmeans [--quick]

Vectors are a mixture of Gaussians, two a centroid, on the unit sphere. They overlap so much that no centroid goes
empty: faiss then splits a large cluster where ours takes a badly fitted vector, and inertia differs either way.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import faiss
import numpy as np
import torch

from assets.tokens.kmeans import KMeans, lloyd, start_centroids
from assets.tokens.nearest import HAS_BF16_UNITS
from benchmarks.claims import Claim

K = 1024
ITERATIONS = 10
ROUNDS = 3
VECTORS = 200_000
QUICK_VECTORS = 50_000
SPREAD = 3.0  # of a Gaussian, in the spread of their centers
LARGEST_EXCESS = 1e-4  # of inertia


class Timed(NamedTuple):
    """Wall time of a fit and the inertia it ended with."""

    time_s: float
    inertia: float


def measure(vectors: int = QUICK_VECTORS) -> list[Claim]:
    """Time and inertia at 128 and 1,024 dimensions."""
    claims: list[Claim] = []
    for dimensions in (128, 1024):
        x_ND = _mixture(vectors, dimensions)
        start_KD = start_centroids(x_ND, k=K, seed=0)
        lloyd(x_ND[:K], start_KD, iterations=1, tolerance=-1)  # compiles
        rounds = [(_timed(_ours, x_ND, start_KD), _timed(_faiss, x_ND, start_KD)) for _ in range(ROUNDS)]

        ours, alternative = (statistics.median(fit.time_s for fit in fits) for fits in zip(*rounds, strict=True))
        needed = 1.5 if dimensions == 1024 and HAS_BF16_UNITS else 1.0
        name = f"K-means {vectors:,} x {dimensions:,}, K = {K:,}, {ITERATIONS} iterations and codes"
        ratio = alternative / ours
        claims.append(Claim(name, ours, alternative, ratio, f">= {needed}x faiss-cpu", ratio >= needed, "s"))

        inertias = (rounds[0][0].inertia, rounds[0][1].inertia)
        is_near = inertias[0] <= inertias[1] * (1 + LARGEST_EXCESS)
        goal = f"at most {LARGEST_EXCESS:.2%} above"
        claims.append(Claim(f"{name}: inertia", *inertias, inertias[1] / inertias[0], goal, is_near, "inertia"))
    return claims


def _mixture(vectors: int, dimensions: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(dimensions)
    centers = torch.randn(2 * K, dimensions, generator=random)
    shares = torch.rand(2 * K, generator=random) + 0.1
    x_ND = centers[torch.multinomial(shares, vectors, replacement=True, generator=random)]
    x_ND += SPREAD * torch.randn(vectors, dimensions, generator=random)
    return torch.nn.functional.normalize(x_ND, dim=1)


def _timed(fit: Callable[[torch.Tensor, torch.Tensor], float], x_ND: torch.Tensor, start_KD: torch.Tensor) -> Timed:
    started = time.perf_counter()
    inertia = fit(x_ND, start_KD)
    return Timed(time.perf_counter() - started, inertia)


def _ours(x_ND: torch.Tensor, start_KD: torch.Tensor) -> float:
    fitted: KMeans = lloyd(x_ND, start_KD, iterations=ITERATIONS, tolerance=-1)
    assert fitted.iterations == ITERATIONS
    assert not fitted.revived
    return fitted.inertia


def _faiss(x_ND: torch.Tensor, start_KD: torch.Tensor) -> float:
    x = x_ND.numpy()
    kmeans = faiss.Kmeans(x.shape[1], K, niter=ITERATIONS, nredo=1, max_points_per_centroid=len(x), seed=0)
    kmeans.train(x, init_centroids=start_KD.numpy())
    squared_distances, _ = kmeans.index.search(x, 1)
    return float(squared_distances.sum(dtype=np.float64))


def main() -> None:
    """Prints one line a claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_VECTORS:,} vectors, not {VECTORS:,}")
    vectors = QUICK_VECTORS if parser.parse_args().quick else VECTORS
    for claim in measure(vectors):
        print(
            f"{claim.name:80} {claim.ours:12.3f} {claim.alternative:12.3f} {claim.unit:8} {claim.ratio:8.4f}x "
            f"{claim.goal} {'holds' if claim.holds else 'FAILS'}"
        )


if __name__ == "__main__":
    main()
