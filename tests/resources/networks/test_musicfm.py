import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import Wav2Vec2ConformerConfig
from transformers.audio_utils import mel_filter_bank, spectrogram
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoder

from resources.networks.musicfm import OFFICIAL, UNUSED, MusicFM, Sizes, sizes_of
from resources.sample.checkpoints.musicfm import shapes_of, write

MEAN, DEVIATION = 6.5, 18.5
FILTERS = "preprocessor_melspec_2048.mel_stft.mel_scale.fb"
WINDOW = "preprocessor_melspec_2048.mel_stft.spectrogram.window"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The tiny checkpoint's tensors as they lie in its file."""
    models = tmp_path_factory.mktemp("models")
    environment = write(models)
    loaded = torch.load(models / environment["MUSIC_MUSICFM__CHECKPOINT"], weights_only=True)
    return dict(loaded["state_dict"])


@pytest.fixture(scope="module")
def state(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same, without the prefix and in double precision, so that only mistakes differ."""
    return {key.removeprefix("model."): tensor.double() for key, tensor in published.items()}


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor]) -> MusicFM:
    """Our module with those weights."""
    return loaded(state)


def loaded(state: dict[str, Tensor]) -> MusicFM:
    """Our module of the state's own sizes, in double precision."""
    network = MusicFM(sizes_of(state), mean=MEAN, deviation=DEVIATION).double()
    network.load_state_dict({key: state[key] for key in network.state_dict()})
    return network.eval().requires_grad_(requires_grad=False)


def noise(samples: int, seed: int = 0) -> Tensor:
    """Samples of a tenth of full scale."""
    return 0.1 * torch.from_numpy(np.random.default_rng(seed).standard_normal(samples))


def unused(key: str) -> bool:
    """Whether latents need it not."""
    return any(re.fullmatch(pattern, key) for pattern in UNUSED)


def test_official_checkpoint_has_465_tensors_of_the_published_shapes() -> None:
    """The list's count, and those shapes that are written down apart from it."""
    shapes = shapes_of(OFFICIAL)
    assert len(shapes) == 465
    assert sum(key.endswith("num_batches_tracked") for key in shapes) == 18
    expected = {
        WINDOW: (2048,),
        FILTERS: (1025, 128),
        "quantizer_melspec_2048_0.random_projection": (512, 16),
        "quantizer_melspec_2048_0.codebook": (4096, 16),
        "conv.conv.0.conv1.weight": (512, 1, 3, 3),
        "conv.conv.0.conv2.weight": (512, 512, 3, 3),
        "conv.conv.0.conv3.weight": (512, 1, 3, 3),
        "conv.conv.1.conv1.weight": (512, 512, 3, 3),
        "conv.conv.1.conv3.weight": (512, 512, 3, 3),
        "conv.linear.weight": (1024, 16384),
        "conformer.embed_positions.inv_freq": (32,),
        "conformer.pos_conv_embed.conv.weight_g": (1, 1, 128),
        "conformer.pos_conv_embed.conv.weight_v": (1024, 64, 128),
        "conformer.layers.11.ffn1.intermediate_dense.weight": (4096, 1024),
        "conformer.layers.11.self_attn.linear_out.weight": (1024, 1024),
        "conformer.layers.11.conv_module.pointwise_conv1.weight": (2048, 1024, 1),
        "conformer.layers.11.conv_module.depthwise_conv.weight": (1024, 1, 31),
        "linear.weight": (4096, 1024),
        "cls_token": (1024,),
    }
    assert {key: shapes[key] for key in expected} == expected


def test_module_takes_every_official_tensor_but_eight() -> None:
    """At official sizes each tensor of the module has an official key and shape; what is left is named unused."""
    with torch.device("meta"):
        own = {key: tuple(tensor.shape) for key, tensor in MusicFM(OFFICIAL).state_dict().items()}
    shapes = shapes_of(OFFICIAL)
    assert own.items() <= shapes.items()
    left = shapes.keys() - own.keys()
    assert len(left) == 8
    assert all(unused(key) for key in left)
    assert not any(unused(key) for key in own)


def test_official_encoder_has_298_million_parameters() -> None:
    """Twelve layers, the last normalisation and the unused convolution of positions."""
    feed_forward = 2 * 1024 * 4096 + 4096 + 1024
    attention = 4 * (1024 * 1024 + 1024)
    convolution = 2 * 1024 * 1024 + 1024 * 31 + 1024 * 1024 + 2 * (1024 + 1024)
    layer = 2 * feed_forward + attention + convolution + 4 * (1024 + 1024)
    positions = 1024 * 64 * 128 + 128 + 1024
    counted = sum(
        math.prod(shape)
        for key, shape in shapes_of(OFFICIAL).items()
        if key.startswith("conformer.") and not key.endswith(("inv_freq", "mean", "var", "tracked"))
    )
    assert counted == 12 * layer + 2 * 1024 + positions == 298_499_200


@pytest.mark.parametrize(
    "sizes",
    [OFFICIAL, Sizes(window=512, mels=18, channels=4, hidden=24, inner=40, heads=3, kernel=5, layers=2)],
)
def test_sizes_are_those_of_the_shapes(sizes: Sizes) -> None:
    """A state dict of any sizes names them."""
    assert sizes_of({key: torch.empty(shape, device="meta") for key, shape in shapes_of(sizes).items()}) == sizes


def test_foreign_state_dict_is_named_as_such() -> None:
    """The error names the key that is missing."""
    with pytest.raises(KeyError, match=r"conformer\.layers\.0\.ffn1"):
        sizes_of({"weight": torch.zeros(3)})


def test_tiny_checkpoint_is_in_official_form(published: dict[str, Tensor]) -> None:
    """All keys prefixed, counters in float32, the old names of weight normalisation."""
    assert len(published) == 465
    assert published.keys() == {f"model.{key}" for key in shapes_of(OFFICIAL)}
    counters = [tensor for key, tensor in published.items() if key.endswith("num_batches_tracked")]
    assert {(tensor.dtype, tensor.item()) for tensor in counters} == {(torch.float32, 95489.0)}
    assert "model.conformer.pos_conv_embed.conv.weight_g" in published


def test_tiny_checkpoint_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    """Two folders, one hash; another seed, another hash."""
    first, second, other = write(tmp_path / "a"), write(tmp_path / "b"), write(tmp_path / "c", seed=8)
    assert first == second
    assert first["MUSIC_MUSICFM__SHA256"] != other["MUSIC_MUSICFM__SHA256"]


@pytest.mark.parametrize(("samples", "frames", "latents"), [(1025, 4, 1), (1200, 5, 2), (24_239, 100, 25)])
def test_lengths(network: MusicFM, samples: int, frames: int, latents: int) -> None:
    """N // 240 frames, and a latent for every four begun."""
    features = network.features(noise(samples))
    assert features.shape == (16, frames)
    assert network([features], layer=0)[0].shape == (latents, 32)


def test_half_a_window_is_too_short(network: MusicFM) -> None:
    """1,024 samples cannot be mirrored at their ends."""
    with pytest.raises(ValueError, match="1024 samples; MusicFM needs more than 1024"):
        network.features(noise(1024))


@pytest.mark.parametrize("layer", [-1, 13])
def test_layer_must_exist(network: MusicFM, layer: int) -> None:
    """The error says which there are."""
    with pytest.raises(ValueError, match=f"layer {layer}; this MusicFM has layers 0 to 12"):
        network([network.features(noise(2400))], layer=layer)


def test_spectrogram_is_that_of_transformers(network: MusicFM, state: dict[str, Tensor]) -> None:
    """Against its mel filters (HTK, no norm) and spectrogram in decibels, less the last frame."""
    filters = mel_filter_bank(1025, 16, 0.0, 12_000.0, 24_000, norm=None, mel_scale="htk")
    assert np.abs(filters - state[FILTERS].numpy()).max() < 1e-6
    samples = noise(24_000)
    samples[9000:14_000] = 0  # where power is below the floor
    decibels = spectrogram(
        samples.numpy(),
        np.hanning(2049)[:-1],
        frame_length=2048,
        hop_length=240,
        power=2.0,
        mel_filters=filters,
        mel_floor=1e-10,
        log_mel="dB",
        dtype=np.float64,
    )
    ours = network.features(samples).numpy() * DEVIATION + MEAN
    assert ours.min() == -100
    assert ours == pytest.approx(decibels[:, :-1], abs=1e-3)


@pytest.mark.parametrize("layer", range(13))
def test_latents_are_those_of_the_written_out_network(network: MusicFM, state: dict[str, Tensor], layer: int) -> None:
    """Every layer's, from samples on, to 1e-9 in double precision."""
    samples = noise(24_000)
    ours = network([network.features(samples)], layer=layer)[0]
    assert (ours - reference(state, samples, layer)).abs().max() < 1e-9


@pytest.mark.parametrize("layer", range(1, 13))
def test_conformer_is_that_of_transformers(network: MusicFM, state: dict[str, Tensor], layer: int) -> None:
    """What leaves its k-th layer, and its own end for the last; it takes all conformer tensors strictly."""
    theirs = Wav2Vec2ConformerEncoder(
        Wav2Vec2ConformerConfig(
            hidden_size=32,
            intermediate_size=64,
            num_attention_heads=4,
            num_hidden_layers=12,
            hidden_act="swish",
            position_embeddings_type="rotary",
            rotary_embedding_base=10_000,
            conv_depthwise_kernel_size=7,
            layer_norm_eps=1e-5,
            attn_implementation="eager",
        )
    ).double()
    prefix = "conformer."
    theirs.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
    leaving: list[Tensor] = []
    theirs.layers[layer - 1].register_forward_hook(lambda module, entered, left: leaving.append(left))
    entering = network([network.features(noise(24_000))], layer=0)[0][None]
    with torch.no_grad():
        end = theirs.eval()(entering).last_hidden_state
    expected = end if layer == 12 else leaving[0]
    assert (network.conformer(entering, [25], layer) - expected).abs().max() < 1e-9


@pytest.mark.parametrize("layer", [0, 7, 12])
def test_chunk_in_a_batch_is_as_if_alone(network: MusicFM, layer: int) -> None:
    """Longer company changes nothing, down to 1e-12 in double precision."""
    features = [network.features(noise(samples, seed)) for seed, samples in enumerate([24_000, 1025, 9_999, 24_000])]
    together = network(features, layer=layer)
    for chunk, latents in zip(features, together, strict=True):
        assert (latents - network([chunk], layer=layer)[0]).abs().max() < 1e-12


def test_nothing_after_the_layer_is_computed(state: dict[str, Tensor]) -> None:
    """Ten layers that raise do not disturb the second's latents."""
    network = loaded(state)
    features = [network.features(noise(2400))]
    expected = network(features, layer=2)[0]

    def fail(*_: object) -> None:
        raise AssertionError

    for module in (*network.conformer.layers[2:], network.conformer.layer_norm):
        module.register_forward_pre_hook(fail)
    assert torch.equal(network(features, layer=2)[0], expected)
    with pytest.raises(AssertionError):
        network(features, layer=3)


def reference(state: dict[str, Tensor], samples: Tensor, layer: int) -> Tensor:
    """Latents [L, 32] of one recording, by functional calls on the state dict alone."""
    mirrored = functional.pad(samples[None], (1024, 1024), mode="reflect")[0]
    frames = mirrored.unfold(0, 2048, 240) * state[WINDOW]
    power = torch.fft.rfft(frames).abs() ** 2 @ state[FILTERS]
    decibels = 10 * torch.log10(torch.clamp(power, min=1e-10))[:-1]
    image = ((decibels - MEAN) / DEVIATION).T[None, None]
    for block in (0, 1):
        image = reference_block(state, f"conv.conv.{block}.", image)
    _, channels, mels, times = image.shape
    hidden = image.permute(0, 3, 1, 2).reshape(times, channels * mels)
    hidden = hidden @ state["conv.linear.weight"].T + state["conv.linear.bias"]
    for number in range(layer):
        hidden = reference_layer(state, f"conformer.layers.{number}.", hidden)
    return norm(state, "conformer.layer_norm", hidden) if layer == 12 else hidden


def reference_block(state: dict[str, Tensor], name: str, image: Tensor) -> Tensor:
    """One residual block of convolutions."""

    def part(number: int, entering: Tensor, stride: int) -> Tensor:
        weight, bias = state[f"{name}conv{number}.weight"], state[f"{name}conv{number}.bias"]
        return batch_norm(state, f"{name}bn{number}", functional.conv2d(entering, weight, bias, stride, 1))

    inner = part(2, part(1, image, 2).clamp(min=0), 1)
    return (inner + part(3, image, 2)).clamp(min=0)


def reference_layer(state: dict[str, Tensor], name: str, hidden: Tensor) -> Tensor:
    """One conformer layer."""

    def linear(part: str, entering: Tensor) -> Tensor:
        return entering @ state[f"{name}{part}.weight"].T + state[f"{name}{part}.bias"]

    def feed_forward(part: str) -> Tensor:
        inner = linear(f"{part}.intermediate_dense", norm(state, f"{name}{part}_layer_norm", hidden))
        return 0.5 * linear(f"{part}.output_dense", inner * torch.sigmoid(inner))

    hidden = hidden + feed_forward("ffn1")

    plain = norm(state, f"{name}self_attn_layer_norm", hidden)
    rotated = rotate(state["conformer.embed_positions.inv_freq"], plain)
    queries, keys = linear("self_attn.linear_q", rotated), linear("self_attn.linear_k", rotated)
    values = linear("self_attn.linear_v", plain)
    heads = [
        torch.softmax(queries[:, part] @ keys[:, part].T / math.sqrt(8), dim=-1) @ values[:, part]
        for part in (slice(start, start + 8) for start in range(0, 32, 8))
    ]
    hidden = hidden + linear("self_attn.linear_out", torch.cat(heads, dim=1))

    module = f"{name}conv_module."
    doubled = state[f"{module}pointwise_conv1.weight"][:, :, 0] @ norm(state, f"{module}layer_norm", hidden).T
    gated = doubled[:32] * torch.sigmoid(doubled[32:])
    seen = functional.pad(gated, (3, 3)).unfold(1, 7, 1)
    mixed = torch.einsum("clk,ck->cl", seen, state[f"{module}depthwise_conv.weight"][:, 0])
    mixed = batch_norm(state, f"{module}batch_norm", mixed[None])[0]
    hidden = hidden + (state[f"{module}pointwise_conv2.weight"][:, :, 0] @ (mixed * torch.sigmoid(mixed))).T

    hidden = hidden + feed_forward("ffn2")
    return norm(state, f"{name}final_layer_norm", hidden)


def rotate(frequencies: Tensor, hidden: Tensor) -> Tensor:
    """Pairs (i, i + 4) of each head's 8 numbers, turned by time times frequency."""
    angles = torch.arange(len(hidden))[:, None] * frequencies
    parts = []
    for start in range(0, 32, 8):
        first, second = hidden[:, start : start + 4], hidden[:, start + 4 : start + 8]
        parts.append(first * angles.cos() - second * angles.sin())
        parts.append(second * angles.cos() + first * angles.sin())
    return torch.cat(parts, dim=1)


def norm(state: dict[str, Tensor], name: str, entering: Tensor) -> Tensor:
    """Layer normalisation over the last axis."""
    centred = entering - entering.mean(dim=-1, keepdim=True)
    deviation = (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
    return centred / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]


def batch_norm(state: dict[str, Tensor], name: str, entering: Tensor) -> Tensor:
    """Normalisation by the running statistics, over the second axis."""
    shape = (1, -1) + (1,) * (entering.ndim - 2)
    mean, var, weight, bias = (
        state[f"{name}.{part}"].reshape(shape) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (entering - mean) / (var + 1e-5).sqrt() * weight + bias
