"""Bootstrap over groups of cases."""

import numpy as np
import pytest

from assets.evaluation.intervals import interval, resampled_means

VALUES = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.5], [0.25, 1.0], [0.0, 1.0]])
GROUPS = np.array([7, 7, 2, 2, 4])


def test_means_are_those_of_groups_drawn_again() -> None:
    """Each resample's mean is over the cases of the groups drawn, as often as they were drawn."""
    means = resampled_means(VALUES, GROUPS, resamples=100, seed=3)
    drawn = np.random.default_rng(3).multinomial(3, [1 / 3] * 3, size=100)
    for mean, times in zip(means, drawn, strict=True):
        cases = [
            row
            for group, often in zip([2, 4, 7], times, strict=True)
            for row in VALUES[group == GROUPS].repeat(often, 0)
        ]
        assert mean == pytest.approx(np.mean(cases, axis=0), abs=1e-12)


def test_the_interval_is_of_percentiles() -> None:
    """Of means 0 to 1000 the interval is 25 to 975."""
    assert interval(np.arange(1001.0)[:, None]).tolist() == [[25.0], [975.0]]


def test_a_seed_gives_one_answer() -> None:
    """The same bits for one seed, others for another; groups may be numbered and ordered in any way."""
    means = resampled_means(VALUES, GROUPS, resamples=70, seed=1)
    assert (means == resampled_means(VALUES, GROUPS, resamples=70, seed=1)).all()
    assert (means != resampled_means(VALUES, GROUPS, resamples=70, seed=2)).any()
    assert (means == resampled_means(VALUES, GROUPS * 10, resamples=70, seed=1)).all()


def test_one_group_has_no_spread() -> None:
    """All cases of one playlist: every resample is the same."""
    means = resampled_means(VALUES, np.zeros(5, np.int64), resamples=5, seed=1)
    assert (means == VALUES.mean(axis=0)).all()


def test_groups_are_drawn_and_not_cases() -> None:
    """Four equal cases of one group and four of another: single cases would have half the spread."""
    values = np.repeat([1.0, 0.0], 4)[:, None]
    means = resampled_means(values, np.repeat([0, 1], 4), resamples=400, seed=5)
    assert set(np.unique(means)) == {0.0, 0.5, 1.0}
