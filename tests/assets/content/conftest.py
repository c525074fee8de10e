"""A recording to decode, find and listen to."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

RATE_HZ = 22_050

Encode = Callable[..., bytes]


@pytest.fixture
def encode() -> Encode:
    """Six seconds (or `duration_s`) of a 220 Hz tone as a file of this format."""

    def encoded(form: str = "FLAC", *, duration_s: float = 6.0, rate_hz: int = RATE_HZ, channels: int = 1) -> bytes:
        times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
        tone = 0.5 * np.sin(2 * np.pi * 220 * times_s)
        file = io.BytesIO()
        soundfile.write(file, np.repeat(tone[:, None], channels, axis=1), rate_hz, format=form)
        return file.getvalue()

    return encoded
