"""Plain values as bytes and back, by their type: what travels between processes and is kept of results.

Values are strings, numbers, None, lists, tuples, dicts, NamedTuples (Refusals are), dataclasses and numpy
arrays, whose bits stay. Nothing is pickled, so foreign bytes can't run code.

Layout: the length of the msgpack part (8 bytes), that part, then the arrays' bytes, each at a multiple of 64. Arrays
are apart so that a large one is copied neither into the message nor, where its memory may be written, out of it.
"""

import re
import struct
from typing import Any, TypeVar

import msgspec
import numpy as np

from resources.refusals import Refusal

Value = TypeVar("Value")
Piece = bytes | memoryview
LENGTH = struct.Struct("<Q")
SPAN = struct.Struct("<QQ")  # an array's first byte in the arrays' part, and its bytes
SPAN_CODE = 1  # of msgpack's extension types
ALIGNMENT_BYTES = 64
NUMBERS = re.compile(r"[<>|][biufc]\d{1,2}")  # dtypes of bools, ints, floats and complex numbers
RESULT, REFUSAL = b"+", b"-"


def pieces(value: object) -> list[Piece]:
    """The value's bytes, to be written one piece after the other. Raises TypeError if something in it is not plain."""
    arrays: list[Piece] = []
    end = 0

    def simpler(part: object) -> object:
        nonlocal end
        if not isinstance(part, np.ndarray):
            return _simpler(part)
        raw = _bytes_of(part)
        span = SPAN.pack(end, len(raw))
        end += len(raw) + _padding(len(raw))
        arrays.extend([raw, bytes(_padding(len(raw)))])
        return part.dtype.str, part.shape, msgspec.msgpack.Ext(SPAN_CODE, span)

    head = msgspec.msgpack.encode(value, enc_hook=simpler)
    padding = _padding(LENGTH.size + len(head)) if arrays else 0
    return [LENGTH.pack(len(head)), head, bytes(padding), *arrays]


def encoded(value: object) -> bytes:
    """The value's bytes. Raises TypeError if something in it is not plain."""
    return b"".join(pieces(value))


def decoded(raw: bytes | memoryview, kind: type[Value]) -> Value:
    """The value of that type. Arrays are views of `raw` if it may be written, else their own.

    Raises ValueError if the bytes are no such value.
    """
    view = memoryview(raw)
    if len(view) < LENGTH.size:
        raise ValueError(f"{len(view)} bytes can't be a message; expected at least {LENGTH.size}")
    end = LENGTH.size + LENGTH.unpack(view[: LENGTH.size])[0]
    arrays = view[end + _padding(end) :]

    def array_bytes(code: int, span: memoryview) -> memoryview:
        if code != SPAN_CODE or len(span) != SPAN.size:
            raise ValueError(f"extension {code} of {len(span)} bytes; expected {SPAN_CODE} of {SPAN.size}")
        start, size = SPAN.unpack(span)
        return arrays[start : start + size]

    try:
        return msgspec.msgpack.decode(view[LENGTH.size : end], type=kind, dec_hook=_of_kind, ext_hook=array_bytes)
    except RecursionError:
        raise ValueError("lists nested too deep") from None


def encoded_outcome(outcome: object) -> bytes:
    """The bytes of a result or Refusal."""
    return (REFUSAL if isinstance(outcome, Refusal) else RESULT) + encoded(outcome)


def decoded_outcome(raw: bytes, kind: type[Value]) -> Value | Refusal:
    """The result of that type, or the Refusal. Raises ValueError if the bytes are neither."""
    mark, rest = raw[:1], memoryview(raw)[1:]
    if mark == REFUSAL:
        return decoded(rest, Refusal)
    if mark != RESULT:
        raise ValueError(f"an outcome can't begin with {mark!r}; expected {RESULT!r} or {REFUSAL!r}")
    return decoded(rest, kind)


def _simpler(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't travel; expected plain values and arrays of numbers")


def _bytes_of(array: np.ndarray[Any, Any]) -> memoryview:
    if not NUMBERS.fullmatch(array.dtype.str):
        raise TypeError(f"an array of {array.dtype} can't travel; expected numbers")
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _of_kind(kind: Any, value: Any) -> object:
    if (getattr(kind, "__origin__", None) or kind) is not np.ndarray:
        raise TypeError(f"{kind} can't travel; expected plain values and arrays of numbers")
    name, shape, raw = msgspec.convert(value, tuple[str, tuple[int, ...], memoryview])
    if not NUMBERS.fullmatch(name):
        raise ValueError(f"an array of {name}; expected numbers")
    array = np.frombuffer(raw, dtype=np.dtype(name)).reshape(shape)
    return array if array.flags.writeable else array.copy()


def _padding(size: int) -> int:
    return -size % ALIGNMENT_BYTES
