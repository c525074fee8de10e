"""Reciprocal rank among equal scores."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.evaluation.turn_ranks import reciprocal_rank


def rank(above: int, ties: int, good: int) -> float:
    """One case."""
    return float(reciprocal_rank(*(np.array([number]) for number in (above, ties, good)))[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5), st.integers(1, 6), st.data())
def test_it_is_the_mean_over_orders(above: int, ties: int, data: st.DataObject) -> None:
    """Of all orders of the tied tracks, the mean of 1 / rank of the first target."""
    good = data.draw(st.integers(1, ties))
    firsts = [next(place for place, track in enumerate(order) if track < good) for order in permutations(range(ties))]
    assert rank(above, ties, good) == pytest.approx(np.mean([1 / (above + 1 + first) for first in firsts]), abs=1e-12)


def test_nothing_ties() -> None:
    """Two tracks score higher: rank 3."""
    assert rank(2, 1, 1) == 1 / 3


def test_a_target_among_equals() -> None:
    """Rank 2, 3 or 4, each as likely."""
    assert rank(1, 3, 1) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3, abs=1e-15)


def test_two_targets_among_three_equals() -> None:
    """The first is at rank 1 in two orders of three, else at rank 2."""
    assert rank(0, 3, 2) == pytest.approx(2 / 3 + 1 / 3 * 1 / 2, abs=1e-15)


def test_all_equals_are_targets() -> None:
    """One of them is certainly next."""
    assert rank(4, 3, 3) == pytest.approx(1 / 5, abs=1e-15)


def test_digits_are_kept_far_down_a_large_catalog() -> None:
    """Two equals after 1.7 million others, to a relative 1e-8; several targets to 1e-12."""
    above = 1_700_000
    assert rank(above, 2, 1) == pytest.approx((1 / (above + 1) + 1 / (above + 2)) / 2, rel=1e-8)
    assert rank(above, 3, 2) == pytest.approx(2 / 3 / (above + 1) + 1 / 3 / (above + 2), rel=1e-12)


def test_the_last_of_a_catalog_has_a_rank() -> None:
    """Never 0: a mean over turns counts every track."""
    assert rank(39_470, 1, 1) == 1 / 39_471


def test_cases_are_answered_each_by_itself() -> None:
    """Cases with one and with several targets side by side, in their order; none for none."""
    above, ties, good = np.array([0, 3, 0, 2]), np.array([4, 1, 4, 5]), np.array([2, 1, 1, 2])
    one_by_one = [rank(*case) for case in zip(above, ties, good, strict=True)]
    assert reciprocal_rank(above, ties, good).tolist() == pytest.approx(one_by_one, abs=1e-15)
    assert reciprocal_rank(above[:0], ties[:0], good[:0]).shape == (0,)
