"""How models share the processor: one of them computes at a time, in a fixed number of CPU threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Turn:
    """A model's turn. Two threads may call a provider at once: their features overlap, their models don't.

    The number of CPU threads decides the order of sums and so the last bits; torch keeps it for each thread apart.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._lock = threading.Lock()

    @contextmanager
    def features(self) -> Iterator[None]:
        """For what comes before the model; other threads go on."""
        import torch

        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            yield

    @contextmanager
    def model(self) -> Iterator[None]:
        """For the model itself; not within `features`' turn of another provider."""
        with self._lock, self.features():
            yield


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """So many of torch's CPU threads for training, which no model before it decides then; afterwards as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_of(name: str) -> "torch.device":
    """The device that `auto`, `cpu` or `cuda` means here. Raises ValueError for cuda where there is none.

    On CUDA float32 then means float32, in all of the process: by torch's default convolutions round it to TF32.
    """
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("workers.device=cuda: torch sees no CUDA device here; say auto or cpu")
    is_cuda = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    if is_cuda:
        # Not fp32_precision, torch's newer words for it: after these cudnn.flags and reading allow_tf32 are errors.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if is_cuda else "cpu")
