"""Texts through any sentence-transformers folder, by that library."""

import functools
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from resources.batching import Batches
from resources.checkpoints import CheckpointError, folder_sha256
from resources.model_settings import SentenceModel
from resources.refusals import Refusal
from resources.text_encoder import Vector, unit_vectors
from resources.torch_turn import Turn, device_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# What decides the length of a vector, and what leaves it as it is. The library's older modules hold pickles.
SIZED = ("Pooling", "Dense", "StaticEmbedding")
UNSIZED = ("Transformer", "Normalize", "LayerNorm", "Dropout")
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pkl")


class SentenceEncoder:
    """A sentence-transformers model, its own default prompt left out.

    Reasons: empty_text, out_of_memory, bad_embedding (not finite, or of length 0).
    """

    def __init__(self, settings: SentenceModel, *, models: Path, turn: Turn, device: str = "auto") -> None:
        self._settings = settings
        self._folder = models / settings.folder
        self._turn = turn
        self._device = device
        self._batches = Batches(settings.texts)
        self._running = threading.Lock()

    @functools.cached_property
    def name(self) -> str:
        """The model's hash and the settings that change a vector."""
        settings = self._settings
        _modules(self._folder)
        return (
            f"sentence model {Path(settings.folder).name} {folder_sha256(self._folder)[:12]}, "
            f"prompt {settings.prompt!r}, {settings.precision}"
        )

    @functools.cached_property
    def dimensions(self) -> int:
        """The length of a vector; read from the modules' config files.

        Raises CheckpointError for a folder that is not there or not of a kind that can be read safely.
        """
        modules = _modules(self._folder)
        sizes = [size for module in modules if (size := _size(self._folder, module)) is not None]
        if not sizes:
            raise CheckpointError(f"{self._folder}: modules.json has no module of {', '.join(SIZED)}: no length is set")
        cut = _read_json(self._folder / "config_sentence_transformers.json").get("truncate_dim")
        return min(sizes[-1], cut) if isinstance(cut, int) else sizes[-1]

    def encode(self, texts: Sequence[str]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per text, in order. Raises CheckpointError as `dimensions` does."""
        # A lone surrogate, as a broken JSON escape leaves it, is no text.
        plain = [text.encode("utf-8", "ignore").decode() for text in texts]
        filled = [position for position, text in enumerate(plain) if text.strip()]
        rows = [plain[position] for position in filled]
        # Bytes are near a multiple of tokens in any script, and cost no second tokenizing.
        lengths = [len(row.encode()) for row in rows]
        results: list[Vector | Refusal] = []
        if rows:
            with self._running:
                # Loaded before the run: there, a lack of memory for the model would be taken for one of a batch.
                results = self._batches.run(rows, lengths, functools.partial(self._vectors, self._model))
        return unit_vectors(self.name, texts, dict(zip(filled, results, strict=True)))

    def _vectors(self, model: "SentenceTransformer", texts: list[str]) -> list[Vector]:
        """What the library's `encode` does for one batch, in its parts: that would tokenize in the model's turn."""
        from sentence_transformers.util import batch_to_device

        with self._turn.features():
            features = model.preprocess(texts, prompt=self._settings.prompt)
        with self._turn.model():
            vectors = model(batch_to_device(features, device_of(self._device)))["sentence_embedding"]
            return list(vectors[:, : self.dimensions].float().cpu().numpy())

    @functools.cached_property
    def _model(self) -> "SentenceTransformer":
        import torch
        from sentence_transformers import SentenceTransformer

        folder, precision = self._folder, getattr(torch, self._settings.precision)
        expected = self.dimensions  # first: it also refuses what may not be loaded
        model = SentenceTransformer(
            str(folder),
            device=str(device_of(self._device)),
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": precision},
        )
        # `dtype` is for the transformer alone; parameters only, since rounded rotary frequencies lose positions.
        for parameter in model.parameters():
            parameter.data = parameter.data.to(precision)
        if model.get_embedding_dimension() != expected:
            raise CheckpointError(
                f"{folder}: its config files say {expected} dimensions, its modules {model.get_embedding_dimension()}"
            )
        return model.eval()


def _modules(folder: Path) -> list[Mapping[str, str]]:
    """The entries of modules.json, once each is known to be the library's own and without a pickle."""
    path = folder / "modules.json"
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; expected a sentence-transformers model; MUSIC_MODELS names the models' folder"
        )
    try:
        modules = msgspec.json.decode(path.read_bytes(), type=list[dict[str, str | int | list[str]]])
    except msgspec.MsgspecError as error:
        raise CheckpointError(f"{path}: not a list of modules: {error}") from error
    entries: list[Mapping[str, str]] = [{key: str(value) for key, value in module.items()} for module in modules]
    for entry in entries:
        kind, inner = entry.get("type", ""), folder / entry.get("path", "")
        if not kind.startswith("sentence_transformers.") or _kind(entry) not in SIZED + UNSIZED:
            raise CheckpointError(f"{path}: a module of type {kind!r}; expected one of {', '.join(SIZED + UNSIZED)}")
        pickles = sorted(file.name for pattern in PICKLES for file in inner.glob(pattern))
        if pickles and not any(inner.glob("*.safetensors")):
            raise CheckpointError(f"{inner}: weights in {pickles[0]}; expected safetensors, which cannot hold code")
    return entries


def _size(folder: Path, module: Mapping[str, str]) -> int | None:
    """The length that the module gives to a text's vector."""
    inner, kind = folder / module.get("path", ""), _kind(module)
    if kind not in SIZED:
        return None
    if kind == "StaticEmbedding":
        from safetensors import safe_open

        with safe_open(inner / "model.safetensors", framework="np") as weights:
            return int(weights.get_slice("embedding.weight").get_shape()[1])
    settings = _read_json(inner / "config.json")
    try:
        if kind == "Dense":
            written_to = settings.get("module_output_name") or settings.get("module_input_name", "sentence_embedding")
            return int(str(settings["out_features"])) if written_to == "sentence_embedding" else None
        width = settings.get("embedding_dimension") or settings["word_embedding_dimension"]
    except KeyError as error:
        raise CheckpointError(f"{inner / 'config.json'}: has no {error} of a {kind} module") from error
    return int(str(width)) * _pooling_modes(settings)


def _pooling_modes(settings: Mapping[str, object]) -> int:
    """How many means, maxima and so on are put one after another; none named is one, the mean."""
    modes = settings.get("pooling_mode")
    if isinstance(modes, list):
        return len(modes)
    flags = [value for key, value in settings.items() if key.startswith("pooling_mode_")]
    return 1 if isinstance(modes, str) else max(1, sum(map(bool, flags)))


def _kind(module: Mapping[str, str]) -> str:
    return module.get("type", "").rpartition(".")[2]


def _read_json(path: Path) -> dict[str, object]:
    return msgspec.json.decode(path.read_bytes(), type=dict[str, object]) if path.is_file() else {}
