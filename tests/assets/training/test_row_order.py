"""Order of rows: every row once an epoch, and a place that says all that follows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.training.row_order import Place, draw_rows, rows_by_source


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 30), counts=st.lists(st.integers(0, 40), max_size=8))
def test_each_epoch_reads_every_row_once(rows: int, counts: list[int]) -> None:
    """However steps cut it, the order is one permutation after another."""
    place, order = Place(), []
    for count in counts:
        drawn = draw_rows(place, count, name="a", rows=rows, seed=7)
        order.extend(drawn.rows_B.tolist())
        place = drawn.place
    assert len(order) == sum(counts)
    for start in range(0, len(order) - rows + 1, rows):
        assert sorted(order[start : start + rows]) == list(range(rows))
    assert (place.epoch, place.row) == divmod(sum(counts), rows)


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 20), first=st.integers(0, 50), second=st.integers(0, 50))
def test_a_place_says_all_that_follows(rows: int, first: int, second: int) -> None:
    """Two draws give what one of both would give."""
    both = draw_rows(Place(), first + second, name="a", rows=rows, seed=7)
    begun = draw_rows(Place(), first, name="a", rows=rows, seed=7)
    ended = draw_rows(begun.place, second, name="a", rows=rows, seed=7)
    assert ended.place == both.place
    np.testing.assert_array_equal(np.concatenate([begun.rows_B, ended.rows_B]), both.rows_B)


def test_epochs_seeds_and_sources_have_orders_of_their_own() -> None:
    """None of the four orders equals another."""
    orders = {
        tuple(draw_rows(Place(epoch), 50, name=name, rows=50, seed=seed).rows_B)
        for epoch, name, seed in [(0, "a", 7), (1, "a", 7), (0, "b", 7), (0, "a", 8)]
    }
    assert len(orders) == 4


def test_a_source_without_rows_gives_none() -> None:
    """Asking it for rows is an error; asking for none is not."""
    assert len(draw_rows(Place(), 0, name="a", rows=0, seed=7).rows_B) == 0
    with pytest.raises(ValueError, match="a has no rows; wanted 2 a step"):
        draw_rows(Place(), 2, name="a", rows=0, seed=7)


def test_shares_of_a_step_are_rounded() -> None:
    """A quarter of 8 rows are 2; a tenth of 4 is less than a row and still gives one."""
    shares = {"conversations": 0.75, "playlists": 0.25}
    assert rows_by_source({"conversations": 9, "playlists": 9}, rows=8, shares=shares) == {
        "conversations": 6,
        "playlists": 2,
    }
    small = {"conversations": 0.9, "playlists": 0.1}
    assert rows_by_source({"conversations": 9, "playlists": 9}, rows=4, shares=small)["playlists"] == 1


def test_the_other_source_takes_the_share_of_an_empty_one() -> None:
    """Without playlists, or without a share for them, all rows are conversations."""
    shares = {"conversations": 0.75, "playlists": 0.25}
    assert rows_by_source({"conversations": 9, "playlists": 0}, rows=8, shares=shares) == {"conversations": 8}
    none = {"conversations": 1.0, "playlists": 0.0}
    assert rows_by_source({"conversations": 9, "playlists": 9}, rows=8, shares=none) == {"conversations": 8}


@pytest.mark.parametrize("available", [{"a": 0, "b": 0}, {"a": 3, "b": 3}])
def test_a_step_needs_a_row_of_each_source(available: dict[str, int]) -> None:
    """No rows at all, or one row a step for two sources, is an error."""
    with pytest.raises(ValueError, match=r"wanted at least one row of each"):
        rows_by_source(available, rows=1, shares={"a": 0.5, "b": 0.5})
