"""Several processes that share a step, over gloo on CPUs."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from assets.shards.writing import ShardRows
from assets.training.shared_steps import Share, devices_of, packed_rows, run_processes, unpacked_rows

# A module that the processes find by its name. They hold no model: to open transformers in each takes seconds.
FAILING = """
import torch

def work(share, device, log):
    log(f"{share.rank} of {share.count} begins")
    share.add_up([torch.ones(1, device=device)])
    if share.rank:
        raise ValueError("three in a row")
    share.add_up([torch.ones(1, device=device)])
"""


@pytest.fixture(scope="module")
def small() -> ModuleType:
    """The small training of the kill sweep."""
    specification = importlib.util.spec_from_file_location(
        "training_sweep", Path(__file__).with_name("training_sweep.py")
    )
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_two_processes_train_as_one(small: ModuleType, tmp_path: Path) -> None:
    """Weights and curves are equal up to rounding; one of the two writes and logs."""
    one, alone = small.small_training(tmp_path / "one")
    lines: list[str] = []
    two, shared = small.small_training(tmp_path / "two", devices=2, log=lines.append)
    for got, wanted in zip(two.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-5)
    assert shared.curves.shape == alone.curves.shape
    np.testing.assert_allclose(shared.curves["loss"], alone.curves["loss"], rtol=1e-4)
    assert [line.split(":")[0] for line in lines] == ["step 0", "step 2", "step 4"]


def test_a_process_that_fails_ends_the_others_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is passed on though the other process waits for it to add up, and so are the lines before it."""
    (tmp_path / "failing.py").write_text(FAILING)
    monkeypatch.syspath_prepend(tmp_path)
    lines: list[str] = []
    work = importlib.import_module("failing").work
    with pytest.raises(RuntimeError, match=r"process 1 of 2:(.|\n)*ValueError: three in a row"):
        run_processes(work, (), devices=devices_of("cpu", 2), log=lines.append)
    assert lines == ["0 of 2 begins"]


def test_shares_deal_out_every_row_once() -> None:
    """Seven rows to three processes: three, two and two."""
    parts = [list(range(7))[Share(rank, 3).mine] for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4], [2, 5]]


def test_mapped_rows_travel_by_name(tmp_path: Path) -> None:
    """A whole mapped file as its path, a part of it or an array as content; all arrive as they were."""
    rows = np.arange(24, dtype=np.int32).reshape(4, 3, 2)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    whole, part, held = (packed_rows(ShardRows(array)) for array in (mapped, mapped[::-1], rows))
    assert (whole.rows is None, part.rows is None, held.rows is None) == (True, False, False)
    np.testing.assert_array_equal(unpacked_rows(whole).rows, rows)
    np.testing.assert_array_equal(unpacked_rows(part).rows, rows[::-1])
    np.testing.assert_array_equal(unpacked_rows(held).rows, rows)


def test_each_process_has_a_device() -> None:
    """On CPUs all have the same."""
    assert devices_of("cpu", 3) == [torch.device("cpu")] * 3
