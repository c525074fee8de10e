from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from resources.checkpoints import (
    CheckpointError,
    checked_file,
    folder_sha256,
    folder_tensors,
    load_strictly,
    pickled_tensors,
)


class Evil:
    """A pickle that touches a file when it is opened."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.canary,)


def saved(path: Path, value: object) -> str:
    """Saves with torch; the file's hash."""
    torch.save(value, path)
    return sha256(path.read_bytes()).hexdigest()


def linear() -> torch.nn.Linear:
    """A model of two tensors."""
    return torch.nn.Linear(2, 3)


def test_a_pinned_file_is_opened(tmp_path: Path) -> None:
    """Capital letters in the pin do not matter."""
    pin = saved(tmp_path / "a.pt", {"state_dict": {"weight": torch.ones(2)}})
    loaded = pickled_tensors(tmp_path / "a.pt", sha256=pin.upper())
    assert torch.equal(loaded["state_dict"]["weight"], torch.ones(2))  # type: ignore[index]


def test_another_file_says_which_hash_was_expected(tmp_path: Path) -> None:
    """And which was found."""
    found = saved(tmp_path / "a.pt", {})
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {'0' * 64}, found {found}"):
        checked_file(tmp_path / "a.pt", sha256="0" * 64)


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    """A pin that held once does not vouch for other bytes under the same name."""
    pin = saved(tmp_path / "a.pt", {})
    checked_file(tmp_path / "a.pt", sha256=pin)
    saved(tmp_path / "a.pt", {"x": torch.ones(100)})
    with pytest.raises(CheckpointError, match="expected SHA-256"):
        checked_file(tmp_path / "a.pt", sha256=pin)


def test_an_unpinned_file_says_how_to_pin_it(tmp_path: Path) -> None:
    """It is not opened: the error holds the hash to set."""
    found = saved(tmp_path / "a.pt", {})
    with pytest.raises(CheckpointError, match=f"set its sha256 to {found}"):
        pickled_tensors(tmp_path / "a.pt", sha256="")


def test_a_missing_file_says_where_models_lie() -> None:
    """By the name of the setting."""
    with pytest.raises(CheckpointError, match="MUSIC_MODELS"):
        checked_file(Path("gone.pt"), sha256="0" * 64)


def test_a_pickle_runs_nothing_even_if_pinned(tmp_path: Path) -> None:
    """Torch refuses what is no tensor."""
    pin = saved(tmp_path / "a.pt", {"state_dict": Evil(tmp_path / "canary")})
    with pytest.raises(Exception, match="Weights only load failed"):
        pickled_tensors(tmp_path / "a.pt", sha256=pin)
    assert not (tmp_path / "canary").exists()


def test_a_file_that_is_no_checkpoint_says_so(tmp_path: Path) -> None:
    """Although its hash is the pinned one."""
    (tmp_path / "a.pt").write_bytes(b"text")
    with pytest.raises(CheckpointError, match="torch's format"):
        pickled_tensors(tmp_path / "a.pt", sha256=sha256(b"text").hexdigest())


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    """The index names them; what it does not name is not read."""
    save_file({"a": torch.ones(1)}, tmp_path / "model-1.safetensors")
    save_file({"b": torch.zeros(1)}, tmp_path / "model-2.safetensors")
    save_file({"c": torch.zeros(1)}, tmp_path / "other.safetensors")
    index = '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert sorted(folder_tensors(tmp_path)) == ["a", "b"]
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"names model-2.safetensors, which is not there"):
        folder_tensors(tmp_path)


def test_a_key_in_two_shards_is_an_error(tmp_path: Path) -> None:
    """Either may be meant."""
    for name in ("a", "b"):
        save_file({"weight": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match="weight is in another shard too"):
        folder_tensors(tmp_path)


def test_a_folder_has_one_hash_wherever_it_lies(tmp_path: Path) -> None:
    """It is of names and bytes: a changed file changes it."""
    for name in ("here", "there"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        save_file({"weight": torch.ones(1)}, folder / "model.safetensors")
    (tmp_path / "there" / ".cache").mkdir()
    (tmp_path / "there" / ".cache" / "downloaded").write_text("yesterday")
    assert folder_sha256(tmp_path / "here") == folder_sha256(tmp_path / "there")
    (tmp_path / "there" / "config.json").write_text('{"a": 1}')
    assert folder_sha256(tmp_path / "here") != folder_sha256(tmp_path / "there")


def test_a_folder_of_pickles_is_refused(tmp_path: Path) -> None:
    """Safetensors cannot hold code."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="expected safetensors"):
        folder_sha256(tmp_path)


def test_loading_is_strict_in_both_directions() -> None:
    """Missing, unexpected and reshaped keys are named; keys that are known to be unused may be there."""
    module, state = linear(), linear().state_dict()
    load_strictly(module, {**state, "head.weight": torch.ones(1)}, unused=[r"head\..*"], source="a")
    assert torch.equal(module.weight, state["weight"])
    with pytest.raises(CheckpointError, match=r"a: has unexpected 1 keys of this model: head.weight"):
        load_strictly(linear(), {**state, "head.weight": torch.ones(1)}, source="a")
    with pytest.raises(CheckpointError, match=r"a: lacks 1 keys of this model: bias"):
        load_strictly(linear(), {"weight": state["weight"]}, source="a")
    with pytest.raises(CheckpointError, match=r"weight \(3, 3\) instead of \(3, 2\)"):
        load_strictly(linear(), {**state, "weight": torch.ones(3, 3)}, source="a")
