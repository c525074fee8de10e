"""Rows through a model in batches of like lengths, so that little is padding; smaller ones when memory runs out."""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from resources.refusals import Refusal

Row = TypeVar("Row")
Result = TypeVar("Result")

# What torch raises as a plain RuntimeError: CUDA itself and its libraries, whose memory isn't torch's, and the CPU.
NO_MEMORY = re.compile(
    r"CUDA( driver error:| error:)? out of memory|(CUBLAS|CUDNN|CUFFT)_\w*ALLOC\w*_FAILED"
    r"|DefaultCPUAllocator: can't allocate"
)


class Batches:
    """Batches of at most `most` rows. On out-of-memory a batch is halved, and rows of such lengths stay halved.

    Lengths are remembered by powers of two: what is too much for long rows need not be for short ones. Not for two
    threads at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limits: dict[int, int] = {}

    def run(
        self, rows: Sequence[Row], lengths: Sequence[int], call: Callable[[list[Row]], Sequence[Result]]
    ) -> list[Result | Refusal]:
        """One result per row, in order; `call` gets rows by length, the longest first.

        A row that is too much even alone becomes a refusal: its location is the row's position, its reason
        out_of_memory. Longest first, because a batch that fits says that all after it will.
        """
        results: list[Result | Refusal | None] = [None] * len(rows)
        left = sorted(range(len(rows)), key=lambda position: (-lengths[position], position))
        while left:
            limit = self._limit(lengths[left[0]])
            batch, left = left[:limit], left[limit:]
            try:
                made = call([rows[position] for position in batch])
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                detail = str(error)
            else:
                for position, result in zip(batch, made, strict=True):
                    results[position] = result
                continue
            # Outside of the handler: its traceback would keep the failed batch's tensors alive.
            _free_memory()
            if len(batch) == 1:
                results[batch[0]] = Refusal("", str(batch[0]), "out_of_memory", detail)
            else:
                self._limits[lengths[batch[0]].bit_length()] = len(batch) // 2
                left = batch + left
        return [result for result in results if result is not None]

    def _limit(self, length: int) -> int:
        """What failed for shorter rows fails for longer ones too."""
        return min((limit for bits, limit in self._limits.items() if bits <= length.bit_length()), default=self._most)


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and NO_MEMORY.search(str(error)) is not None


def _free_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
