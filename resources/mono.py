"""What a model that hears is handed: one channel of floating-point samples."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


def mono_samples(samples_N: Samples, *, of: str) -> Samples:
    """The samples as float32 in one block of memory, not copied if they are. Raises ValueError for other shapes, types.

    Else two channels would be heard as recordings of two samples, and integers as noise beyond full scale.
    """
    if samples_N.ndim != 1 or samples_N.dtype.kind != "f":
        raise ValueError(
            f"{of}: samples of shape {samples_N.shape} and type {samples_N.dtype}; expected mono float32 [N]: "
            "mix the channels into one, scale integers to -1..1"
        )
    return np.ascontiguousarray(samples_N, dtype=np.float32)
