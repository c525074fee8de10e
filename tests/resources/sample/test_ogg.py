"""Ogg pages: checksums as the standard wants them, serial numbers as we want them."""

import io

import numpy as np
import pytest
import soundfile

from resources.sample.ogg import CHECKSUM_AT, page_checksum, with_serial
from resources.sample.recordings import encode


@pytest.fixture(scope="module")
def stream():
    """A tenth of a second of noise from libsndfile."""
    return encode(0.1 * np.random.default_rng(0).standard_normal(2_205, dtype=np.float32), ".ogg")


def test_checksum_equals_the_encoders(stream):
    """Our checksum of libsndfile's first page is the one that it wrote."""
    page = bytearray(stream[:58])  # 27 of the head, one segment of 30
    written = int.from_bytes(page[CHECKSUM_AT : CHECKSUM_AT + 4], "little")
    page[CHECKSUM_AT : CHECKSUM_AT + 4] = bytes(4)
    assert page_checksum(bytes(page)) == written


def test_serial_changes_no_sound(stream):
    """The stream decodes to the same samples, and a second change back gives the same bytes."""
    changed = with_serial(stream, 77)
    before, after = (soundfile.read(io.BytesIO(data))[0] for data in (stream, changed))
    assert np.array_equal(before, after)
    assert with_serial(with_serial(stream, 5), 77) == changed != stream


def test_what_is_not_ogg_is_refused():
    """The error names the byte."""
    with pytest.raises(ValueError, match="byte 0"):
        with_serial(b"RIFF....", 1)
