"""The kernel that counts candidates above and like the best target."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.evaluation import cbr_counts
from assets.evaluation.cbr_cases import Cases
from assets.evaluation.cbr_counts import catalog_codes, count_cases, popularity_counts, system_names

SIZES = [(2, 3), (3, 2, 2), (2,)]
BASELINE_SIZES = [(3, 2, 2), (4, 4, 4)]


def one_case(seed: int, targets: list[int]) -> Cases:
    """A case by itself."""
    return cases([(seed, targets)])


def cases(wanted: list[tuple[int, list[int]]]) -> Cases:
    """Cases with a list of targets each."""
    starts = np.cumsum([0, *(len(targets) for _, targets in wanted)])
    members = np.array([target for _, targets in wanted for target in targets], np.int32)
    places = np.arange(len(wanted))
    return Cases(np.array([seed for seed, _ in wanted], np.int32), places, places.copy(), starts, members)


def brute_force(scores_SN: np.ndarray, seed: int, targets: list[int]) -> list[tuple[int, int, int]]:
    """Above, ties and good of each system, counted one by one."""
    counted = []
    for scores in scores_SN:
        others = [scores[row] for row in range(len(scores)) if row != seed]
        of_targets = [scores[row] for row in set(targets) - {seed}]
        best = max(of_targets)
        counted.append(
            (sum(s > best for s in others), sum(s == best for s in others), sum(s == best for s in of_targets))
        )
    return counted


def scores(levels: list[np.ndarray], baselines: list[np.ndarray], weights: list[int], seed: int) -> np.ndarray:
    """The scores of all tracks by each system, written out track by track."""
    rows = []
    for track in range(len(levels[0])):
        depths, counted = [], 0
        for codes, sizes in zip(levels, SIZES, strict=True):
            equal = [a == b < k for a, b, k in zip(codes[track], codes[seed], sizes, strict=True)]
            counted += sum(equal)
            depths.append((*equal, False).index(False))
        total = sum(w * depth for w, depth in zip(weights, depths, strict=True))
        without = [total - w * depth for w, depth in zip(weights, depths, strict=True)]
        beside = [
            sum(w for w, a, b, k in zip(weights, codes[track], codes[seed], sizes, strict=True) if a == b < k)
            for codes, sizes in zip(baselines, BASELINE_SIZES, strict=True)
        ]
        rows.append([total, counted, *depths, *without, *beside])
    return np.array(rows).T


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.integers(0, 2**32 - 1), st.data())
def test_counts_are_those_of_a_brute_force(tracks: int, number: int, data: st.DataObject) -> None:
    """Every system on random codes, missing ones among them, of random weights, seeds and targets."""
    draws = np.random.default_rng(number)
    levels = [np.stack([draws.integers(0, k + 1, tracks) for k in sizes], axis=1) for sizes in SIZES]
    for codes, sizes in zip(levels, SIZES, strict=True):
        codes[draws.random(tracks) < 0.2] = sizes
    baselines = [np.stack([draws.integers(0, k + 1, tracks) for k in sizes], axis=1) for sizes in BASELINE_SIZES]
    weights = data.draw(st.lists(st.integers(0, 30), min_size=3, max_size=3))
    wanted = [
        (int(seed), [int(row) for row in set(draws.integers(0, tracks, 4)) | {(seed + 1) % tracks}])
        for seed in draws.integers(0, tracks, 5)
    ]
    codes = catalog_codes(levels, SIZES, baselines, BASELINE_SIZES)
    counts = count_cases(codes, cases(wanted), weights=weights, threads=data.draw(st.integers(1, 3)))
    for case, (seed, targets) in enumerate(wanted):
        found = list(zip(counts.above[case], counts.ties[case], counts.good[case], strict=True))
        assert found == brute_force(scores(levels, baselines, weights, seed), seed, targets)


def test_blocks_and_threads_change_nothing() -> None:
    """A catalog of more tracks than a block, with a rest: every candidate is counted once."""
    tracks = 2 * cbr_counts.BLOCK + 5
    codes = catalog_codes([np.zeros((tracks, 3), int)], [(2, 2, 2)])
    wanted = [(0, [tracks - 1]), (tracks - 1, [3, 4]), (5, [5, 6])]
    for threads in (1, 2, 5):
        counts = count_cases(codes, cases(wanted), weights=[1], threads=threads)
        assert (counts.above == 0).all()
        assert (counts.ties == tracks - 1).all()
        assert counts.good[:, 0].tolist() == [1, 2, 1]


def test_levels_count_from_the_first_on() -> None:
    """A track that differs at level 1 and is equal below scores 0 of depth, and 2 of equal levels."""
    codes = catalog_codes([np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1]])], [(2, 2, 2)])
    counts = count_cases(codes, one_case(0, [1]), weights=[1])
    systems = system_names(["ac"], [])
    assert counts.above[0, systems.index("m3token")] == 1
    assert counts.above[0, systems.index("m3token_counted")] == 0


def test_missing_modalities_match_nothing() -> None:
    """Two tracks without a modality, whose reserved codes are equal, score no more than a third."""
    codes = catalog_codes([np.array([[2, 3], [2, 3], [0, 1]])], [(2, 3)])
    counts = count_cases(codes, one_case(0, [1]), weights=[1])
    assert (counts.above.max(), counts.ties.min(), counts.good.min()) == (0, 2, 1)


def test_popularity_is_counted_like_any_score() -> None:
    """Equal numbers tie, the seed is left out, and the best target counts."""
    draws = np.random.default_rng(4)
    popularity = draws.integers(0, 6, 30)
    wanted = [(int(seed), [int((seed + step) % 30) for step in (1, 4, 9)]) for seed in draws.integers(0, 30, 20)]
    counts = popularity_counts(popularity, cases(wanted))
    for case, (seed, targets) in enumerate(wanted):
        assert [tuple(int(numbers[case, 0]) for numbers in counts)] == brute_force(popularity[None], seed, targets)


def test_no_cases_have_no_counts() -> None:
    """An empty catalog without cases is answered by empty counts, a column a system."""
    codes = catalog_codes([np.zeros((0, 3), int)], [(2, 2, 2)])
    assert [numbers.shape for numbers in count_cases(codes, cases([]), weights=[1])] == [(0, 4)] * 3
    assert [numbers.shape for numbers in popularity_counts(np.zeros(0, int), cases([]))] == [(0, 1)] * 3


def test_codes_of_another_codebook_are_refused() -> None:
    """A code beyond the reserved one says what to do."""
    with pytest.raises(ValueError, match="track 1, column 0: code 4, wanted 0 to 2: tokens and codebooks"):
        catalog_codes([np.array([[2], [4]])], [(2,)])


@pytest.mark.parametrize("weights", [[1, 1], [-1], [30_000]])
def test_unfit_weights_are_refused(weights: list[int]) -> None:
    """One weight a modality, none negative, no score beyond 65,535."""
    codes = catalog_codes([np.zeros((2, 3), int)], [(2, 2, 2)])
    with pytest.raises(ValueError, match="weights"):
        count_cases(codes, one_case(0, [1]), weights=weights)
