"""MusicFM (Won et al. 2024) for inference: from samples to the latents of any layer of its conformer.

Modules have the official names, so that a published state dict fits. Left out: what only pre-training needs (UNUSED).
Layout and constants as in minzwon/musicfm (musicfm_25hz.py) and transformers' Wav2Vec2ConformerEncoder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

# B chunks, N samples, W frequencies, M mel bins, T frames (100 a second), L latents (25 a second), H hidden size,
# K heads, D numbers a head, C channels

HOP = 240  # samples, at 24 kHz
FLOOR = 1e-10  # power that decibels start from
UNUSED = (r"conformer\.pos_conv_embed\..+", r"linear\..+", r"quantizer_.+", r"cls_token")  # keys, by regular expression

WINDOW = "preprocessor_melspec_2048.mel_stft.spectrogram.window"
FILTERS = "preprocessor_melspec_2048.mel_stft.mel_scale.fb"


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a state dict's shapes say about its network."""

    window: int  # samples
    mels: int
    channels: int  # of the convolutions that reduce the spectrogram
    hidden: int
    inner: int  # of the feed-forward parts
    heads: int
    kernel: int  # latents that a layer's convolution sees at once
    layers: int


OFFICIAL = Sizes(window=2048, mels=128, channels=512, hidden=1024, inner=4096, heads=16, kernel=31, layers=12)


def sizes_of(state: Mapping[str, Tensor]) -> Sizes:
    """The sizes of the network that a state dict is of. Raises KeyError, naming the key, if it is of another model."""
    first = "conformer.layers.0."
    inner, hidden = state[f"{first}ffn1.intermediate_dense.weight"].shape
    layers = {key.split(".")[2] for key in state if key.startswith("conformer.layers.")}
    return Sizes(
        window=len(state[WINDOW]),
        mels=state[FILTERS].shape[1],
        channels=len(state["conv.conv.0.conv1.weight"]),
        hidden=hidden,
        inner=inner,
        heads=hidden // (2 * len(state["conformer.embed_positions.inv_freq"])),
        kernel=state[f"{first}conv_module.depthwise_conv.weight"].shape[2],
        layers=len(layers),
    )


class MusicFM(nn.Module):
    """The network; `mean` and `deviation` are those of the decibels that it was trained on."""

    def __init__(self, sizes: Sizes, *, mean: float = 0.0, deviation: float = 1.0) -> None:
        super().__init__()
        self.sizes = sizes
        self._mean = mean
        self._deviation = deviation
        self.preprocessor_melspec_2048 = MelSpectrogram(sizes)
        self.conv = Reduction(sizes)
        self.conformer = Conformer(sizes)

    def features(self, samples_N: Tensor) -> Tensor:
        """Standardised decibels [M, N // 240]; N must be more than half a window, or ValueError."""
        if len(samples_N) <= self.sizes.window // 2:
            raise ValueError(f"{len(samples_N)} samples; MusicFM needs more than {self.sizes.window // 2}")
        decibels_MT: Tensor = self.preprocessor_melspec_2048(samples_N)
        return (decibels_MT - self._mean) / self._deviation

    def forward(self, features: Sequence[Tensor], *, layer: int) -> list[Tensor]:
        """The latents [ceil(T / 4), H] of each chunk, as if it were alone.

        Layer 0 is what enters the conformer, k leaves its k-th layer, and the last is normalised too. Nothing after
        that layer is computed. Raises ValueError if there is no such layer.
        """
        if not 0 <= layer <= self.sizes.layers:
            raise ValueError(f"layer {layer}; this MusicFM has layers 0 to {self.sizes.layers}")
        # One chunk at a time: three quarters of the work, enough to fill a GPU, and a gigabyte for 30 s in float32.
        reduced = [self.conv(features_MT) for features_MT in features]
        lengths = [len(reduced_LH) for reduced_LH in reduced]
        hidden_BLH = self.conformer(nn.utils.rnn.pad_sequence(reduced, batch_first=True), lengths, layer)
        return [hidden_LH[:length] for hidden_LH, length in zip(hidden_BLH, lengths, strict=True)]


class MelSpectrogram(nn.Module):
    """Decibels of a mel spectrogram, with the checkpoint's own window and filters."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mel_stft = nn.Module()
        self.mel_stft.spectrogram = nn.Module()
        self.mel_stft.spectrogram.register_buffer("window", torch.empty(sizes.window))
        self.mel_stft.mel_scale = nn.Module()
        self.mel_stft.mel_scale.register_buffer("fb", torch.empty(sizes.window // 2 + 1, sizes.mels))

    def forward(self, samples_N: Tensor) -> Tensor:
        """Decibels [M, T]; the last frame is dropped, as the official code does."""
        window = self.get_buffer("mel_stft.spectrogram.window")
        filters_WM = self.get_buffer("mel_stft.mel_scale.fb")
        spectrum_WT = torch.stft(
            samples_N, n_fft=len(window), hop_length=HOP, window=window, pad_mode="reflect", return_complex=True
        )
        power_MT = filters_WM.T @ spectrum_WT.abs().square()
        return 10 * power_MT.clamp(min=FLOOR).log10()[:, :-1]


class Reduction(nn.Module):
    """Four frames become one vector, by two residual blocks of convolutions."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.conv = nn.Sequential(ResidualBlock(1, sizes.channels), ResidualBlock(sizes.channels, sizes.channels))
        self.linear = nn.Linear(sizes.channels * -(-sizes.mels // 4), sizes.hidden)

    def forward(self, features_MT: Tensor) -> Tensor:
        """Vectors [L, H] of one chunk."""
        reduced_CML = self.conv(features_MT[None, None])[0]
        reduced_LH: Tensor = self.linear(reduced_CML.flatten(0, 1).T)
        return reduced_LH


class ResidualBlock(nn.Module):
    """Two convolutions beside a third; halves both axes."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, leaving, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(leaving)
        self.conv2 = nn.Conv2d(leaving, leaving, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(leaving)
        self.conv3 = nn.Conv2d(entering, leaving, 3, stride=2, padding=1)
        self.bn3 = nn.BatchNorm2d(leaving)

    def forward(self, entering_BCMT: Tensor) -> Tensor:
        """[B, entering, M, T] to [B, leaving, ceil(M / 2), ceil(T / 2)]."""
        inner = torch.relu(self.bn1(self.conv1(entering_BCMT)))
        return torch.relu(self.bn2(self.conv2(inner)) + self.bn3(self.conv3(entering_BCMT)))


class Places(NamedTuple):
    """Where latents are: the angles of their rotation, and which of them are no padding (None: all)."""

    cosines_LD: Tensor
    sines_LD: Tensor
    real_BL: Tensor | None


class Conformer(nn.Module):
    """The layers, and the rotary positions that they share."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embed_positions = nn.Module()
        self.embed_positions.register_buffer("inv_freq", torch.empty(sizes.hidden // sizes.heads // 2))
        self.layers = nn.ModuleList(ConformerLayer(sizes) for _ in range(sizes.layers))
        self.layer_norm = nn.LayerNorm(sizes.hidden)

    def forward(self, hidden_BLH: Tensor, lengths: Sequence[int], layer: int) -> Tensor:
        """What leaves the first `layer` layers; `lengths` says how many latents of each chunk are no padding."""
        frequencies = self.embed_positions.get_buffer("inv_freq")
        times_L = torch.arange(hidden_BLH.shape[1], device=hidden_BLH.device)
        angles_LD = (times_L[:, None] * frequencies).repeat(1, 2)
        is_padded = min(lengths) < hidden_BLH.shape[1]
        real_BL = times_L < torch.tensor(lengths, device=times_L.device)[:, None] if is_padded else None
        places = Places(angles_LD.cos(), angles_LD.sin(), real_BL)
        for conformer_layer in self.layers[:layer]:
            hidden_BLH = conformer_layer(hidden_BLH, places)
        return self.layer_norm(hidden_BLH) if layer == len(self.layers) else hidden_BLH


class ConformerLayer(nn.Module):
    """Half a feed-forward part, attention, convolution, and the other half (Gulati et al. 2020)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.ffn1_layer_norm = nn.LayerNorm(sizes.hidden)
        self.ffn1 = FeedForward(sizes)
        self.self_attn_layer_norm = nn.LayerNorm(sizes.hidden)
        self.self_attn = Attention(sizes)
        self.conv_module = Convolution(sizes)
        self.ffn2_layer_norm = nn.LayerNorm(sizes.hidden)
        self.ffn2 = FeedForward(sizes)
        self.final_layer_norm = nn.LayerNorm(sizes.hidden)

    def forward(self, hidden_BLH: Tensor, places: Places) -> Tensor:
        """The layer's output; at padding it means nothing."""
        hidden_BLH = hidden_BLH + 0.5 * self.ffn1(self.ffn1_layer_norm(hidden_BLH))
        hidden_BLH = hidden_BLH + self.self_attn(self.self_attn_layer_norm(hidden_BLH), places)
        hidden_BLH = hidden_BLH + self.conv_module(hidden_BLH, places)
        hidden_BLH = hidden_BLH + 0.5 * self.ffn2(self.ffn2_layer_norm(hidden_BLH))
        output_BLH: Tensor = self.final_layer_norm(hidden_BLH)
        return output_BLH


class FeedForward(nn.Module):
    """Two linear layers around a swish."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(sizes.hidden, sizes.inner)
        self.output_dense = nn.Linear(sizes.inner, sizes.hidden)

    def forward(self, hidden_BLH: Tensor) -> Tensor:
        """[B, L, H] to the same."""
        output_BLH: Tensor = self.output_dense(F.silu(self.intermediate_dense(hidden_BLH)))
        return output_BLH


class Attention(nn.Module):
    """Self-attention that rotates what enters its queries and keys, before their projection (not after, as others)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self._heads = sizes.heads
        self.linear_q = nn.Linear(sizes.hidden, sizes.hidden)
        self.linear_k = nn.Linear(sizes.hidden, sizes.hidden)
        self.linear_v = nn.Linear(sizes.hidden, sizes.hidden)
        self.linear_out = nn.Linear(sizes.hidden, sizes.hidden)

    def forward(self, hidden_BLH: Tensor, places: Places) -> Tensor:
        """[B, L, H] to the same; padding is not attended to."""
        split_BLKD = hidden_BLH.unflatten(-1, (self._heads, -1))
        first, second = split_BLKD.chunk(2, dim=-1)
        turned_BLKD = torch.cat([-second, first], dim=-1)
        rotated_BLKD = split_BLKD * places.cosines_LD[:, None] + turned_BLKD * places.sines_LD[:, None]
        rotated_BLH = rotated_BLKD.flatten(-2).type_as(hidden_BLH)
        attended_BKLD = F.scaled_dot_product_attention(
            self._by_head(self.linear_q(rotated_BLH)),
            self._by_head(self.linear_k(rotated_BLH)),
            self._by_head(self.linear_v(hidden_BLH)),
            attn_mask=None if places.real_BL is None else places.real_BL[:, None, None],
        )
        output_BLH: Tensor = self.linear_out(attended_BKLD.transpose(1, 2).flatten(-2))
        return output_BLH

    def _by_head(self, projected_BLH: Tensor) -> Tensor:
        split_BLKD: Tensor = projected_BLH.unflatten(-1, (self._heads, -1))
        return split_BLKD.transpose(1, 2)


class Convolution(nn.Module):
    """A gated convolution over time, each channel by itself."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        hidden, kernel = sizes.hidden, sizes.kernel
        self.layer_norm = nn.LayerNorm(hidden)
        self.pointwise_conv1 = nn.Conv1d(hidden, 2 * hidden, 1, bias=False)
        self.depthwise_conv = nn.Conv1d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False)
        self.batch_norm = nn.BatchNorm1d(hidden)
        self.pointwise_conv2 = nn.Conv1d(hidden, hidden, 1, bias=False)

    def forward(self, hidden_BLH: Tensor, places: Places) -> Tensor:
        """[B, L, H] to the same."""
        gated_BHL = F.glu(self.pointwise_conv1(self.layer_norm(hidden_BLH).mT), dim=1)
        if places.real_BL is not None:  # zeros, as the convolution itself finds past the end of a chunk alone
            gated_BHL = gated_BHL.masked_fill(~places.real_BL[:, None], 0)
        convolved_BHL = F.silu(self.batch_norm(self.depthwise_conv(gated_BHL)))
        output_BHL: Tensor = self.pointwise_conv2(convolved_BHL)
        return output_BHL.mT
