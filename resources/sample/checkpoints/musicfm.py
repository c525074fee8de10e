"""A tiny MusicFM of random weights, as the official one is published: prefixed keys, old names, odd counters."""

import json
import math
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resources.hashing import sha256_of_file

if TYPE_CHECKING:
    from resources.networks.musicfm import Sizes

CHECKPOINT = "musicfm/tiny.pt"
STATS = "musicfm/tiny_stats.json"
DECIBELS = {"melspec_2048_cnt": 1000, "melspec_2048_mean": 6.5, "melspec_2048_std": 18.5}
COUNTER = 95_489.0  # float32, as found in the official checkpoint
RATE_HZ = 24_000
ROTARY_BASE = 10_000
CODES, CODE_SIZE, STACKED = 4096, 16, 4  # of the quantizer of pre-training
POSITIONS, POSITION_GROUPS = 128, 16  # of an unused convolution


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes checkpoint and statistics under `models`; returns the environment that makes the profile use them."""
    import torch

    from resources.networks.musicfm import Sizes

    sizes = Sizes(window=2048, mels=16, channels=8, hidden=32, inner=64, heads=4, kernel=7, layers=12)
    generator = np.random.default_rng(seed)
    state = OrderedDict(
        (f"model.{key}", torch.from_numpy(_values(key, shape, generator).astype(np.float32)))
        for key, shape in shapes_of(sizes).items()
    )
    checkpoint, stats = models / CHECKPOINT, models / STATS
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state}, checkpoint)
    stats.write_text(json.dumps(DECIBELS))
    return {
        "MUSIC_MUSICFM__CHECKPOINT": CHECKPOINT,
        "MUSIC_MUSICFM__SHA256": sha256_of_file(checkpoint),
        "MUSIC_MUSICFM__STATS": STATS,
    }


def shapes_of(sizes: "Sizes") -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor that a published checkpoint of these sizes holds, without the prefix."""
    hidden, frequencies = sizes.hidden, sizes.window // 2 + 1
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (hidden,),
        "preprocessor_melspec_2048.mel_stft.spectrogram.window": (sizes.window,),
        "preprocessor_melspec_2048.mel_stft.mel_scale.fb": (frequencies, sizes.mels),
        "quantizer_melspec_2048_0.random_projection": (STACKED * sizes.mels, CODE_SIZE),
        "quantizer_melspec_2048_0.codebook": (CODES, CODE_SIZE),
    }
    for block, entering in enumerate((1, sizes.channels)):
        for part, channels in ((1, entering), (2, sizes.channels), (3, entering)):
            shapes[f"conv.conv.{block}.conv{part}.weight"] = (sizes.channels, channels, 3, 3)
            shapes[f"conv.conv.{block}.conv{part}.bias"] = (sizes.channels,)
            shapes |= _batch_norm(f"conv.conv.{block}.bn{part}", sizes.channels)
    shapes |= _linear("conv.linear", sizes.channels * math.ceil(sizes.mels / 4), hidden)
    shapes |= {
        "conformer.embed_positions.inv_freq": (hidden // sizes.heads // 2,),
        "conformer.pos_conv_embed.conv.bias": (hidden,),
        "conformer.pos_conv_embed.conv.weight_g": (1, 1, POSITIONS),
        "conformer.pos_conv_embed.conv.weight_v": (hidden, hidden // POSITION_GROUPS, POSITIONS),
    }
    shapes |= _layer_norm("conformer.layer_norm", hidden)
    for layer in range(sizes.layers):
        shapes |= _layer(f"conformer.layers.{layer}", sizes)
    return shapes | _linear("linear", hidden, CODES)


def _layer(name: str, sizes: "Sizes") -> dict[str, tuple[int, ...]]:
    hidden, inner = sizes.hidden, sizes.inner
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in ("ffn1_layer_norm", "self_attn_layer_norm", "conv_module.layer_norm", "ffn2_layer_norm"):
        shapes |= _layer_norm(f"{name}.{norm}", hidden)
    for part in ("ffn1", "ffn2"):
        shapes |= _linear(f"{name}.{part}.intermediate_dense", hidden, inner)
        shapes |= _linear(f"{name}.{part}.output_dense", inner, hidden)
    for part in ("q", "k", "v", "out"):
        shapes |= _linear(f"{name}.self_attn.linear_{part}", hidden, hidden)
    shapes |= {
        f"{name}.conv_module.pointwise_conv1.weight": (2 * hidden, hidden, 1),
        f"{name}.conv_module.depthwise_conv.weight": (hidden, 1, sizes.kernel),
        f"{name}.conv_module.pointwise_conv2.weight": (hidden, hidden, 1),
    }
    shapes |= _batch_norm(f"{name}.conv_module.batch_norm", hidden)
    return shapes | _layer_norm(f"{name}.final_layer_norm", hidden)


def _linear(name: str, entering: int, leaving: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (leaving, entering), f"{name}.bias": (leaving,)}


def _layer_norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def _batch_norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    vectors: dict[str, tuple[int, ...]] = {
        f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")
    }
    return vectors | {f"{name}.num_batches_tracked": ()}


def _values(key: str, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.floating]:
    """What the front end and the positions need is exact; the rest is random, near what training leaves."""
    part = key.rsplit(".", 1)[-1]
    if part == "window":
        return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(shape[0]) / shape[0])
    if part == "fb":
        return _mel_filters(*shape)
    if part == "inv_freq":
        return ROTARY_BASE ** -(np.arange(shape[0]) / shape[0])
    if part == "num_batches_tracked":
        return np.array(COUNTER)
    noise = generator.standard_normal(shape)
    if part in ("running_var", "weight_g") or (part == "weight" and len(shape) == 1):
        return 1 + 0.1 * np.tanh(noise)
    return noise / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.1 * noise


def _mel_filters(frequencies: int, mels: int) -> NDArray[np.floating]:
    """Triangles [frequencies, mels] between points that lie evenly on the HTK scale, from 0 Hz to half the rate."""
    hertz = np.linspace(0, RATE_HZ / 2, frequencies)
    top_mel = 2595 * math.log10(1 + RATE_HZ / 2 / 700)
    points_hz = 700 * (10 ** (np.linspace(0, top_mel, mels + 2) / 2595) - 1)
    rising = (hertz[:, None] - points_hz[:-2]) / np.diff(points_hz)[:-1]
    falling = (points_hz[2:] - hertz[:, None]) / np.diff(points_hz)[1:]
    filters: NDArray[np.floating] = np.maximum(0, np.minimum(rising, falling))
    return filters
