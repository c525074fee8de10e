"""CLAP (Wu et al. 2023): vectors of recordings and of texts in one space, from a folder as transformers saves it."""

import functools
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resources.batching import Batches
from resources.checkpoints import CheckpointError, folder_sha256, folder_tensors, load_strictly
from resources.model_settings import Clap
from resources.mono import Samples, mono_samples
from resources.refusals import Refusal
from resources.torch_turn import Turn, device_of

if TYPE_CHECKING:
    import torch
    from transformers import ClapFeatureExtractor, ClapModel, PreTrainedTokenizerBase

# N samples, D dimensions

Vector = NDArray[np.float32]

SAMPLE_RATE_HZ = 48_000
LEAST_SAMPLES = SAMPLE_RATE_HZ // 10  # our choice; a shorter tail is left out, a shorter recording refused
SILENT_RMS = 1e-4  # -80 dB of full scale
DIMENSIONS = 512  # where config.json says nothing


class Loaded(NamedTuple):
    """The model where it computes, and what comes before it."""

    model: "ClapModel"
    extractor: "ClapFeatureExtractor"
    tokenizer: "PreTrainedTokenizerBase"
    is_narrow: bool

    def narrowed(self) -> "torch.autocast":
        """Within it products are of 16 bits, if so wanted; the spectrogram and its batch norm stay of 32."""
        import torch

        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.is_narrow)


class ClapFolder:
    """A model's folder, loaded at first use and once, whichever thread comes first."""

    def __init__(self, settings: Clap, *, models: Path, device: str) -> None:
        self._path = models / settings.folder
        self._settings = settings
        self._device = device
        self._loading = threading.Lock()

    @functools.cached_property
    def digest(self) -> str:
        """The first digits of the folder's hash."""
        return folder_sha256(self._path)[:12]

    @functools.cached_property
    def dimensions(self) -> int:
        """The length of a vector, as config.json has it."""
        folder_sha256(self._path)  # raises where there is no model's folder
        return int(json.loads((self._path / "config.json").read_bytes()).get("projection_dim", DIMENSIONS))

    @property
    def loaded(self) -> Loaded:
        """The model. Raises CheckpointError where the folder holds another one, ValueError for too long chunks."""
        with self._loading:
            return self._loaded

    @functools.cached_property
    def _loaded(self) -> Loaded:
        import torch
        from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel

        folder_sha256(self._path)  # raises where there is no model's folder
        extractor = ClapFeatureExtractor.from_pretrained(self._path, local_files_only=True)
        heard_s = extractor.nb_max_samples / SAMPLE_RATE_HZ
        if extractor.sampling_rate != SAMPLE_RATE_HZ:
            raise CheckpointError(f"{self._path}: hears {extractor.sampling_rate} Hz; expected {SAMPLE_RATE_HZ}")
        if self._settings.chunk_s > heard_s:
            # Of more the extractor would take a part by chance.
            raise ValueError(
                f"clap.chunk_s={self._settings.chunk_s:g}: this model hears {heard_s:g} s at once; say less"
            )
        tokenizer = AutoTokenizer.from_pretrained(self._path, local_files_only=True, trust_remote_code=False)
        model = ClapModel(ClapConfig.from_pretrained(self._path, local_files_only=True))
        words = model.config.text_config.vocab_size
        if len(tokenizer) != words:
            raise CheckpointError(f"{self._path}: a tokenizer of {len(tokenizer)} tokens; config.json says {words}")

        # Counters and positions: which of them are saved has changed with transformers' versions.
        constants = {name: buffer for name, buffer in model.named_buffers() if not buffer.is_floating_point()}
        load_strictly(model, {**constants, **folder_tensors(self._path)}, source=str(self._path))
        model.eval().to(device_of(self._device), torch.float32)
        return Loaded(model, extractor, tokenizer, self._settings.precision == "bfloat16")


class ClapEncoder:
    """The mean of a recording's chunks, weighted by their length.

    A last chunk shorter than the model's window is repeated to fill it, as CLAP does. No chunk is longer, and so none
    is cut by chance or fused with its parts: a model with fusion hears the whole window too.
    Reasons: not_finite, too_short, silent, out_of_memory, bad_embedding.
    """

    sample_rate_hz: int = SAMPLE_RATE_HZ

    def __init__(self, settings: Clap, *, models: Path, turn: Turn, device: str = "auto") -> None:
        self._settings = settings
        self._folder = ClapFolder(settings, models=models, device=device)
        self._turn = turn
        self._batches = Batches(settings.chunks)
        self._encoding = threading.Lock()

    @functools.cached_property
    def name(self) -> str:
        """The model, and what changes vectors."""
        return f"CLAP {self._folder.digest}, chunks of {self._settings.chunk_s:g} s, {self._settings.precision}"

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._folder.dimensions

    def encode(self, recordings: Sequence[Samples]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per recording, in order."""
        heard = [self._chunks(position, samples_N) for position, samples_N in enumerate(recordings)]
        vectors = iter(self._vectors([chunk for chunks in heard if isinstance(chunks, list) for chunk in chunks]))
        return [
            self._mean(position, [(next(vectors), len(chunk)) for chunk in chunks])
            if isinstance(chunks, list)
            else chunks
            for position, chunks in enumerate(heard)
        ]

    def _chunks(self, position: int, samples_N: Samples) -> list[Samples] | Refusal:
        samples_N = mono_samples(samples_N, of=f"recording {position}")
        if not np.isfinite(samples_N).all():
            return Refusal(self.name, str(position), "not_finite", "NaN or infinite samples")
        if len(samples_N) < LEAST_SAMPLES:
            return Refusal(self.name, str(position), "too_short", f"{len(samples_N)} samples at {SAMPLE_RATE_HZ} Hz")
        loudness = float(np.sqrt(np.mean(np.square(samples_N))))
        if loudness <= SILENT_RMS:
            return Refusal(self.name, str(position), "silent", f"root mean square {loudness}")
        size = round(self._settings.chunk_s * SAMPLE_RATE_HZ)
        chunks = [samples_N[start : start + size] for start in range(0, len(samples_N), size)]
        return [chunk for chunk in chunks if len(chunk) >= LEAST_SAMPLES]

    def _vectors(self, chunks: list[Samples]) -> list[Vector | Refusal]:
        if not chunks:
            return []
        extractor = self._folder.loaded.extractor
        with self._turn.features():
            mels = [_mel(extractor, chunk) for chunk in chunks]
        with self._encoding:
            return self._batches.run(mels, [1] * len(mels), self._encoded)

    def _encoded(self, mels: Sequence["torch.Tensor"]) -> list[Vector]:
        import torch

        loaded = self._folder.loaded
        with self._turn.model(), loaded.narrowed():
            mels_B1TF = torch.stack(list(mels)).to(loaded.model.device)
            is_longer_B1 = torch.zeros((len(mels), 1), dtype=torch.bool)
            encoded = loaded.model.get_audio_features(input_features=mels_B1TF, is_longer=is_longer_B1)
            return list(encoded.pooler_output.float().cpu().numpy())

    def _mean(self, position: int, vectors: Sequence[tuple[Vector | Refusal, int]]) -> Vector | Refusal:
        total_D = np.zeros(self.dimensions)
        for vector_D, samples in vectors:
            if isinstance(vector_D, Refusal):
                return vector_D._replace(source=self.name, location=str(position))
            total_D += samples * vector_D.astype(np.float64)
        return _unit(total_D, self.name, position)


class ClapTextEncoder:
    """Texts in the space of `ClapEncoder`'s recordings: the text-audio baseline.

    A text longer than the model has positions for is cut. Reasons: empty_text, out_of_memory, bad_embedding.
    """

    def __init__(self, settings: Clap, *, models: Path, turn: Turn, device: str = "auto") -> None:
        self._settings = settings
        self._folder = ClapFolder(settings, models=models, device=device)
        self._turn = turn
        self._batches = Batches(settings.chunks)
        self._encoding = threading.Lock()

    @functools.cached_property
    def name(self) -> str:
        """The model, and what changes vectors."""
        return f"CLAP's texts {self._folder.digest}, {self._settings.precision}"

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._folder.dimensions

    def encode(self, texts: Sequence[str]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per text, in order."""
        whole = [text.encode("utf-8", "ignore").decode().strip() for text in texts]  # a lone surrogate says nothing
        said = [position for position, text in enumerate(whole) if text]
        vectors = dict(zip(said, self._vectors([whole[position] for position in said]), strict=True))
        return [
            self._result(position, vectors[position])
            if position in vectors
            else Refusal(self.name, str(position), "empty_text", repr(text))
            for position, text in enumerate(texts)
        ]

    def _vectors(self, texts: list[str]) -> list[Vector | Refusal]:
        if not texts:
            return []
        loaded = self._folder.loaded
        # RoBERTa counts positions from the one after its padding's.
        text_config = loaded.model.config.text_config
        most = text_config.max_position_embeddings - text_config.pad_token_id - 1
        with self._turn.features():
            rows = loaded.tokenizer(texts, truncation=True, max_length=most)["input_ids"]
        with self._encoding:
            return self._batches.run(rows, [len(row) for row in rows], self._encoded)

    def _encoded(self, rows: Sequence[list[int]]) -> list[Vector]:
        loaded = self._folder.loaded
        with self._turn.model(), loaded.narrowed():
            padded = loaded.tokenizer.pad({"input_ids": list(rows)}, return_tensors="pt").to(loaded.model.device)
            encoded = loaded.model.get_text_features(padded["input_ids"], attention_mask=padded["attention_mask"])
            return list(encoded.pooler_output.float().cpu().numpy())

    def _result(self, position: int, vector_D: Vector | Refusal) -> Vector | Refusal:
        if isinstance(vector_D, Refusal):
            return vector_D._replace(source=self.name, location=str(position))
        return _unit(vector_D.astype(np.float64), self.name, position)


def _mel(extractor: "ClapFeatureExtractor", chunk_N: Samples) -> "torch.Tensor":
    """The spectrogram of at most one window, [1, T, F]; for fusion it comes four times, one of which is read."""
    import torch

    mels = extractor(chunk_N, sampling_rate=SAMPLE_RATE_HZ, return_tensors="np")["input_features"]
    return torch.from_numpy(mels[0, :1].astype(np.float32))


def _unit(vector_D: NDArray[np.float64], source: str, position: int) -> Vector | Refusal:
    norm = np.linalg.norm(vector_D)
    if not np.isfinite(norm) or norm == 0:
        return Refusal(source, str(position), "bad_embedding", f"a vector of length {norm}")
    unit_D: Vector = (vector_D / norm).astype(np.float32)
    return unit_D
