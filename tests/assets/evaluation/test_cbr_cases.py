"""Cases in rows of the catalog."""

import numpy as np
import polars as pl
import pytest

from assets.evaluation.cbr_cases import CaseCounts, Cases, joined, pair_cases, playlist_cases, side_by_side

CATALOG = pl.Series(["d", "a", "c", "b"])
PLAYLISTS = pl.DataFrame(
    [(4, ["a", "b", "c"], ["c", "a"]), (9, ["b", "d"], ["d"])],
    schema={"playlist_id": pl.Int64, "track_ids": pl.List(pl.String), "seed_ids": pl.List(pl.String)},
    orient="row",
)
PAIRS = pl.DataFrame(
    [("u2", "u2/1", "a", "d"), ("u1", "u1/7", "d", "b"), ("u2", "u2/3", "b", "a")],
    schema=["listener_id", "session_id", "seed_id", "target_id"],
    orient="row",
)


def by_case(cases: Cases) -> list[tuple[str, set[str]]]:
    """Each seed with its targets."""
    pairs = cases.pairs()
    return [
        (CATALOG[int(seed)], {CATALOG[int(row)] for row in pairs.targets[pairs.cases == case]})
        for case, seed in enumerate(cases.seeds_C)
    ]


def test_the_targets_of_a_seed_are_the_others_of_its_playlist() -> None:
    """A case a seed, of its playlist; no seed is its own target."""
    cases = playlist_cases(PLAYLISTS, CATALOG)
    assert by_case(cases) == [("c", {"a", "b"}), ("a", {"b", "c"}), ("d", {"b"})]
    assert cases.groups_C.tolist() == [0, 0, 1]


def test_a_pair_has_one_target() -> None:
    """A case a pair, of its listener."""
    cases = pair_cases(PAIRS, CATALOG)
    assert by_case(cases) == [("a", {"d"}), ("d", {"b"}), ("b", {"a"})]
    assert cases.groups_C.tolist() == [1, 0, 1]


def test_joined_cases_keep_their_targets_and_groups_apart() -> None:
    """Both kinds one after the other, one without cases between them."""
    parts = [playlist_cases(PLAYLISTS, CATALOG), pair_cases(PAIRS.clear(), CATALOG), pair_cases(PAIRS, CATALOG)]
    cases = joined(parts)
    assert by_case(cases) == [*by_case(parts[0]), *by_case(parts[2])]
    assert cases.groups_C.tolist() == [0, 0, 1, 3, 2, 3]


def test_no_test_data_are_no_cases() -> None:
    """Frames without rows, as where there is no listening log."""
    for cases in (playlist_cases(PLAYLISTS.clear(), CATALOG), pair_cases(PAIRS.clear(), CATALOG)):
        assert len(cases.seeds_C) == len(cases.pairs().cases) == 0


def test_a_track_that_the_catalog_lacks_is_named() -> None:
    """Held-out data and catalog of different versions are not evaluated."""
    with pytest.raises(ValueError, match="1 tracks of test data are not in the catalog, d first: materialize"):
        playlist_cases(PLAYLISTS, CATALOG.filter(CATALOG != "d"))


def test_systems_stand_side_by_side() -> None:
    """Counts of the same cases, columns in order."""
    parts = [CaseCounts(*(np.full((2, width), start + width) for start in (0, 10, 20))) for width in (1, 2)]
    assert [numbers[0].tolist() for numbers in side_by_side(parts)] == [[1, 2, 2], [11, 12, 12], [21, 22, 22]]
