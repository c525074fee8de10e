"""Checkpoints: the highest complete one counts, with the bits that were written."""

from pathlib import Path

import polars as pl
import pytest
import torch

from assets.training.curves import curves_frame
from assets.training.progress import (
    FILES,
    State,
    Tensors,
    find_latest,
    optimizer_tensors,
    read_curves,
    read_tensors,
    restore_optimizer,
    save_checkpoint,
)
from assets.training.row_order import Place

CURVES = curves_frame([("train", 0, 0.1, None, 1 / 3, 0.5, 1e-3, 2.0)])
TENSORS = Tensors({"a": torch.tensor([0.1, torch.pi])}, {"a": torch.ones(2)}, {"a/step": torch.tensor(3.0)})


def save(kept: Path, step: int, identity: str = "same") -> State:
    """Save a checkpoint of a step."""
    state = State(identity, step, {"playlists": Place(1, 2)}, best_loss=1 / 3, tokens=5)
    save_checkpoint(kept, state, TENSORS, CURVES)
    return state


def test_a_checkpoint_reads_back(tmp_path: Path) -> None:
    """State, tensors and curves to the bit."""
    state = save(tmp_path, 100)
    found = find_latest(tmp_path, "same", print)
    assert found
    assert found.state == state
    assert read_curves(found.folder).equals(CURVES)
    for got, wanted in zip(read_tensors(found.folder), TENSORS, strict=True):
        assert got.keys() == wanted.keys()
        assert all(torch.equal(got[name], wanted[name]) for name in got)


def test_a_new_checkpoint_removes_the_others(tmp_path: Path) -> None:
    """Also those of other trainings and half-written ones, but nothing that is not a checkpoint."""
    save(tmp_path, 200, "other")
    (tmp_path / ".tmp-step-000000300").mkdir()
    (tmp_path / "events").mkdir()
    save(tmp_path, 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "step-000000100"]


@pytest.mark.parametrize("name", [*FILES, "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_a_damaged_checkpoint_is_left_out(tmp_path: Path, name: str, damage: str) -> None:
    """Whichever file it is, the line says so, and the one before counts."""
    save(tmp_path / "both", 100)
    save(tmp_path, 200)
    (tmp_path / "step-000000200").rename(tmp_path / "both" / "step-000000200")
    path = tmp_path / "both" / "step-000000200" / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    lines: list[str] = []
    found = find_latest(tmp_path / "both", "same", lines.append)
    assert found
    assert found.state.step == 100
    assert len(lines) == 1
    assert "step-000000200 is left out: " in lines[0]


def test_a_checkpoint_of_another_identity_is_left_out(tmp_path: Path) -> None:
    """And named; an absent folder has none."""
    save(tmp_path, 100, "other")
    lines: list[str] = []
    assert find_latest(tmp_path, "same", lines.append) is None
    assert "other settings, data, first weights or number of devices" in lines[0]
    assert find_latest(tmp_path / "absent", "same", lines.append) is None


def test_a_restored_optimizer_moves_alike() -> None:
    """One step after three and a restoring equals the fourth of an undisturbed one, to the bit."""

    def step(parameter: torch.nn.Parameter, optimizer: torch.optim.AdamW) -> None:
        parameter.grad = parameter.detach() * 2 + 1
        optimizer.step()

    parameter = torch.nn.Parameter(torch.tensor([0.3, -2.0]))
    optimizer = torch.optim.AdamW([parameter], fused=True)
    for _ in range(3):
        step(parameter, optimizer)
    again = torch.nn.Parameter(parameter.detach().clone())
    resumed = torch.optim.AdamW([again], fused=True)
    kept = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, {"a.b": parameter}).items()}
    assert kept.keys() == {"a.b/step", "a.b/exp_avg", "a.b/exp_avg_sq"}
    restore_optimizer(resumed, {"a.b": again}, kept)
    step(parameter, optimizer)
    step(again, resumed)
    assert torch.equal(parameter, again)


def test_curves_of_no_step_can_be_saved(tmp_path: Path) -> None:
    """An empty frame keeps its columns."""
    save_checkpoint(tmp_path, State("same"), Tensors({}, {}, {}), curves_frame([]))
    found = find_latest(tmp_path, "same", print)
    assert found
    assert isinstance(read_curves(found.folder).schema["loss"], pl.Float64)
