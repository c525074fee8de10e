"""A compiled scanner for the JSON of slices in their usual form.

It reads what the published slices hold: objects of the known keys, each once, texts where texts belong and whole
numbers of at least 0 where numbers do. Anything else, valid JSON or not, raises ValueError.

No bound is checked: `text_N` must be the view of a `bytes` object, which Python ends in a NUL, and no step passes a
NUL. Places are unsigned in the loops over bytes, which spares the check for places counted from the end. Compiling
takes seconds, once a machine (numba caches it).
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

SPACE, OTHER_SPACE = 32, (9, 10, 13)
QUOTE, BACKSLASH, COMMA, COLON, SMALL_U = 34, 92, 44, 58, 117
LIST, OBJECT = 91, 123  # what opens them; what closes them comes two later in ASCII
ZERO, NINE = 48, 57
ONE = np.uint64(1)
MAX_DIGITS = 15  # fewer than float64 holds exactly
ESCAPES = b'""\\\\//b\bf\fn\nr\rt\t'  # a letter and what it means, in turns


class Fields(NamedTuple):
    """Room for the fields of up to R objects: texts first, then numbers, in the order of their keys.

    keys_KB: bytes of each key after its length; follows_K: the field that last came after each one, the first being
    after the start; texts_TB: the bytes of each text field, row after row; ends_TR: where the rows end there;
    numbers_KR; has_KR: which fields are stated.
    """

    keys_KB: npt.NDArray[np.uint8]
    follows_K: npt.NDArray[np.int64]
    texts_TB: npt.NDArray[np.uint8]
    ends_TR: npt.NDArray[np.int64]
    numbers_KR: npt.NDArray[np.int64]
    has_KR: npt.NDArray[np.bool_]


def room(texts: tuple[str, ...], numbers: tuple[str, ...], *, rows: int, text_bytes: int) -> Fields:
    """Empty room for so many objects with these keys, whose texts have together no more than `text_bytes`."""
    keys = [name.encode() for name in (*texts, *numbers)]
    keys_KB = np.zeros((len(keys), 1 + max(map(len, keys))), np.uint8)
    for row, key in zip(keys_KB, keys, strict=True):
        row[: 1 + len(key)] = [len(key), *key]
    # Memory that is never touched costs nothing, so each field has room for all texts.
    texts_TB, ends_TR = np.empty((len(texts), text_bytes), np.uint8), np.zeros((len(texts), rows), np.int64)
    numbers_KR, has_KR = np.zeros((len(keys), rows), np.int64), np.zeros((len(keys), rows), np.bool_)
    return Fields(keys_KB, np.zeros(len(keys) + 1, np.int64), texts_TB, ends_TR, numbers_KR, has_KR)


@numba.njit(cache=True, nogil=True)
def scan(text_N, at, playlists, tracks, firsts_P):  # type: ignore[no-untyped-def]
    """Fills the rows from the list of playlists that opens at `at`.

    `tracks` is the last key of a playlist; firsts_P takes the first track row of each playlist and, after the last one,
    the number of track rows. Returns the place after the list and the number of playlists. Raises ValueError where the
    text is not as usual.
    """
    row, track = 0, 0
    at, has_playlist = _opened(text_N, at, LIST)
    while has_playlist:
        firsts_P[row] = track
        _begin(playlists, row)
        field = -1
        at, has_field = _opened(text_N, at, OBJECT)
        while has_field:
            field, at = _key(text_N, at, playlists, field, row)
            if field < len(playlists.keys_KB) - 1:
                at = _value(text_N, at, playlists, field, row)
            else:
                at, track = _tracks(text_N, at, tracks, track)
            at, has_field = _next_or_close(text_N, at, OBJECT)
        row += 1
        at, has_playlist = _next_or_close(text_N, at, LIST)
    firsts_P[row] = track
    return at, row


@numba.njit(cache=True, nogil=True)
def _tracks(text_N, at, tracks, track):  # type: ignore[no-untyped-def]
    at, has_track = _opened(text_N, at, LIST)
    while has_track:
        _begin(tracks, track)
        field = -1
        at, has_field = _opened(text_N, at, OBJECT)
        while has_field:
            field, at = _key(text_N, at, tracks, field, track)
            at = _value(text_N, at, tracks, field, track)
            at, has_field = _next_or_close(text_N, at, OBJECT)
        track += 1
        at, has_track = _next_or_close(text_N, at, LIST)
    return at, track


@numba.njit(cache=True, nogil=True)
def _begin(fields, row):  # type: ignore[no-untyped-def]
    """Lets the texts of a row end where those of the row before do, until they are read."""
    if row > 0:
        for field in range(len(fields.ends_TR)):
            fields.ends_TR[field, row] = fields.ends_TR[field, row - 1]


@numba.njit(cache=True, nogil=True)
def _opened(text_N, at, opening):  # type: ignore[no-untyped-def]
    """The place of the first member of what opens here, or the place after it where it is empty, and which it is."""
    if text_N[at] != opening:
        raise ValueError("another kind of value")
    at = _visible(text_N, at + 1)
    is_empty = text_N[at] == opening + 2
    return (at + 1 if is_empty else at), not is_empty


@numba.njit(cache=True, nogil=True)
def _next_or_close(text_N, at, opening):  # type: ignore[no-untyped-def]
    """The place of the next member, or the place after the list or object, and which it is."""
    at = _visible(text_N, at)
    if text_N[at] == COMMA:
        return _visible(text_N, at + 1), True
    if text_N[at] != opening + 2:
        raise ValueError("neither a comma nor an end")
    return at + 1, False


@numba.njit(cache=True, nogil=True)
def _visible(text_N, at):  # type: ignore[no-untyped-def]
    """The place of the next byte that is not white space."""
    place = np.uint64(at)
    while True:
        byte = text_N[place]
        if byte > SPACE:
            break
        if byte != SPACE and byte not in OTHER_SPACE:
            break
        place += ONE
    return np.int64(place)


@numba.njit(cache=True, nogil=True, inline="always")
def _key(text_N, at, fields, previous, row):  # type: ignore[no-untyped-def]
    """The field whose key stands here, and the place of its value. The key that followed last time is tried first."""
    if text_N[at] != QUOTE:
        raise ValueError("no key")
    keys = len(fields.keys_KB)
    field = fields.follows_K[previous + 1]
    for _ in range(keys):
        matched = 0
        while matched < fields.keys_KB[field, 0] and text_N[at + 1 + matched] == fields.keys_KB[field, 1 + matched]:
            matched += 1
        if matched == fields.keys_KB[field, 0] and text_N[at + 1 + matched] == QUOTE and not fields.has_KR[field, row]:
            fields.has_KR[field, row] = True
            fields.follows_K[previous + 1] = field
            at = _visible(text_N, at + matched + 2)
            if text_N[at] != COLON:
                raise ValueError("no colon")
            return field, _visible(text_N, at + 1)
        field = (field + 1) % keys
    raise ValueError("an unknown key, or one stated before")


@numba.njit(cache=True, nogil=True, inline="always")
def _value(text_N, at, fields, field, row):  # type: ignore[no-untyped-def]
    """Reads the text or the number here into the row; the place after it."""
    if field >= len(fields.texts_TB):
        fields.numbers_KR[field, row], at = _number(text_N, at)
        return at
    if text_N[at] != QUOTE:
        raise ValueError("no text")
    at, fields.ends_TR[field, row] = _text(text_N, at + 1, fields.texts_TB, field, fields.ends_TR[field, row])
    return at


@numba.njit(cache=True, nogil=True, inline="always")
def _number(text_N, at):  # type: ignore[no-untyped-def]
    start, number = at, 0
    while ZERO <= text_N[at] <= NINE:
        number = number * 10 + text_N[at] - ZERO
        at += 1
    digits = at - start
    if digits == 0 or digits > MAX_DIGITS or (digits > 1 and text_N[start] == ZERO):
        raise ValueError("no whole number of at least 0")
    return number, at


@numba.njit(cache=True, nogil=True, inline="always")
def _text(text_N, at, to_TB, field, end):  # type: ignore[no-untyped-def]
    """Copies the text that begins here, its escapes resolved; the place after its quote, and the end of the copy."""
    place, to = np.uint64(at), np.uint64(end)
    while text_N[place] != QUOTE:
        byte = text_N[place]
        if byte >= SPACE and byte != BACKSLASH:
            to_TB[field, to] = byte
            place, to = place + ONE, to + ONE
        elif byte < SPACE:
            raise ValueError("a control character")
        elif text_N[place + ONE] != SMALL_U:
            to_TB[field, to] = _meaning(text_N[place + ONE])
            place, to = place + ONE + ONE, to + ONE
        else:
            point, after = _point(text_N, np.int64(place) + 2)
            place, to = np.uint64(after), np.uint64(_put_utf8(to_TB[field], np.int64(to), point))
    return np.int64(place) + 1, np.int64(to)


@numba.njit(cache=True, nogil=True)
def _meaning(letter):  # type: ignore[no-untyped-def]
    for place in range(0, len(ESCAPES), 2):
        if ESCAPES[place] == letter:
            return ESCAPES[place + 1]
    raise ValueError("an unknown escape")


@numba.njit(cache=True, nogil=True)
def _point(text_N, at):  # type: ignore[no-untyped-def]
    """The code point of the one or two escapes whose digits begin here, and the place after them."""
    point = _hex4(text_N, at)
    at += 4
    if 0xD800 <= point < 0xDC00 and text_N[at] == BACKSLASH and text_N[at + 1] == SMALL_U:
        low = _hex4(text_N, at + 2)
        if 0xDC00 <= low < 0xE000:
            return 0x10000 + ((point - 0xD800) << 10) + low - 0xDC00, at + 6
    if 0xD800 <= point < 0xE000:
        raise ValueError("a lone surrogate")
    return point, at


@numba.njit(cache=True, nogil=True)
def _hex4(text_N, at):  # type: ignore[no-untyped-def]
    number = 0
    for place in range(at, at + 4):
        byte = text_N[place]
        letter = byte | 32
        if ZERO <= byte <= NINE:
            number = number * 16 + byte - ZERO
        elif 97 <= letter <= 102:
            number = number * 16 + letter - 87
        else:
            raise ValueError("no hexadecimal digit")
    return number


@numba.njit(cache=True, nogil=True)
def _put_utf8(buffer_N, end, point):  # type: ignore[no-untyped-def]
    """Writes one code point; the end after it."""
    if point < 0x80:
        buffer_N[end] = point
        return end + 1
    follow = 1 if point < 0x800 else 2 if point < 0x10000 else 3
    lead = 0xC0 if follow == 1 else 0xE0 if follow == 2 else 0xF0
    buffer_N[end] = lead | point >> (6 * follow)
    for place in range(follow):
        buffer_N[end + 1 + place] = 0x80 | point >> (6 * (follow - 1 - place)) & 0x3F
    return end + 1 + follow
