"""Audio vectors by MusicFM: a recording in chunks through its network, and the mean of all their latents."""

import functools
import json
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resources.audio_encoder import Samples, Vector
from resources.batching import Batches
from resources.checkpoints import CheckpointError, load_strictly, pickled_tensors
from resources.model_settings import MusicFM
from resources.mono import mono_samples
from resources.refusals import Refusal
from resources.torch_turn import Turn, device_of

if TYPE_CHECKING:
    import torch

    from resources.networks.musicfm import MusicFM as Network
    from resources.networks.musicfm import Sizes

# N samples, D dimensions

SAMPLE_RATE_HZ = 24_000
MIN_SAMPLES = 1025  # a spectrogram's edges are mirrored by half a window of 2,048
SILENT_RMS = 1e-4  # -80 dB of full scale
PREFIX = "model."  # of every key as published


class MusicFmEncoder:
    """MusicFM's latents of one layer, meaned over all chunks of a recording.

    A last chunk of 1,024 samples or fewer is dropped. Reasons: too_short, not_finite, silent, out_of_memory,
    bad_embedding. Weights are read at first use.
    """

    sample_rate_hz: int = SAMPLE_RATE_HZ

    def __init__(self, settings: MusicFM, *, models: Path, turn: Turn, device: str = "auto") -> None:
        self._settings = settings
        self._checkpoint = models / settings.checkpoint
        self._stats = models / settings.stats
        self._turn = turn
        self._device_name = device
        self._loading = threading.Lock()
        self._threads = threading.local()

    @property
    def name(self) -> str:
        """Checkpoint, statistics and all else that decides a vector. Raises CheckpointError without the statistics."""
        settings = self._settings
        mean, deviation = _mean_and_deviation(self._stats)
        return (
            f"MusicFM {settings.sha256.lower()[:12]}, {mean:.6g} ± {deviation:.6g} dB, layer {settings.layer}, "
            f"mean over chunks of {settings.chunk_s:g} s, {settings.precision}"
        )

    @functools.cached_property
    def dimensions(self) -> int:
        """The network's hidden size, read from its file."""
        return _sizes(_published_state(self._checkpoint, self._settings.sha256), self._checkpoint).hidden

    def encode(self, recordings: Sequence[Samples]) -> list[Vector | Refusal]:
        """One unit-length vector or refusal per recording, in order."""
        heard = [self._chunks(position, samples_N) for position, samples_N in enumerate(recordings)]
        chunks = [chunk_N for part in heard if not isinstance(part, Refusal) for chunk_N in part]
        summed = iter(self._sums(chunks))
        return [
            part if isinstance(part, Refusal) else self._vector(position, [next(summed) for _ in part])
            for position, part in enumerate(heard)
        ]

    def _chunks(self, position: int, samples_N: Samples) -> list[Samples] | Refusal:
        def refused(reason: str, detail: str) -> Refusal:
            return Refusal(self.name, str(position), reason, detail)

        samples_N = mono_samples(samples_N, of=f"recording {position}")
        if len(samples_N) < MIN_SAMPLES:
            return refused("too_short", f"{len(samples_N)} samples; at least {MIN_SAMPLES} are needed")
        energy = float(np.dot(samples_N, samples_N))  # without a copy of three hours
        if not math.isfinite(energy):
            return refused("not_finite", "samples that are no numbers, or infinite")
        loudness = math.sqrt(energy / len(samples_N))
        if loudness <= SILENT_RMS:
            return refused("silent", f"root mean square {loudness:.2g}")
        size = round(self._settings.chunk_s * SAMPLE_RATE_HZ)
        chunks = [samples_N[start : start + size] for start in range(0, len(samples_N), size)]
        return [chunk_N for chunk_N in chunks if len(chunk_N) >= MIN_SAMPLES]

    def _sums(self, chunks: list[Samples]) -> list[NDArray[np.float32] | Refusal]:
        if not chunks:
            return []
        # Loaded before the run: there, a lack of memory for the model would be taken for one of a batch.
        with self._loading:
            summed = functools.partial(self._summed, self._network)
        return self._batches().run(chunks, [len(chunk_N) for chunk_N in chunks], summed)

    def _batches(self) -> Batches:
        """Those of the calling thread: they are not for two at once."""
        if not hasattr(self._threads, "batches"):
            self._threads.batches = Batches(self._settings.chunks)
        batches: Batches = self._threads.batches
        return batches

    def _summed(self, network: "Network", chunks: list[Samples]) -> list[NDArray[np.float32]]:
        """The sum of each chunk's latents."""
        import torch

        device = self._device
        is_narrow = self._settings.precision == "bfloat16"
        with self._turn.features():
            features = [network.features(torch.tensor(chunk_N, device=device)) for chunk_N in chunks]
        with self._turn.model(), torch.autocast(device.type, torch.bfloat16, enabled=is_narrow):
            latents = network(features, layer=self._settings.layer)
            sums_BD = torch.stack([latents_LD.float().sum(dim=0) for latents_LD in latents])
            return list(sums_BD.cpu().numpy())

    def _vector(self, position: int, parts: list[NDArray[np.float32] | Refusal]) -> Vector | Refusal:
        sums: list[NDArray[np.float32]] = []
        for part in parts:
            if isinstance(part, Refusal):
                return part._replace(source=self.name, location=str(position))
            sums.append(part)
        # The mean over all latents points where their sum does.
        total_D = np.stack(sums).sum(axis=0, dtype=np.float64)
        length = float(np.linalg.norm(total_D))
        if not math.isfinite(length) or length == 0:
            return Refusal(self.name, str(position), "bad_embedding", f"a vector of length {length}")
        vector_D: Vector = (total_D / length).astype(np.float32)
        return vector_D

    @functools.cached_property
    def _device(self) -> "torch.device":
        return device_of(self._device_name)

    @functools.cached_property
    def _network(self) -> "Network":
        """The network with its weights; only under the lock, so that two threads don't both load it."""
        import torch

        from resources.networks.musicfm import UNUSED
        from resources.networks.musicfm import MusicFM as Network

        state = _published_state(self._checkpoint, self._settings.sha256)
        sizes = _sizes(state, self._checkpoint)
        if self._settings.layer > sizes.layers:
            raise ValueError(f"musicfm.layer={self._settings.layer}: {self._checkpoint} has {sizes.layers} layers")
        mean, deviation = _mean_and_deviation(self._stats)
        with torch.device("meta"):
            network = Network(sizes, mean=mean, deviation=deviation)
        load_strictly(network, state, unused=UNUSED, source=str(self._checkpoint))
        return network.eval().requires_grad_(requires_grad=False).to(self._device, torch.float32)


def _published_state(checkpoint: Path, sha256: str) -> "dict[str, torch.Tensor]":
    state = pickled_tensors(checkpoint, sha256=sha256).get("state_dict")
    if not isinstance(state, dict):
        raise CheckpointError(f"{checkpoint}: holds no state_dict, as MusicFM's checkpoints do")
    return {key.removeprefix(PREFIX): tensor for key, tensor in state.items()}


def _sizes(state: "dict[str, torch.Tensor]", checkpoint: Path) -> "Sizes":
    from resources.networks.musicfm import sizes_of

    try:
        return sizes_of(state)
    except KeyError as error:
        raise CheckpointError(f"{checkpoint}: lacks {error}; expected a checkpoint of MusicFM") from error


def _mean_and_deviation(stats: Path) -> tuple[float, float]:
    """Of the decibels that MusicFM was trained on. Raises CheckpointError if the file does not say."""
    if not stats.is_file():
        raise CheckpointError(f"{stats}: no such file; MusicFM's statistics are published beside its checkpoint")
    try:
        values = json.loads(stats.read_bytes())
        mean, deviation = float(values["melspec_2048_mean"]), float(values["melspec_2048_std"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{stats}: {error!r}; expected JSON with melspec_2048_mean and melspec_2048_std"
        ) from error
    if not (math.isfinite(mean) and math.isfinite(deviation) and deviation > 0):
        raise CheckpointError(f"{stats}: mean {mean} and deviation {deviation}; expected numbers, the second above 0")
    return mean, deviation
