"""Several devices that share each step: a process each, whose gradients are added up before the optimizer moves.

The processes are spawned on this machine: on GPUs they talk by nccl, on CPUs by gloo over the loopback. Every one of
them holds the whole model and makes the same moves; one that fails, or is killed, ends them all.
"""

import mmap
import os
import socket
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessException, spawn

from assets.shards.writing import ShardRows
from resources.torch_turn import device_of

LONGEST_WAIT = timedelta(hours=6)  # of one process for another: one may write a checkpoint of many GB
LOOK_EVERY_S = 0.1
FIRST_FAILURE = "first_failure"


@dataclass(frozen=True, slots=True)
class Share:
    """One process's part of a step: it takes the rows `rank`, `rank + count`, ... of a block."""

    rank: int = 0
    count: int = 1

    @property
    def mine(self) -> slice:
        """Its rows of a block."""
        return slice(self.rank, None, self.count)

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all processes, of the same bits in each."""
        if self.count == 1:
            return
        waits = [distributed.all_reduce(tensor, async_op=True) for tensor in tensors]
        for wait in waits:
            wait.wait()


class Mapped(NamedTuple):
    """Rows on their way to another process: the file that they are mapped from, or themselves."""

    path: str
    rows: np.ndarray | None


def devices_of(name: str, count: int) -> list[torch.device]:
    """The devices that `auto`, `cpu` or `cuda` means for so many processes. Raises ValueError for too few GPUs."""
    device = device_of(name)
    if device.type == "cpu":
        return [device] * count
    if torch.cuda.device_count() < count:
        raise ValueError(f"talkplay.devices={count}: torch sees {torch.cuda.device_count()} GPUs; wanted one for each")
    return [torch.device("cuda", rank) for rank in range(count)]


def run_processes(
    work: Callable[..., None], arguments: Sequence[Any], *, devices: Sequence[torch.device], log: Callable[[str], None]
) -> None:
    """Call `work(share, device, log, *arguments)` in a process for each device, until all have returned.

    Lines that they log are passed on. The first failure ends the others and is raised, with its traceback, as
    RuntimeError.
    """
    lines = get_context("spawn").Queue()
    with tempfile.TemporaryDirectory() as folder:
        processes = spawn(
            _process, (work, tuple(arguments), tuple(devices), lines, folder), nprocs=len(devices), join=False
        )
        try:
            while not processes.join(timeout=LOOK_EVERY_S):
                _pass_on(lines, log)
        except ProcessException as error:
            first = Path(folder) / FIRST_FAILURE
            raise RuntimeError(first.read_text() if first.exists() else str(error)) from error
        finally:
            for process in processes.processes:
                if process.is_alive():
                    process.terminate()
                process.join()
            _pass_on(lines, log)


def packed_rows(rows: ShardRows) -> Mapped:
    """Rows to send: a whole mapped file by its name, other rows by their content."""
    held = rows.rows
    if isinstance(held, np.memmap) and isinstance(held.base, mmap.mmap) and held.filename:
        path = str(held.filename)
        again = np.load(path, mmap_mode="r")
        if (again.shape, again.dtype, again.offset) == (held.shape, held.dtype, held.offset):
            return Mapped(path, None)
    return Mapped("", np.asarray(held))


def unpacked_rows(mapped: Mapped) -> ShardRows:
    """The rows that were sent."""
    return ShardRows(np.load(mapped.path, mmap_mode="r") if mapped.rows is None else mapped.rows)


def _process(
    rank: int,
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    devices: tuple[torch.device, ...],
    lines: Any,
    folder: str,
) -> None:
    device = devices[rank]
    if device.type == "cuda":
        device_of("cuda")  # float32 means float32 in this process too
        torch.cuda.set_device(device)
    else:  # gloo would take the address that the machine's name stands for
        os.environ["GLOO_SOCKET_IFNAME"] = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=(Path(folder) / "meeting").as_uri(),
        rank=rank,
        world_size=len(devices),
        timeout=LONGEST_WAIT,
    )
    try:
        work(Share(rank, len(devices)), device, lines.put if rank == 0 else _silent, *arguments)
    except BaseException:
        # The others fail too once this one's connections close, and torch raises whichever it sees first.
        with suppress(FileExistsError), (Path(folder) / FIRST_FAILURE).open("x") as file:
            file.write(f"process {rank} of {len(devices)}:\n{traceback.format_exc()}")
        raise
    finally:
        distributed.destroy_process_group()


def _silent(_line: str) -> None:
    """The other processes would say the same."""


def _pass_on(lines: Any, log: Callable[[str], None]) -> None:
    while True:
        try:
            log(lines.get(timeout=0.01))
        except Empty:
            return
