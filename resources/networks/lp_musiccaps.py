"""LP-MusicCaps (Doh et al. 2023) for inference: mel spectrogram, six convolutions, BART.

Modules are named as in the published state dicts (seungheondoh/lp-music-caps), so these load as they are. Read in the
authors' source, not in a checkpoint: that torchaudio's two buffers (`spec_fn.window`, `mel_scale.fb`) are among the
keys. They are used, not computed again. Left out: the loss and nucleus sampling.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

# B batch, N samples, F mel bands, T frames, P positions after the strides, D width

SAMPLE_RATE_HZ = 16_000
HOP = SAMPLE_RATE_HZ // 100
KERNEL = 3
LEAST_POWER = 1e-10  # torchaudio's AmplitudeToDB
MIN_TOKENS = 2  # the start token among them


class Sizes(NamedTuple):
    """What a state dict says of the audio encoder."""

    window: int  # samples
    mels: int
    width: int
    strided: int  # convolutions of stride 2
    positions: int


def sizes_of(state: Mapping[str, Tensor]) -> Sizes:
    """Sizes of the audio encoder in an official state dict. Raises KeyError naming the key that is missing."""
    prefix = "audio_encoder."
    return Sizes(
        window=len(state[f"{prefix}mel_encoder.spec_fn.window"]),
        mels=state[f"{prefix}mel_encoder.mel_scale.fb"].shape[1],
        width=state[f"{prefix}conv1.weight"].shape[0],
        strided=sum(re.fullmatch(rf"{prefix}conv_stack\.\d+\.weight", key) is not None for key in state),
        positions=state[f"{prefix}positional_embedding"].shape[0],
    )


class Constants(nn.Module):
    """One tensor that is saved but not learnt: torchaudio's transforms, by the name of their buffer."""

    def __init__(self, name: str, *shape: int) -> None:
        super().__init__()
        self.register_buffer(name, torch.empty(shape))


class MelEncoder(nn.Module):
    """Decibels of a mel spectrogram."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.spec_fn = Constants("window", sizes.window)
        self.mel_scale = Constants("fb", sizes.window // 2 + 1, sizes.mels)

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Chunks to [B, F, T]: a frame every 10 ms, the first and last around the ends."""
        window = self.spec_fn.get_buffer("window")
        spectrum_BFT = torch.stft(
            samples_BN, len(window), HOP, window=window, center=True, pad_mode="reflect", return_complex=True
        )
        # As trained: the imaginary part is dropped.
        power_BFT = spectrum_BFT.real.square()
        mel_BFT = (power_BFT.transpose(1, 2) @ self.mel_scale.get_buffer("fb")).transpose(1, 2)
        return 10 * mel_BFT.clamp(min=LEAST_POWER).log10()


class AudioEncoder(nn.Module):
    """Convolutions over the frames, then sinusoids of the positions."""

    positional_embedding: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mel_encoder = MelEncoder(sizes)
        self.conv1 = nn.Conv1d(sizes.mels, sizes.width, KERNEL, padding=1)
        self.conv_stack = nn.ModuleList(
            nn.Conv1d(sizes.width, sizes.width, KERNEL, stride=2, padding=1) for _ in range(sizes.strided)
        )
        self.register_buffer("positional_embedding", torch.empty(sizes.positions, sizes.width))

    def forward(self, mel_BFT: Tensor) -> Tensor:
        """Spectrograms to [B, P, D]."""
        hidden_BDT = functional.gelu(self.conv1(mel_BFT))
        for convolution in self.conv_stack:
            hidden_BDT = functional.gelu(convolution(hidden_BDT))
        return hidden_BDT.transpose(1, 2) + self.positional_embedding


class BartCaptionModel(nn.Module):
    """BART that reads the audio encoder's output in place of words."""

    def __init__(self, config: BartConfig, sizes: Sizes) -> None:
        super().__init__()
        self.bart = BartForConditionalGeneration(config)
        self.audio_encoder = AudioEncoder(sizes)

    def generate(self, mel_BFT: Tensor, generation: GenerationConfig) -> Tensor:
        """The best beam's tokens of each spectrogram, [B, at most max_length], padded behind.

        BART may be of fewer bits than the audio encoder: 16 are too few for decibels and positions.
        All inputs are of one length and finished beams are only padded, so that the rows of a batch touch each other
        by rounding alone.
        """
        heard_BPD = self.audio_encoder(mel_BFT).to(self.bart.dtype)
        encoded = self.bart.model.encoder(inputs_embeds=heard_BPD, return_dict=True)
        start_B1 = torch.full((len(mel_BFT), 1), generation.decoder_start_token_id, device=mel_BFT.device)
        tokens: Tensor = self.bart.generate(
            encoder_outputs=encoded, decoder_input_ids=start_B1, generation_config=generation
        )
        return tokens


def generation_of(
    settings: Mapping[str, object], config: BartConfig, *, beams: int, max_tokens: int
) -> GenerationConfig:
    """How the official code searches: beams over what BART's config.json says of generation.

    settings is config.json as written: transformers 5 drops from a BartConfig what is about generation, of BART-base
    that no three tokens repeat, that beams stop early and that a caption opens with the token <s>.
    """
    inherited = (
        "early_stopping",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "no_repeat_ngram_size",
    )
    tokens = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id")
    return GenerationConfig(
        **{name: settings[name] for name in inherited if settings.get(name) is not None},
        **{name: getattr(config, name) for name in tokens},
        num_beams=beams,
        max_length=max_tokens,
        min_length=MIN_TOKENS,
        do_sample=False,
    )
