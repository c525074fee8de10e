"""Values to bytes and back."""

import dataclasses
import struct
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from resources.refusals import Refusal
from resources.wire import decoded, decoded_outcome, encoded, encoded_outcome, pieces

NUMBERS = st.one_of(
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(),
    arrays.unsigned_integer_dtypes(),
    arrays.floating_dtypes(),
    arrays.complex_number_dtypes(),
)


class Segment(NamedTuple):
    """A value of every sort."""

    text: str
    start_s: float | None
    codes: list[int]
    vector: NDArray[np.float32]
    other: NDArray[np.float64] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Tempo:
    """A dataclass."""

    bpm: float | None
    key: str


@given(array=arrays.arrays(NUMBERS, arrays.array_shapes(min_dims=0, min_side=0)))
@settings(max_examples=100, deadline=None)
def test_an_arrays_bits_survive(array: np.ndarray) -> None:
    """Type, byte order, shape and every bit, NaN's payload too."""
    back = decoded(encoded(array), np.ndarray)
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


@given(
    text=st.text(),
    start_s=st.none() | st.floats(allow_nan=False),
    codes=st.lists(st.integers(-(2**63), 2**64 - 1)),
    sizes=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
@settings(max_examples=100, deadline=None)
def test_a_value_comes_back_as_its_type(
    text: str, start_s: float | None, codes: list[int], sizes: tuple[int, int]
) -> None:
    """Any NamedTuple of texts, numbers, lists and arrays of any lengths."""
    value = Segment(text, start_s, codes, np.arange(sizes[0], dtype="f4"), np.arange(sizes[1], dtype="f8"))
    back = decoded(encoded([value]), list[Segment])[0]
    assert isinstance(back, Segment)
    assert back[:3] == value[:3]
    assert back.vector.tolist() == value.vector.tolist()
    assert back.other is not None
    assert back.other.tolist() == value.other.tolist()


@given(cut=st.integers(0, 10_000), flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=3))
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_are_a_value_error_or_a_value_of_the_type(cut: int, flips: list[tuple[int, int]]) -> None:
    """Whatever is cut off or changed, nothing else is raised."""
    raw = bytearray(encoded_outcome(Segment("word", 0.5, [1, 2], np.ones(3, "f4"))))
    for position, flip in flips:
        raw[position % len(raw)] ^= flip
    try:
        value = decoded_outcome(bytes(raw[: cut % (len(raw) + 1)]), Segment)
    except ValueError:
        return
    assert isinstance(value, Segment | Refusal)


@given(raw=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_foreign_bytes_are_a_value_error(raw: bytes) -> None:
    """Bytes that nothing encoded."""
    with pytest.raises(ValueError, match=r".+"):
        decoded_outcome(raw, Segment)


def test_lists_within_lists_without_end_are_a_value_error() -> None:
    """A million lists within each other, not a RecursionError."""
    with pytest.raises(ValueError, match="nested too deep"):
        decoded(struct.pack("<Q", 1_000_000) + b"\x91" * 1_000_000, list)


@pytest.mark.parametrize("outcome", [Refusal("a", "b", "silent", "c"), Tempo(None, "C minor"), Tempo(120.5, "")])
def test_an_outcome_is_a_refusal_or_a_result(outcome: Refusal | Tempo) -> None:
    """Both come back as what they were."""
    assert decoded_outcome(encoded_outcome(outcome), Tempo) == outcome


def test_arrays_lie_at_multiples_of_64() -> None:
    """The second array begins 64 bytes after the first, one float long; both are whole lines of the processor's."""
    raw = encoded([np.full(1, 7, "f4"), np.full(16, 9, "f4")])
    assert len(raw) % 64 == 0
    assert raw[-128:-124] == np.float32(7).tobytes()
    assert raw[-64:] == np.full(16, 9, "f4").tobytes()


def test_a_large_array_is_not_copied_into_the_message() -> None:
    """One of the pieces is the array's own memory."""
    array = np.zeros(1000, "f4")
    assert any(np.shares_memory(np.frombuffer(piece, np.uint8), array) for piece in pieces(array))


def test_an_array_is_a_view_only_of_memory_that_may_be_written() -> None:
    """Of a bytearray it is a view, of bytes a copy; either may be written."""
    raw = bytearray(encoded(np.zeros(4, "f4")))
    decoded(memoryview(raw), np.ndarray)[:] = 1
    assert decoded(bytes(raw), np.ndarray).tolist() == [1, 1, 1, 1]
    assert decoded(bytes(raw), np.ndarray).flags.writeable


def test_numpy_numbers_become_numbers() -> None:
    """float32's 0.1 is a float64 with the same value."""
    assert decoded(encoded([np.float32(0.1), np.int64(3)]), tuple[float, int]) == (float(np.float32(0.1)), 3)


@pytest.mark.parametrize("value", [object(), np.array([None]), np.array(["a"]), {1, 2}.__iter__()])
def test_what_is_not_plain_cannot_travel(value: object) -> None:
    """Objects and arrays of them are refused when they are encoded."""
    with pytest.raises(TypeError, match="can't travel"):
        encoded([value])


@pytest.mark.parametrize(("dtype", "size"), [("|O", 8), ("<f4", 3), ("<f4,<f4", 8), ("<f3", 3)])
def test_a_false_array_is_refused(dtype: str, size: int) -> None:
    """Objects, records, types that do not exist, and a size that is not the shape's."""
    raw = encoded([dtype, [1], msgspec.msgpack.Ext(1, struct.pack("<QQ", 0, size))])
    with pytest.raises(ValueError, match=r".+"):
        decoded(raw + bytes(-len(raw) % 64 + size), np.ndarray)


def test_a_true_array_of_that_layout_is_read() -> None:
    """What the test above forges is refused for its type and size alone."""
    raw = encoded(["<f4", [1], msgspec.msgpack.Ext(1, struct.pack("<QQ", 0, 4))])
    assert decoded(raw + bytes(-len(raw) % 64 + 4), np.ndarray).tolist() == [0]
