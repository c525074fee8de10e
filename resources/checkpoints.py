"""Checkpoints as published: found, checked against their pinned hash, read without running code, loaded strictly.

A pickle is only ever opened after its hash was compared (faults.md C.1): torch's `weights_only` guard was broken twice.
"""

import functools
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from resources.hashing import digest_of, sha256_of_file

if TYPE_CHECKING:
    import torch

SHOWN = 3  # keys that an error names


class CheckpointError(ValueError):
    """A checkpoint that is not there, not the one that was pinned, or not of this model; says what was expected."""


def checked_file(path: Path, *, sha256: str) -> Path:
    """The file, once its bytes are known to be the pinned ones.

    Raises CheckpointError where it is missing, unpinned or another file.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; MUSIC_MODELS names the folder that models lie in")
    found = _hash(path, path.stat().st_size, path.stat().st_mtime_ns)
    if not sha256:
        raise CheckpointError(f"{path}: its hash is not pinned; if you trust this file, set its sha256 to {found}")
    if found != sha256.lower():
        raise CheckpointError(f"{path}: expected SHA-256 {sha256}, found {found}: another file, or a damaged one")
    return path


def folder_sha256(folder: Path) -> str:
    """Hash of a model's folder, over the names and bytes of its files that are not hidden: downloads leave such behind.

    Raises CheckpointError where it is missing or holds weights in another format than safetensors.
    """
    if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
        raise CheckpointError(
            f"{folder}: no model folder with a config.json; MUSIC_MODELS names the folder that models lie in"
        )
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    shown = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    pickles = [name for name in shown if name.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl")]
    if pickles and not any(name.suffix == ".safetensors" for name in shown):
        raise CheckpointError(f"{folder}: weights in {pickles[0]}; expected safetensors, which cannot hold code")
    stats = [(folder / name).stat() for name in shown]
    return digest_of(
        [
            (name.as_posix(), _hash(folder / name, stat.st_size, stat.st_mtime_ns))
            for name, stat in zip(shown, stats, strict=True)
        ]
    )


def pickled_tensors(path: Path, *, sha256: str) -> dict[str, object]:
    """What a `.pt` or `.pth` file of tensors holds, on the CPU. Raises CheckpointError as `checked_file` does."""
    import torch

    checked_file(path, sha256=sha256)
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: no checkpoint in torch's format, which is a zip file")
    loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path}: holds a {type(loaded).__name__}; expected a dict of tensors")
    return loaded


def folder_tensors(folder: Path) -> "dict[str, torch.Tensor]":
    """All tensors of a folder's safetensors files, one file or several shards, on the CPU.

    Raises CheckpointError if there is none, if two shards hold one key, or if the index names a shard that is missing.
    """
    import msgspec
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = set(msgspec.json.decode(index.read_bytes())["weight_map"].values())
        missing = sorted(named - {path.name for path in files})
        if missing:
            raise CheckpointError(f"{folder}: its index names {missing[0]}, which is not there")
        files = [path for path in files if path.name in named]
    if not files:
        raise CheckpointError(f"{folder}: no safetensors file")
    tensors: dict[str, torch.Tensor] = {}
    for path in files:
        shard = load_file(path)
        repeated = sorted(shard.keys() & tensors.keys())
        if repeated:
            raise CheckpointError(f"{path}: {repeated[0]} is in another shard too")
        tensors |= shard
    return tensors


def load_strictly(
    module: "torch.nn.Module", state: "Mapping[str, torch.Tensor]", *, unused: Iterable[str] = (), source: str
) -> None:
    """Loads every tensor of the module from `state`; keys that match `unused` (regular expressions) may be left over.

    Raises CheckpointError naming missing keys, unexpected keys and other shapes.
    """
    own = module.state_dict()
    unexpected = [key for key in state if key not in own and not any(re.fullmatch(name, key) for name in unused)]
    missing = [key for key in own if key not in state]
    reshaped = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    for what, keys in (("lacks", missing), ("has unexpected", unexpected), ("has", reshaped)):
        if keys:
            raise CheckpointError(f"{source}: {what} {len(keys)} keys of this model: {', '.join(keys[:SHOWN])}")
    module.load_state_dict({key: state[key] for key in own}, strict=True, assign=True)


@functools.lru_cache(maxsize=4096)
def _hash(path: Path, size: int, modified_ns: int) -> str:  # noqa: ARG001 - part of the cache's key
    return sha256_of_file(path)
