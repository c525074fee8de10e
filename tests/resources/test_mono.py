import numpy as np
import pytest

from resources.mono import mono_samples


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (np.zeros((4800, 2), np.float32), r"shape \(4800, 2\) and type float32"),
        (np.zeros((1, 4800), np.float32), r"shape \(1, 4800\) and type float32"),
        (np.zeros(4800, np.int16), r"shape \(4800,\) and type int16"),
        (np.float32(0.5), r"shape \(\) and type float32"),
    ],
)
def test_other_samples_are_an_error(samples: np.ndarray, found: str) -> None:
    """Channels, integers and a single number: the error names the recording, shape, type, and what is expected."""
    with pytest.raises(ValueError, match=rf"^recording 3: samples of {found}; expected mono float32 \[N\]"):
        mono_samples(samples, of="recording 3")


def test_samples_are_not_copied() -> None:
    """What is float32 in one block comes back itself."""
    samples = np.ones(5, np.float32)
    assert mono_samples(samples, of="") is samples


@pytest.mark.parametrize("samples", [np.ones(5), np.ones((5, 2), np.float32)[:, 0]])
def test_one_channel_of_floats_becomes_a_block_of_float32(samples: np.ndarray) -> None:
    """Of 64 bits, or one column of two."""
    found = mono_samples(samples, of="")
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.tolist() == [1] * 5
