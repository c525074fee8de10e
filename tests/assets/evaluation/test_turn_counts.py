"""Candidates before a turn's track."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.evaluation import turn_counts
from assets.evaluation.turn_cases import Prompt, TurnCases
from assets.evaluation.turn_counts import TurnCounts, counts_in_blocks, counts_of_scores


def cases(*targets_and_seen: tuple[list[int], list[int]]) -> TurnCases:
    """A first turn for each pair of lists."""
    count = len(targets_and_seen)
    return TurnCases(
        [Prompt((), "")] * count,
        [np.array(targets, np.int32) for targets, _ in targets_and_seen],
        [np.array(seen, np.int32) for _, seen in targets_and_seen],
        np.ones(count, np.int32),
        np.arange(count),
        np.ones(count, np.bool_),
    )


def lists(counts: TurnCounts) -> list[list[int]]:
    """Above, ties and good, as plain values."""
    return [numbers.tolist() for numbers in counts]


def test_candidates_are_all_tracks_but_seen_ones() -> None:
    """Scores 5 4 4 4 1, the third is the target: one above, three ties; less by the seen ones among either."""
    scores_BN = np.array([[5, 4, 4, 4, 1]] * 3, np.float32)
    assert lists(counts_of_scores(scores_BN, cases(([2], []), ([2], [0, 4]), ([2], [1])))) == [
        [1, 0, 1],
        [3, 3, 2],
        [1, 1, 1],
    ]


def test_the_best_of_several_targets_counts() -> None:
    """Scores 5 4 4 4 1: of the targets 1, 3 and 4 two score best, with track 2 beside them."""
    scores_BN = np.array([[5, 4, 4, 4, 1]], np.float32)
    assert lists(counts_of_scores(scores_BN, cases(([1, 3, 4], [])))) == [[1], [3], [2]]


def test_minus_infinity_is_last() -> None:
    """A target without a score ties with the others that have none."""
    scores_BN = np.array([[-np.inf, 0, -np.inf]], np.float32)
    assert lists(counts_of_scores(scores_BN, cases(([2], [])))) == [[1], [2], [1]]


def test_a_score_of_nan_is_an_error() -> None:
    """It says which."""
    scores_BN = np.array([[1, 2], [np.nan, 1]], np.float32)
    with pytest.raises(ValueError, match="1 scores are NaN, first that of row 0 of the catalog for case 1"):
        counts_of_scores(scores_BN, cases(([0], []), ([0], [])))


def test_scores_of_other_cases_are_an_error() -> None:
    """As many rows as cases."""
    with pytest.raises(ValueError, match="scores of 2 cases; wanted 1"):
        counts_of_scores(np.zeros((2, 3), np.float32), cases(([0], [])))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_counts_are_those_of_a_written_out_loop(data: st.DataObject) -> None:
    """Each candidate compared with the best target, one by one, whatever the size of a block."""
    tracks, count = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 5))
    pairs, expected, scores = [], [], []
    for _ in range(count):
        row = data.draw(st.lists(st.integers(0, 3), min_size=tracks, max_size=tracks))
        targets = data.draw(st.sets(st.integers(0, tracks - 1), min_size=1))
        seen = data.draw(st.sets(st.integers(0, tracks - 1))) - targets
        best = max(row[target] for target in targets)
        candidates = [score for track, score in enumerate(row) if track not in seen]
        good = sum(row[target] == best for target in targets)
        expected.append((sum(score > best for score in candidates), candidates.count(best), good))
        pairs.append((sorted(targets), sorted(seen)))
        scores.append(row)
    scores_CN = np.array(scores, np.float32).reshape(count, tracks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turn_counts, "SCORES_AT_ONCE", data.draw(st.integers(1, 30)))
        counts = counts_in_blocks(cases(*pairs), lambda places: scores_CN[places], tracks=tracks)
    assert list(zip(*lists(counts), strict=True)) == expected
