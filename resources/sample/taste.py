"""Drawing tracks by taste: a cell (genre, mood, era, tempo band) by preference, then a track in it by popularity.

Cells keep the price of P tastes independent of the number of tracks: P x C numbers, and two binary searches a draw.
"""

# P tastes, C cells, D draws

from dataclasses import dataclass
from typing import Self

import numpy as np

from resources.sample.latents import ERA_YEARS, TEMPO_BANDS_BPM, Tracks
from resources.sample.streams import Flags, Floats, Ints
from resources.sample.vocabulary import GENRES, MOODS

ERAS = len(ERA_YEARS) + 1
TEMPO_BANDS = len(TEMPO_BANDS_BPM) + 1
CELL_SHAPE = (len(GENRES), len(MOODS), ERAS, TEMPO_BANDS)


@dataclass(frozen=True, slots=True)
class Taste:
    """Preferences (weights >= 0), one row a taste; what a taste likes is the product of its four."""

    genre: Floats
    mood: Floats
    era: Floats
    tempo: Floats

    def of_cells(self, cells: Ints) -> Floats:
        """[P, C] liking of each cell."""
        genre, mood, era, tempo = np.unravel_index(cells, CELL_SHAPE)
        liking: Floats = self.genre[:, genre] * self.mood[:, mood] * self.era[:, era] * self.tempo[:, tempo]
        return liking


@dataclass(frozen=True, slots=True)
class Pools:
    """Tracks grouped by a label, drawn within a group by popularity."""

    tracks: Ints  # ordered by group
    filled: Floats  # running sum of popularity in that order
    start: Floats  # [groups] of the running sum
    stop: Floats

    @classmethod
    def of(cls, labels: Ints, popularity: Floats, is_member: Flags, *, groups: int) -> Self:
        """Groups 0..groups-1 of the member tracks; a group may be empty."""
        members = np.flatnonzero(is_member)
        order = members[np.argsort(labels[members], kind="stable")]
        filled = np.cumsum(popularity[order])
        edges = np.concatenate([[0.0], filled])[np.searchsorted(labels[order], np.arange(groups + 1))]
        return cls(order, filled, edges[:-1], edges[1:])

    def draw(self, group: Ints, uniform: Floats) -> Ints:
        """[D] one track of each draw's group, which must not be empty; `uniform` in [0, 1)."""
        value = self.start[group] + uniform * (self.stop[group] - self.start[group])
        return self.tracks[np.minimum(np.searchsorted(self.filled, value, side="right"), len(self.tracks) - 1)]


@dataclass(frozen=True, slots=True)
class TasteSampler:
    """Draws member tracks by taste."""

    cells: Ints  # codes of the cells that have members
    pools: Pools

    @classmethod
    def of(cls, tracks: Tracks, is_member: Flags) -> Self:
        """A sampler of the member tracks; at least one is needed."""
        if not is_member.any():
            raise ValueError("no tracks to draw from; make the world larger")
        codes = np.ravel_multi_index((tracks.genre, tracks.mood, tracks.era, tracks.tempo_band), CELL_SHAPE)
        cells = np.unique(codes[is_member])
        labels = np.searchsorted(cells, codes)
        return cls(cells, Pools.of(labels, tracks.popularity, is_member, groups=len(cells)))

    def draw(self, rng: np.random.Generator, taste: Taste, row: Ints) -> Ints:
        """[D] one track for each draw, by the taste of its `row` of `taste`."""
        liking_PC = taste.of_cells(self.cells) * (self.pools.stop - self.pools.start)
        filled_PC = np.cumsum(liking_PC, axis=1)
        filled_PC /= filled_PC[:, -1:]
        # Row p's values lie in p..p+1, so that one search serves all rows.
        filled_PC += np.arange(len(filled_PC))[:, None]
        at = np.searchsorted(filled_PC.ravel(), row + rng.random(len(row)), side="right")
        cell = np.clip(at - row * len(self.cells), 0, len(self.cells) - 1)
        return self.pools.draw(cell, rng.random(len(row)))
