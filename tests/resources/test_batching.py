"""Rows through a model in batches of like lengths."""

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.batching import Batches
from resources.refusals import Refusal


class Model:
    """Doubles rows; takes batches of at most `fits` rows, or of `long_fits` where a row is of 100 or more."""

    def __init__(self, fits: int = 1_000, long_fits: int = 1_000) -> None:
        self._fits, self._long_fits = fits, long_fits
        self.seen: list[list[int]] = []

    def __call__(self, rows: Sequence[int]) -> list[int]:
        """The doubles."""
        self.seen.append(list(rows))
        if len(rows) > (self._long_fits if max(rows) >= 100 else self._fits):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * row for row in rows]


def test_results_are_in_the_rows_order_and_batches_longest_first() -> None:
    """Lengths 3, 9, 1, 9, 5 in batches of two: 9 and 9, 5 and 3, 1."""
    model = Model()
    rows = [3, 9, 1, 9, 5]
    assert Batches(2).run(rows, rows, model) == [6, 18, 2, 18, 10]
    assert model.seen == [[9, 9], [5, 3], [1]]


def test_equal_lengths_keep_their_order() -> None:
    """So that the same rows make the same batches."""
    model = Model()
    Batches(2).run([4, 7, 5], [1, 1, 1], model)
    assert model.seen == [[4, 7], [5]]


def test_no_rows_need_no_call() -> None:
    """The model is not called."""
    model = Model()
    assert Batches(2).run([], [], model) == []
    assert model.seen == []


def test_a_batch_is_halved_until_it_fits() -> None:
    """Eight rows where three fit: eight, four, then two at a time."""
    model = Model(fits=3)
    assert Batches(8).run(range(8), [1] * 8, model) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert [len(rows) for rows in model.seen] == [8, 4, 2, 2, 2, 2]


def test_halves_come_before_shorter_rows() -> None:
    """Where one fits: the longest pair, its halves, then the next pair."""
    model = Model(fits=1)
    Batches(2).run([9, 9, 5, 5], [9, 9, 5, 5], model)
    assert model.seen == [[9, 9], [9], [9], [5, 5], [5], [5]]


def test_the_next_run_begins_with_what_fitted() -> None:
    """Rows of the same length are not tried in larger batches again."""
    model, batches = Model(fits=3), Batches(8)
    batches.run(range(8), [1] * 8, model)
    model.seen.clear()
    batches.run(range(4), [1] * 4, model)
    assert [len(rows) for rows in model.seen] == [2, 2]


def test_what_is_too_much_for_long_rows_is_not_for_short_ones() -> None:
    """After long rows were halved to one, short ones still go four at a time."""
    model, batches = Model(long_fits=1), Batches(4)
    batches.run([100, 101, 102, 103], [100, 101, 102, 103], model)
    model.seen.clear()
    batches.run([1, 1, 1, 1], [1, 1, 1, 1], model)
    assert [len(rows) for rows in model.seen] == [4]


def test_what_is_too_much_for_short_rows_is_for_long_ones() -> None:
    """After short rows were halved to two, long ones begin with two."""
    model, batches = Model(fits=2), Batches(4)
    batches.run([1] * 4, [1] * 4, model)
    model.seen.clear()
    batches.run([100] * 4, [100] * 4, model)
    assert [len(rows) for rows in model.seen] == [2, 2]


def test_a_row_too_much_alone_is_refused_and_the_others_done() -> None:
    """Its location is its position."""
    outcomes = Batches(4).run([1, 100, 2], [1, 100, 2], Model(long_fits=0))
    assert outcomes == [2, Refusal("", "1", "out_of_memory", "CUDA out of memory"), 4]


@pytest.mark.parametrize(
    "error", [MemoryError("host"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")]
)
def test_the_processors_memory_counts_too(error: Exception) -> None:
    """MemoryError, and what torch raises on the CPU."""
    assert Batches(2).run([1], [1], raising(error)) == [Refusal("", "0", "out_of_memory", str(error))]


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    ],
)
def test_memory_of_cuda_and_its_libraries_counts_too(error: Exception) -> None:
    """It isn't torch's own, whose lack is an OutOfMemoryError."""
    assert Batches(2).run([1], [1], raising(error)) == [Refusal("", "0", "out_of_memory", str(error))]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"),
        ConnectionError("CUDA out of memory, says the server"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_pass(error: BaseException) -> None:
    """They say nothing about the size of the batch."""
    with pytest.raises(type(error)) as raised:
        Batches(2).run([1, 2], [1, 1], raising(error))
    assert raised.value is error


def test_too_few_results_are_an_error() -> None:
    """A model that loses a row is not believed."""
    with pytest.raises(ValueError, match="zip"):
        Batches(2).run([1, 2], [1, 1], lambda rows: rows[:1])


@given(
    lengths=st.lists(st.integers(0, 300), max_size=40),
    most=st.integers(1, 9),
    fits=st.integers(0, 9),
    long_fits=st.integers(0, 9),
)
@settings(max_examples=100, deadline=None)
def test_every_row_gets_its_result_or_refusal(lengths: list[int], most: int, fits: int, long_fits: int) -> None:
    """Whatever fits; a row is refused only if not even one of its length fits."""
    outcomes = Batches(most).run(lengths, lengths, Model(fits, min(fits, long_fits)))
    for position, (length, outcome) in enumerate(zip(lengths, outcomes, strict=True)):
        is_refused = min(fits, long_fits) == 0 if length >= 100 else fits == 0
        assert outcome == (
            Refusal("", str(position), "out_of_memory", "CUDA out of memory") if is_refused else 2 * length
        )


def raising(error: BaseException) -> Callable[[list[int]], list[int]]:
    """A model that raises."""

    def call(rows: list[int]) -> list[int]:
        raise error

    return call
