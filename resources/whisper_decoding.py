"""Windows of sound through openai-whisper's decoder, and its tokens as segments.

As in openai-whisper's own `transcribe` a failed window is decoded again at the next temperature, and what comes after
the last complete segment is decoded again from there. Unlike there many windows are decoded at once, none knows the
text before it, each draws its samples by its own generator, and of attempts that all failed the best counts, not the
last.
"""

import hashlib
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resources.model_settings import Whisper as Settings
from resources.torch_turn import Turn
from resources.transcriber import Segment
from resources.vocal_windows import LONGEST

if TYPE_CHECKING:
    import torch
    from whisper.model import Whisper
    from whisper.tokenizer import Tokenizer

# N samples, B windows, M mel bands, T frames, D states, L tokens so far, V tokens in all,
# S sequences: of each window as many as there are beams

MAX_COMPRESSION_RATIO = 2.4  # these three as openai-whisper
MIN_MEAN_LOGPROB = -1.0
MAX_NO_SPEECH = 0.6
STAMPS_PER_S = 50

Samples = NDArray[np.float32]


class Attempt(NamedTuple):
    """What was decoded of one window at one temperature; the statistics as in openai-whisper."""

    tokens: tuple[int, ...]
    mean_logprob: float
    no_speech_probability: float
    compression_ratio: float
    temperature: float

    @property
    def is_silence(self) -> bool:
        """Whether the model hears no speech and is not sure of what it wrote either."""
        return self.no_speech_probability > MAX_NO_SPEECH and self.mean_logprob < MIN_MEAN_LOGPROB

    @property
    def is_good(self) -> bool:
        """Whether no other temperature need be tried; a statistic that is not a number fails."""
        is_likely = self.mean_logprob >= MIN_MEAN_LOGPROB and self.compression_ratio <= MAX_COMPRESSION_RATIO
        return is_likely or self.is_silence

    @property
    def rank(self) -> tuple[bool, float]:
        """Of failed attempts the highest counts: those that are not repetitive, and of these the likeliest."""
        logprob = -math.inf if math.isnan(self.mean_logprob) else self.mean_logprob
        return self.compression_ratio <= MAX_COMPRESSION_RATIO, logprob


class Parsed(NamedTuple):
    """The segments of a window, and the moment of the recording up to which it is done."""

    segments: list[Segment]
    done_s: float


class Ears:
    """A network with what is needed to listen with it. Not for two threads at once."""

    def __init__(self, network: "Whisper", settings: Settings, turn: Turn) -> None:
        from whisper.tokenizer import get_tokenizer

        self.network, self._settings, self._turn = network, settings, turn
        self.tokenizer = get_tokenizer(network.is_multilingual, num_languages=network.num_languages)
        # Sorted, because openai-whisper has them in the order of a set.
        self.codes = tuple(sorted(self.tokenizer.all_language_codes)) if network.is_multilingual else ("en",)

    def languages(self, windows: Sequence[Samples]) -> list[NDArray[np.float64]]:
        """The probability of each of `codes` in each window, 0 where it is no number."""
        from whisper.decoding import detect_language

        mel_BMT = self._spectrograms(windows)
        with self._turn.model():
            _, found = detect_language(self.network, self._features(mel_BMT), self.tokenizer)
        return [np.nan_to_num([probability[code] for code in self.codes]) for probability in found]

    def attempts(self, windows: Sequence[Samples], *, language: str) -> list[Attempt]:
        """The first good attempt at each window, else the best of the failed ones.

        Beam search at temperature 0, else the likeliest of as many samples, drawn by the window's own generator.
        """
        mel_BMT = self._spectrograms(windows)
        digests = [hashlib.sha256(samples_N.tobytes()).digest() for samples_N in windows]
        tried: list[list[Attempt]] = [[] for _ in windows]
        left = list(range(len(windows)))
        with self._turn.model():
            features_BTD = self._features(mel_BMT)
            for temperature in self._settings.temperatures:
                seeds = [[*digests[position], round(temperature * 1000)] for position in left]
                made = _decoded(self.network, features_BTD[left], seeds, language, self._settings.beams, temperature)
                for position, attempt in zip(left, made, strict=True):
                    tried[position].append(attempt)
                left = [position for position in left if not tried[position][-1].is_good]
                if not left:
                    break
        return [made[-1] if made[-1].is_good else max(made, key=lambda attempt: attempt.rank) for made in tried]

    def _spectrograms(self, windows: Sequence[Samples]) -> "torch.Tensor":
        import torch
        from whisper.audio import log_mel_spectrogram

        padded_BN = np.zeros((len(windows), LONGEST), dtype=np.float32)
        for row_N, samples_N in zip(padded_BN, windows, strict=True):
            row_N[: len(samples_N)] = samples_N
        with self._turn.features():
            # One by one: a spectrogram's floor is relative to its loudest bin.
            return torch.stack([log_mel_spectrogram(row_N, self.network.dims.n_mels) for row_N in padded_BN])

    def _features(self, mel_BMT: "torch.Tensor") -> "torch.Tensor":
        import torch

        numbers = torch.bfloat16 if self._settings.precision == "bfloat16" else torch.float32
        features_BTD: torch.Tensor = self.network.encoder(mel_BMT.to(self.network.device, numbers))
        return features_BTD


def parsed(attempt: Attempt, tokenizer: "Tokenizer", *, start_s: float, end_s: float) -> Parsed:
    """The segments of the window from `start_s` to `end_s` of a recording, and up to where it is done.

    Two time stamps in a row end one segment and begin the next. What follows the last such pair is not done, but where
    a single stamp ends it all nothing more is sung, and nothing in silence (all as openai-whisper). Segments without
    text or length, as behind the window's end, are none.
    """
    tokens, first_stamp = attempt.tokens, tokenizer.timestamp_begin
    is_stamp = [token >= first_stamp for token in tokens]
    cuts = [place for place in range(1, len(tokens)) if is_stamp[place - 1] and is_stamp[place]]
    is_over = not cuts or attempt.is_silence or is_stamp[-2:] == [False, True]
    segments, from_s = [], start_s
    for first, last in pairwise([0, *cuts, len(tokens)] if is_over else [0, *cuts]):
        piece = tokens[first:last]
        stamps_s = [min(end_s, start_s + (token - first_stamp) / STAMPS_PER_S) for token in piece]
        from_s = max(from_s, stamps_s[0]) if any(is_stamp[first : first + 1]) else from_s
        to_s = stamps_s[-1] if len(piece) > 1 and is_stamp[last - 1] else end_s
        text = tokenizer.decode([token for token in piece if token < tokenizer.eot]).strip()
        if text and to_s > from_s:
            segments.append(Segment(text, from_s, to_s, *attempt[1:]))
        from_s = max(from_s, to_s)
    return Parsed(segments, end_s if is_over else from_s)


class _Draws:
    """In place of openai-whisper's decoder above temperature 0, whose draws depend on all windows of a batch."""

    def __init__(self, temperature: float, eot: int, seeds: Sequence[Sequence[int]], beams: int) -> None:
        self._temperature, self._eot, self._beams = temperature, eot, beams
        self._draws = [np.random.default_rng(seed) for seed in seeds]

    def reset(self) -> None:
        """Nothing is kept from one window to the next."""

    def update(
        self, tokens_SL: "torch.Tensor", logits_SV: "torch.Tensor", sum_logprobs_S: "torch.Tensor"
    ) -> "tuple[torch.Tensor, bool]":
        """The sequences with one more token, and whether all have ended; adds up their log-probabilities."""
        import torch

        numbers_S = np.concatenate([draw.random(self._beams) for draw in self._draws])
        # Summed up on the CPU: the order of a sum on a GPU is not always the same.
        probabilities_SV = (logits_SV.float() / self._temperature).softmax(dim=-1).cpu().numpy()
        below_SV = np.cumsum(probabilities_SV, axis=1, dtype=np.float64)
        drawn = [
            np.searchsorted(row, number * row[-1], "right") for row, number in zip(below_SV, numbers_S, strict=True)
        ]
        next_S = torch.tensor(np.minimum(drawn, logits_SV.shape[1] - 1), device=logits_SV.device)
        logprobs_S = logits_SV.float().log_softmax(dim=-1).gather(1, next_S[:, None])[:, 0]
        is_over_S = tokens_SL[:, -1] == self._eot
        sum_logprobs_S += logprobs_S.masked_fill(is_over_S, 0.0)
        next_S = next_S.masked_fill(is_over_S, self._eot)
        return torch.cat([tokens_SL, next_S[:, None]], dim=1), bool((next_S == self._eot).all())

    def finalize(
        self, tokens_BSL: "torch.Tensor", sum_logprobs_BS: "torch.Tensor"
    ) -> "tuple[torch.Tensor, list[list[float]]]":
        """The sequences, each with an end."""
        import torch

        return torch.nn.functional.pad(tokens_BSL, (0, 1), value=self._eot), sum_logprobs_BS.tolist()


def _decoded(
    network: "Whisper",
    features_BTD: "torch.Tensor",
    seeds: Sequence[Sequence[int]],
    language: str,
    beams: int,
    temperature: float,
) -> list[Attempt]:
    from whisper.decoding import DecodingOptions, DecodingTask

    width = {"best_of": beams} if temperature else {"beam_size": beams}
    task = DecodingTask(network, DecodingOptions(language=language, temperature=temperature, fp16=False, **width))
    # 20250625 forgets to repeat the features of several windows for their beams, and refuses bfloat16 ones.
    task._get_audio_features = lambda features_BTD: features_BTD.repeat_interleave(beams, dim=0)
    task._detect_language = lambda features_STD, _: ([language] * (len(features_STD) // beams), None)
    if temperature:
        task.decoder = _Draws(temperature, task.tokenizer.eot, seeds, beams)
    return [
        Attempt(tuple(result.tokens), result.avg_logprob, result.no_speech_prob, result.compression_ratio, temperature)
        for result in task.run(features_BTD)
    ]
