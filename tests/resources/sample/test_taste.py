"""Drawing by taste: shares follow preference times popularity, and only members are drawn."""

from dataclasses import replace

import numpy as np
import pytest

from resources.sample.latents import draw_latents
from resources.sample.taste import CELL_SHAPE, Pools, Taste, TasteSampler


def test_pool_draws_by_popularity_within_the_group():
    """Group 1 holds tracks 1 and 3 with weights 1 and 3: the first quarter of the unit interval is track 1."""
    pools = Pools.of(np.array([0, 1, 0, 1]), np.array([5.0, 1.0, 2.0, 3.0]), np.ones(4, dtype=np.bool_), groups=3)
    drawn = pools.draw(np.ones(4, dtype=np.int64), np.array([0.0, 0.24, 0.26, 0.99]))
    assert drawn.tolist() == [1, 1, 3, 3]
    assert pools.start[2] == pools.stop[2]


def test_taste_for_one_genre_draws_that_genre_alone():
    """Each row of tastes is drawn by its own preferences."""
    tracks = draw_latents(1, tracks=600).tracks
    genres = np.array([0, 3])
    ones = {
        name: np.ones((2, width)) for name, width in zip(("genre", "mood", "era", "tempo"), CELL_SHAPE, strict=True)
    }
    taste = replace(Taste(**ones), genre=np.eye(CELL_SHAPE[0])[genres])
    row = np.repeat([0, 1], 200)
    drawn = TasteSampler.of(tracks, tracks.is_vocal).draw(np.random.default_rng(0), taste, row)
    assert (tracks.genre[drawn] == genres[row]).all()
    assert tracks.is_vocal[drawn].all()


def test_sampler_without_tracks_is_refused():
    """There is nothing to draw."""
    tracks = draw_latents(1, tracks=60).tracks
    with pytest.raises(ValueError, match="no tracks"):
        TasteSampler.of(tracks, np.zeros(60, dtype=np.bool_))
