"""The probability of a hit among equal scores."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.evaluation.hits import hit_probability


def hit(above: int, ties: int, good: int, k: int) -> float:
    """One case."""
    numbers = [np.array([number]) for number in (above, ties, good)]
    return float(hit_probability(*numbers, k=k)[0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 4), st.integers(1, 6), st.data())
def test_it_is_the_share_of_orders_that_hit(above: int, ties: int, data: st.DataObject) -> None:
    """Of all orders of the tied tracks, the share in which a target is within the first k."""
    good, k = data.draw(st.integers(1, ties)), data.draw(st.integers(1, 12))
    orders = list(permutations(range(ties)))
    hits = sum(any(track < good for track in order[: max(k - above, 0)]) for order in orders)
    assert hit(above, ties, good, k) == pytest.approx(hits / len(orders), abs=1e-12)


def test_no_place_is_left() -> None:
    """Five tracks above the best target fill the first five places."""
    assert hit(5, 3, 3, 5) == 0
    assert hit(7, 3, 3, 5) == 0


def test_the_others_can_not_fill_the_places() -> None:
    """Of four tied tracks two are targets: three places hold one for certain, two places with 1 - 1/6."""
    assert hit(0, 4, 2, 3) == 1
    assert hit(0, 4, 2, 4) == 1
    assert hit(0, 4, 2, 2) == pytest.approx(1 - 1 / 6, abs=1e-12)


def test_one_target_among_a_million_equals() -> None:
    """Chance: k of the candidates, to a relative 1e-12."""
    assert hit(0, 1_600_000, 1, 5) == pytest.approx(5 / 1_600_000, rel=1e-12)


def test_arrays_of_any_shape_are_answered_place_by_place() -> None:
    """[C, S] in, [C, S] out."""
    above, ties, good = np.array([[0, 1], [9, 0]]), np.array([[1, 2], [1, 4]]), np.array([[1, 1], [1, 1]])
    assert hit_probability(above, ties, good, k=2) == pytest.approx(np.array([[1, 1 / 2], [0, 2 / 4]]))
