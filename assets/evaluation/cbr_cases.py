"""The cases of content-based retrieval: a seed track, and the targets of which one must be found.

In: held-out playlists and pairs of held-out sessions by track id, and the catalog. Out: rows of the catalog.
The targets of a case are the tracks of its list but for the seed, so that cases of one playlist share a list.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

# C cases, S systems


class Pairs(NamedTuple):
    """Every case with each of its targets, by case."""

    cases: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int32]


class Cases(NamedTuple):
    """`seeds` [C] are rows of the catalog; list l is `members[starts[l]:starts[l + 1]]`, and `lists` [C] says whose.

    `groups` [C] number the playlist or the listener that a case is of.
    """

    seeds_C: npt.NDArray[np.int32]
    lists_C: npt.NDArray[np.int64]
    groups_C: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    members: npt.NDArray[np.int32]

    def pairs(self) -> Pairs:
        """Every case with each of its targets; the seed is none."""
        lengths_C = np.diff(self.starts)[self.lists_C]
        cases = np.repeat(np.arange(len(self.seeds_C)), lengths_C)
        first_of_case = np.cumsum(lengths_C) - lengths_C
        places = np.arange(len(cases)) - first_of_case[cases] + self.starts[self.lists_C][cases]
        targets = self.members[places]
        is_target = targets != self.seeds_C[cases]
        return Pairs(cases[is_target], targets[is_target])


class CaseCounts(NamedTuple):
    """Candidates of each case by each system, int64 [C, S].

    `above` score higher than the best target; `ties` score like it, `good` of which are targets.
    """

    above: npt.NDArray[np.int64]
    ties: npt.NDArray[np.int64]
    good: npt.NDArray[np.int64]


def joined(parts: Sequence[Cases]) -> Cases:
    """The cases of all parts, in their order; no group and no list is in two parts."""
    lists = np.cumsum([0, *(len(part.starts) - 1 for part in parts)])
    groups = np.cumsum([0, *(part.groups_C.max(initial=-1) + 1 for part in parts)])
    lengths = np.concatenate([[0], *(np.diff(part.starts) for part in parts)])
    return Cases(
        np.concatenate([part.seeds_C for part in parts]),
        np.concatenate([part.lists_C + first for part, first in zip(parts, lists[:-1], strict=True)]),
        np.concatenate([part.groups_C + first for part, first in zip(parts, groups[:-1], strict=True)]),
        lengths.astype(np.int64).cumsum(),
        np.concatenate([part.members for part in parts]),
    )


def side_by_side(parts: Sequence[CaseCounts]) -> CaseCounts:
    """The counts of the same cases by all systems of the parts."""
    return CaseCounts(*(np.concatenate(columns, axis=1) for columns in zip(*parts, strict=True)))


def playlist_cases(playlists: pl.DataFrame, track_ids: pl.Series) -> Cases:
    """A case for each of the `seed_ids` of a playlist; its targets are all other `track_ids` of the playlist.

    Raises ValueError for a track that the catalog lacks.
    """
    members = _rows(playlists["track_ids"].explode(empty_as_null=False), track_ids)
    seeds = _rows(playlists["seed_ids"].explode(empty_as_null=False), track_ids)
    lists_C = np.repeat(np.arange(playlists.height), playlists["seed_ids"].list.len().to_numpy())
    starts = np.concatenate([[0], playlists["track_ids"].list.len().to_numpy()]).astype(np.int64).cumsum()
    return Cases(seeds, lists_C, lists_C, starts, members)


def pair_cases(pairs: pl.DataFrame, track_ids: pl.Series) -> Cases:
    """A case for each row: `seed_id`, with `target_id` as the only target, of a `listener_id`.

    Raises ValueError for a track that the catalog lacks.
    """
    groups_C = pairs["listener_id"].rank("dense").to_numpy().astype(np.int64) - 1
    places = np.arange(pairs.height + 1, dtype=np.int64)
    seeds, targets = (_rows(pairs[column], track_ids) for column in ("seed_id", "target_id"))
    return Cases(seeds, places[:-1], groups_C, places, targets)


def _rows(wanted: pl.Series, track_ids: pl.Series) -> npt.NDArray[np.int32]:
    catalog = pl.DataFrame({"track_id": track_ids}).with_row_index("row")
    rows = pl.DataFrame({"track_id": wanted}).join(catalog, on="track_id", how="left", maintain_order="left")
    unknown = rows.filter(pl.col("row").is_null())
    if unknown.height:
        raise ValueError(
            f"{unknown.height} tracks of test data are not in the catalog, {unknown['track_id'][0]} first: "
            "materialize catalog/tracks and what depends on it"
        )
    return rows["row"].to_numpy().astype(np.int32)
