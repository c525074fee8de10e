"""Captions by LP-MusicCaps, from 10-second chunks of a recording."""

import functools
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from resources.batching import Batches
from resources.captioner import Heard
from resources.checkpoints import CheckpointError, folder_sha256, load_strictly, pickled_tensors
from resources.model_settings import LPMusicCaps
from resources.mono import Samples, mono_samples
from resources.refusals import Refusal
from resources.torch_turn import Turn, device_of

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedTokenizerBase

    from resources.networks.lp_musiccaps import BartCaptionModel, MelEncoder, Sizes

# N samples

SAMPLE_RATE_HZ = 16_000
CHUNK_SAMPLES = 10 * SAMPLE_RATE_HZ
LEAST_SAMPLES = SAMPLE_RATE_HZ  # our choice: of less than a second the model would hear its padding
SILENT_RMS = 1e-4  # -80 dB of full scale
PREFIX = "module."  # of every key, where the model was saved inside torch's DataParallel


class Loaded(NamedTuple):
    """The model where it computes; its spectrogram, which stays on the CPU in 32 bits."""

    model: "BartCaptionModel"
    mel_encoder: "MelEncoder"
    tokenizer: "PreTrainedTokenizerBase"
    generation: "GenerationConfig"


class LPMusicCapsCaptioner:
    """Captions of chunks spread evenly over a recording, the distinct ones in order as one text (our choice).

    A recording shorter than a chunk is padded with zeros; of a longer one a tail shorter than a chunk isn't heard, nor
    are silent chunks. Reasons: no_samples, not_finite, too_short, silent, out_of_memory, empty_caption.
    """

    sample_rate_hz: int | None = SAMPLE_RATE_HZ

    def __init__(self, settings: LPMusicCaps, *, models: Path, turn: Turn, device: str = "auto") -> None:
        self._settings = settings
        self._models = models
        self._turn = turn
        self._device = device
        self._batches = Batches(settings.chunks)
        self._loading = threading.Lock()
        self._captioning = threading.Lock()

    @functools.cached_property
    def name(self) -> str:
        """The checkpoint, BART's folder, and what changes captions."""
        settings = self._settings
        bart = folder_sha256(self._models / settings.bart)
        return (
            f"LP-MusicCaps {settings.sha256[:12].lower()}, BART {bart[:12]}, {settings.captions} chunks, "
            f"{settings.beams} beams, {settings.max_tokens} tokens, {settings.precision}"
        )

    def caption(self, tracks: Sequence[Heard]) -> list[str | Refusal]:
        """One caption or refusal per track, in order."""
        heard = [self._chunks(track) for track in tracks]
        captions = iter(self._captions([chunk for chunks in heard if isinstance(chunks, list) for chunk in chunks]))
        return [
            self._joined(track, [next(captions) for _ in chunks]) if isinstance(chunks, list) else chunks
            for track, chunks in zip(tracks, heard, strict=True)
        ]

    def _chunks(self, track: Heard) -> list[Samples] | Refusal:
        if track.samples_N is None:
            return Refusal(self.name, track.track_id, "no_samples", "no recording")
        samples_N = mono_samples(track.samples_N, of=f"track {track.track_id}")
        if not np.isfinite(samples_N).all():
            return Refusal(self.name, track.track_id, "not_finite", "NaN or infinite samples")
        if len(samples_N) < LEAST_SAMPLES:
            return Refusal(self.name, track.track_id, "too_short", f"{len(samples_N)} samples at {SAMPLE_RATE_HZ} Hz")
        samples_N = np.pad(samples_N, (0, max(0, CHUNK_SAMPLES - len(samples_N))))
        whole = len(samples_N) // CHUNK_SAMPLES
        loud = [chunk for chunk in np.split(samples_N[: whole * CHUNK_SAMPLES], whole) if _loudness(chunk) > SILENT_RMS]
        if not loud:
            loudness = _loudness(samples_N)
            return Refusal(self.name, track.track_id, "silent", f"root mean square {loudness}, no chunk is louder")
        count = min(self._settings.captions, len(loud))
        return [loud[(2 * number + 1) * len(loud) // (2 * count)] for number in range(count)]

    def _captions(self, chunks: list[Samples]) -> list[str | Refusal]:
        if not chunks:
            return []
        with self._loading:
            loaded = self._loaded
        with self._turn.features():
            mels = [_mel(loaded.mel_encoder, chunk) for chunk in chunks]
        with self._captioning:
            return self._batches.run(mels, [1] * len(mels), self._generated)

    def _generated(self, mels: Sequence["torch.Tensor"]) -> list[str]:
        import torch

        loaded = self._loaded
        with self._turn.model():
            tokens = loaded.model.generate(torch.stack(list(mels)).to(loaded.model.bart.device), loaded.generation)
        texts: list[str] = loaded.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]

    def _joined(self, track: Heard, captions: Sequence[str | Refusal]) -> str | Refusal:
        for caption in captions:
            if isinstance(caption, Refusal):
                return Refusal(self.name, track.track_id, caption.reason, caption.detail)
        distinct = dict.fromkeys(caption for caption in captions if isinstance(caption, str) and caption)
        return " ".join(distinct) or Refusal(self.name, track.track_id, "empty_caption", f"{len(captions)} chunks")

    @functools.cached_property
    def _loaded(self) -> Loaded:
        import torch
        from transformers import BartConfig, BartTokenizer

        from resources.networks.lp_musiccaps import BartCaptionModel, generation_of

        settings = self._settings
        path, folder = self._models / settings.checkpoint, self._models / settings.bart
        folder_sha256(folder)  # raises where there is no model's folder
        written = json.loads((folder / "config.json").read_bytes())
        config = BartConfig.from_dict(written)
        tokenizer = BartTokenizer.from_pretrained(folder, local_files_only=True)
        if len(tokenizer) != config.vocab_size:
            raise CheckpointError(
                f"{folder}: a tokenizer of {len(tokenizer)} tokens; config.json says {config.vocab_size}"
            )

        state, sizes = _state(path, settings.sha256)
        with torch.device("meta"):
            model = BartCaptionModel(config, sizes)
        load_strictly(model, state, source=str(path))
        mel_encoder = model.audio_encoder.mel_encoder.float()
        del model.audio_encoder.mel_encoder
        model.eval().to(device_of(self._device), torch.float32)
        model.bart.to(getattr(torch, settings.precision))
        generation = generation_of(written, config, beams=settings.beams, max_tokens=settings.max_tokens)
        return Loaded(model, mel_encoder, tokenizer, generation)


def _state(path: Path, sha256: str) -> tuple[dict[str, "torch.Tensor"], "Sizes"]:
    from resources.networks.lp_musiccaps import sizes_of

    state = pickled_tensors(path, sha256=sha256).get("state_dict")
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: no state_dict in it; expected a checkpoint of LP-MusicCaps")
    if all(key.startswith(PREFIX) for key in state):
        state = {key.removeprefix(PREFIX): tensor for key, tensor in state.items()}
    try:
        return state, sizes_of(state)
    except KeyError as error:
        raise CheckpointError(f"{path}: lacks {error}; expected a checkpoint of LP-MusicCaps") from error


def _mel(mel_encoder: "MelEncoder", chunk_N: Samples) -> "torch.Tensor":
    import torch

    mel_FT: torch.Tensor = mel_encoder(torch.tensor(chunk_N)[None])[0]
    return mel_FT


def _loudness(samples_N: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples_N))))
