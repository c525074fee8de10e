"""item2vec with one worker, which repeats to the bit, beside two: what that costs, and that quality is equal.

Playlists of 30 tracks are drawn from 200 latent groups of 100 tracks, a fifth of each from anywhere. Quality is the
share of the 10 nearest neighbours in the right group.
"""

import time

import numpy as np

from assets.embeddings.item2vec import TrackVectors, fit_item2vec
from benchmarks.claims import Claim

GROUPS, TRACKS_PER_GROUP, PLAYLISTS, LENGTH, STRAY = 200, 100, 20_000, 30, 0.2
NEIGHBOURS, SAMPLED = 10, 1000
LEAST_QUALITY = 0.9


def measure() -> list[Claim]:
    """Tokens a second and neighbours in the right group, after one epoch over 600,000 playlist positions."""
    playlists = _playlists(seed=1)
    one, one_s = _fitted(playlists, workers=1)
    two, two_s = _fitted(playlists, workers=2)
    positions = PLAYLISTS * LENGTH
    quality, of_two = _quality(one), _quality(two)
    return [
        Claim(
            "item2vec: positions/s, one repeatable worker (alternative: two)",
            positions / one_s,
            positions / two_s,
            two_s / one_s,
            "the price",
            True,
            "1/s",
        ),
        Claim(
            "item2vec: neighbours in the right group (alternative: two)",
            quality,
            of_two,
            quality / of_two,
            ">= .9",
            quality >= LEAST_QUALITY,
            "share",
        ),
    ]


def _playlists(seed: int) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    group = rng.integers(GROUPS, size=(PLAYLISTS, 1))
    inside = group * TRACKS_PER_GROUP + rng.integers(TRACKS_PER_GROUP, size=(PLAYLISTS, LENGTH))
    anywhere = rng.integers(GROUPS * TRACKS_PER_GROUP, size=(PLAYLISTS, LENGTH))
    tracks = np.where(rng.random((PLAYLISTS, LENGTH)) < STRAY, anywhere, inside)
    return [[str(track) for track in playlist] for playlist in tracks]


def _fitted(playlists: list[list[str]], *, workers: int) -> tuple[TrackVectors, float]:
    started = time.perf_counter()
    vectors = fit_item2vec(
        playlists, dimensions=64, epochs=3, window=10, negatives=5, min_appearances=1, workers=workers, seed=7
    )
    return vectors, (time.perf_counter() - started) / 3


def _quality(fitted: TrackVectors) -> float:
    groups = np.array([int(track_id) // TRACKS_PER_GROUP for track_id in fitted.track_ids])
    sampled = np.random.default_rng(2).choice(len(groups), SAMPLED, replace=False)
    likeness = fitted.vectors_ND[sampled] @ fitted.vectors_ND.T
    nearest = np.argsort(-likeness, axis=1)[:, 1 : NEIGHBOURS + 1]
    return float((groups[nearest] == groups[sampled, None]).mean())


if __name__ == "__main__":
    for claim in measure():
        print(*claim)
