"""Lyrics by openai-whisper (Radford et al. 2022): vocal windows of many recordings, transcribed in batches.

Settings as in the best published open recipe for lyrics (Syed et al. 2025, arXiv 2506.15514), but on the mix instead of
separated voices. Whatever was decoded is kept, with its statistics: the profile's filters judge it later.
"""

import math
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from resources.batching import Batches
from resources.checkpoints import CheckpointError, checked_file, load_strictly, pickled_tensors
from resources.model_settings import Whisper
from resources.refusals import Refusal
from resources.torch_turn import Turn, device_of
from resources.transcriber import Recording, Segment, Transcript
from resources.vocal_windows import FRAME, LONGEST, SAMPLE_RATE_HZ, Window, loudness, vocal_windows
from resources.whisper_decoding import Ears, Samples, parsed

if TYPE_CHECKING:
    from whisper.model import ModelDimensions
    from whisper.model import Whisper as Network

# N samples, L languages

HASH_CHARACTERS = 12
LANGUAGE_WINDOWS = 2  # that vote for a recording's language (our choice)
ROUNDS = 6  # decodings of one window, each from where the one before was done (our choice)
LEAST_REST_S = 0.5  # a shorter rest of a window holds no word beside its padding (our choice)

Heard = TypeVar("Heard")


class Checkpoint(NamedTuple):
    """A file and the hash that it must have; `url` is where openai-whisper publishes it."""

    path: Path
    sha256: str
    url: str | None


class Language(NamedTuple):
    """A language's code and its probability; null where it was not detected."""

    code: str
    probability: float | None


class _Part(NamedTuple):
    """Samples `start` to `end` of the recording at `position`."""

    position: int
    start: int
    end: int


class WhisperTranscriber:
    """openai-whisper on the vocal windows of recordings.

    Reasons: not_finite (samples, or the model's probabilities), too_short (less than a frame of 0.13 s), out_of_memory.
    On a CPU windows go one by one: more at once gain nothing there, and so a recording has the same transcript to the
    bit in any company. On a GPU the last bits of a batch depend on its shape; the same recordings in one call have the
    same transcripts.
    """

    sample_rate_hz: int | None = SAMPLE_RATE_HZ

    def __init__(self, settings: Whisper, *, models: Path, turn: Turn, device: str = "auto") -> None:
        if not settings.temperatures:
            raise ValueError("whisper.temperatures: expected at least one, such as 0.0")
        self._settings, self._models, self._turn, self._device = settings, models, turn, device
        self._lock = threading.Lock()

    @cached_property
    def name(self) -> str:
        """The checkpoint's hash and the settings that change transcripts."""
        settings, checkpoint = self._settings, checkpoint_of(self._settings, self._models)
        if not checkpoint.sha256:
            checked_file(checkpoint.path, sha256="")  # says which hash to pin
        return (
            f"openai-whisper {version('openai-whisper')}, {checkpoint.path.stem} "
            f"{checkpoint.sha256[:HASH_CHARACTERS].lower()}, language {settings.language or 'detected'}, "
            f"{settings.beams} beams, temperatures {' '.join(map(str, settings.temperatures))}, "
            f"onset {settings.vocal_onset}, pauses {settings.min_silence_s} s, silent below {settings.silent_rms}, "
            f"{settings.precision}"
        )

    def transcribe(self, recordings: Sequence[Recording]) -> list[Transcript | Refusal]:
        """One result per recording, in order. Raises ConnectionError where a named model cannot be downloaded."""
        gated = [self._gated(recording) for recording in recordings]
        windows = {position: heard for position, heard in enumerate(gated) if isinstance(heard, list)}
        listened = self._listened(recordings, windows) if windows else {}
        return [listened[position] if isinstance(heard, list) else heard for position, heard in enumerate(gated)]

    def _gated(self, recording: Recording) -> Transcript | Refusal | list[Window]:
        """The windows to listen to, or what is known without listening."""
        samples_N, settings = recording.samples_N, self._settings
        if samples_N is None or samples_N.ndim != 1:
            raise ValueError(f"{recording.track_id}: expected mono samples at {SAMPLE_RATE_HZ} Hz")
        if not np.isfinite(samples_N).all():
            return Refusal(self.name, recording.track_id, "not_finite", "samples that are infinite or no numbers")
        if len(samples_N) < FRAME:
            return Refusal(self.name, recording.track_id, "too_short", f"{len(samples_N)} samples")
        if loudness(samples_N) < settings.silent_rms:
            return Transcript((), self.name, "silent")
        windows = vocal_windows(samples_N, onset=settings.vocal_onset, min_silence_s=settings.min_silence_s)
        return windows or Transcript((), self.name, "instrumental")

    def _listened(
        self, recordings: Sequence[Recording], windows: dict[int, list[Window]]
    ) -> dict[int, Transcript | Refusal]:
        with self._lock:
            refused: dict[int, Refusal] = {}
            languages = self._languages(recordings, windows, refused)
            segments = self._segments(recordings, windows, languages, refused)
        made: dict[int, Transcript | Refusal] = {
            position: Transcript((), self.name, "instrumental") for position in windows
        }
        for position, sung in segments.items():
            if sung:
                made[position] = Transcript(tuple(sung), self.name, "sung", *languages[position])
        return made | refused

    def _languages(
        self, recordings: Sequence[Recording], windows: dict[int, list[Window]], refused: dict[int, Refusal]
    ) -> dict[int, Language]:
        """What each recording's most vocal windows are, on average, most likely sung in."""
        codes = self._ears.codes
        if self._settings.language or len(codes) == 1:
            return dict.fromkeys(windows, Language(self._settings.language or codes[0], None))
        parts = [
            _Part(position, window.start, window.end)
            for position, heard in windows.items()
            for window in sorted(heard, key=lambda window: window.vocal_amount, reverse=True)[:LANGUAGE_WINDOWS]
        ]
        votes: dict[int, list[NDArray[np.float64]]] = {}
        for part, vote_L in self._run(recordings, parts, self._ears.languages, refused):
            votes.setdefault(part.position, []).append(vote_L)
        means = {position: np.mean(cast, axis=0) for position, cast in votes.items()}
        return {position: Language(codes[mean_L.argmax()], float(mean_L.max())) for position, mean_L in means.items()}

    def _segments(
        self,
        recordings: Sequence[Recording],
        windows: dict[int, list[Window]],
        languages: dict[int, Language],
        refused: dict[int, Refusal],
    ) -> dict[int, list[Segment]]:
        """What is sung in the windows and, round after round, in what is left of them; in order of time."""
        segments: dict[int, list[Segment]] = {position: [] for position in windows}
        parts = [_Part(position, window.start, window.end) for position, heard in windows.items() for window in heard]
        for _ in range(ROUNDS):
            rests = []
            for code in sorted({language.code for language in languages.values()}):
                alike = [
                    part for part in parts if part.position not in refused and languages[part.position].code == code
                ]
                call = partial(self._ears.attempts, language=code)
                for part, attempt in self._run(recordings, alike, call, refused):
                    if math.isnan(attempt.mean_logprob):  # its text, or that it has none, means nothing
                        track_id, detail = recordings[part.position].track_id, "probabilities that are no numbers"
                        refused[part.position] = Refusal(self.name, track_id, "not_finite", detail)
                        continue
                    start_s, end_s = part.start / SAMPLE_RATE_HZ, part.end / SAMPLE_RATE_HZ
                    made = parsed(attempt, self._ears.tokenizer, start_s=start_s, end_s=end_s)
                    segments[part.position] += made.segments
                    if made.done_s > start_s and end_s - made.done_s >= LEAST_REST_S:
                        rests.append(part._replace(start=round(made.done_s * SAMPLE_RATE_HZ)))
            parts = rests
        return {position: sorted(sung, key=lambda segment: segment[1:3]) for position, sung in segments.items()}

    def _run(
        self,
        recordings: Sequence[Recording],
        parts: Sequence[_Part],
        call: Callable[[list[Samples]], list[Heard]],
        refused: dict[int, Refusal],
    ) -> list[tuple[_Part, Heard]]:
        """What was heard in each part, the longest first; parts that are too much refuse their recording."""
        heard = []
        parts = sorted(parts, key=lambda part: part.start - part.end)  # like lengths are decoded in like many steps
        samples = [_samples(recordings[part.position])[part.start : part.end] for part in parts]
        # All are padded to 30 s: what is too much for one is too much for any.
        outcomes = self._batches.run(samples, [LONGEST] * len(samples), call)
        for part, outcome in zip(parts, outcomes, strict=True):
            if isinstance(outcome, Refusal):
                track_id = recordings[part.position].track_id
                refused[part.position] = outcome._replace(source=self.name, location=track_id)
            else:
                heard.append((part, outcome))
        return heard

    @cached_property
    def _batches(self) -> Batches:
        return Batches(1 if self._ears.network.device.type == "cpu" else self._settings.windows)

    @cached_property
    def _ears(self) -> Ears:
        network = load(checkpoint_of(self._settings, self._models), self._settings.precision)
        ears = Ears(network.to(device_of(self._device)).eval(), self._settings, self._turn)
        if self._settings.language and self._settings.language not in ears.codes:
            raise ValueError(
                f"whisper.language={self._settings.language}: this checkpoint knows {' '.join(ears.codes)}; "
                "leave it empty to detect it"
            )
        return ears


def checkpoint_of(settings: Whisper, models: Path) -> Checkpoint:
    """Which file under `models` the settings mean, with the hash it must have: their own, else the published one."""
    from whisper import _MODELS as PUBLISHED

    if settings.checkpoint not in PUBLISHED:
        return Checkpoint(models / settings.checkpoint, settings.sha256, None)
    url = PUBLISHED[settings.checkpoint]
    *_, sha256, file = url.split("/")
    return Checkpoint(models / "whisper" / file, settings.sha256 or sha256, url)


def load(checkpoint: Checkpoint, precision: str) -> "Network":
    """The network in a file of openai-whisper's form, on the CPU; a named model is downloaded where there is no file.

    Raises CheckpointError where it is another file than the pinned one or not of this form.
    """
    import torch
    from whisper.model import ModelDimensions

    path, sha256, url = checkpoint
    if url and not path.is_file():
        _download(url, path)
    loaded = pickled_tensors(path, sha256=sha256)
    dims, state = loaded.get("dims"), loaded.get("model_state_dict")
    if not isinstance(dims, dict) or not isinstance(state, dict):
        raise CheckpointError(f"{path}: expected dims and model_state_dict, found {', '.join(sorted(loaded))}")
    try:
        network = _without_weights(ModelDimensions(**dims))
    except TypeError as error:
        raise CheckpointError(f"{path}: its dims are not openai-whisper's: {error}") from error
    load_strictly(network, state, source=str(path))
    network.float()  # published in float16
    if precision == "bfloat16":
        for module in network.modules():
            # Layer norms stay: openai-whisper computes them in float32.
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Embedding):
                module.bfloat16()
    return network


def _without_weights(dims: "ModelDimensions") -> "Network":
    """The network on the meta device: no minute is spent on random weights that are replaced."""
    import torch
    from whisper.model import AudioEncoder, TextDecoder
    from whisper.model import Whisper as Network

    network = Network(replace(dims, n_vocab=1, n_audio_layer=0, n_text_layer=0))
    with torch.device("meta"):
        network.encoder = AudioEncoder(
            dims.n_mels, dims.n_audio_ctx, dims.n_audio_state, dims.n_audio_head, dims.n_audio_layer
        )
        decoder = TextDecoder(dims.n_vocab, dims.n_text_ctx, dims.n_text_state, dims.n_text_head, dims.n_text_layer)
    decoder.register_buffer("mask", network.decoder.mask, persistent=False)  # in no checkpoint
    network.decoder, network.dims = decoder, dims
    return network


def _download(url: str, path: Path) -> None:
    """Beside its place first: a file that is there is whole. Its hash is checked on the way."""
    from whisper import _download as fetch

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            fetch(url, folder, in_memory=False)
        except (OSError, RuntimeError) as error:  # the latter: another hash
            raise ConnectionError(f"{path}: no such file, and {path.stem} cannot be downloaded: {error}") from error
        (Path(folder) / path.name).replace(path)


def _samples(recording: Recording) -> Samples:
    return np.asarray(recording.samples_N, dtype=np.float32)
