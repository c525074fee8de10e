import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import BartConfig, BartForConditionalGeneration

from resources.checkpoints import load_strictly
from resources.lp_musiccaps_captioner import CHUNK_SAMPLES
from resources.networks.lp_musiccaps import BartCaptionModel, Sizes, generation_of, sizes_of
from resources.sample.checkpoints.lp_musiccaps import BART, CHECKPOINT, write

OFFICIAL = Sizes(window=1024, mels=128, width=768, strided=5, positions=32)
CHUNKS_BN = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, (3, CHUNK_SAMPLES)).astype(np.float32))


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def state(models) -> dict[str, torch.Tensor]:
    """Its state dict."""
    return torch.load(models / CHECKPOINT, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def written(models) -> dict:
    """BART's config.json."""
    return json.loads((models / BART / "config.json").read_bytes())


@pytest.fixture(scope="module")
def model(state, written) -> BartCaptionModel:
    """The tiny model."""
    network = BartCaptionModel(BartConfig.from_dict(written), sizes_of(state)).eval()
    load_strictly(network, state, source="tiny")
    return network


def linear(prefix: str, *, out: int, into: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of one linear layer."""
    return {f"{prefix}.weight": (out, into), f"{prefix}.bias": (out,)}


def norm(prefix: str) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of one layer norm."""
    return {f"{prefix}.weight": (768,), f"{prefix}.bias": (768,)}


def official_keys() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the official state dict: the authors' modules, around BART-base as of transformers 4.26."""
    keys: dict[str, tuple[int, ...]] = {
        "audio_encoder.positional_embedding": (32, 768),
        "audio_encoder.mel_encoder.spec_fn.window": (1024,),
        "audio_encoder.mel_encoder.mel_scale.fb": (513, 128),
        "audio_encoder.conv1.weight": (768, 128, 3),
        "audio_encoder.conv1.bias": (768,),
        "bart.final_logits_bias": (1, 50265),
        "bart.model.shared.weight": (50265, 768),
        "bart.lm_head.weight": (50265, 768),
    }
    for layer in range(5):
        keys |= {f"audio_encoder.conv_stack.{layer}.weight": (768, 768, 3)}
        keys |= {f"audio_encoder.conv_stack.{layer}.bias": (768,)}
    for side, attentions in (("encoder", ["self_attn"]), ("decoder", ["self_attn", "encoder_attn"])):
        prefix = f"bart.model.{side}"
        keys |= {f"{prefix}.embed_tokens.weight": (50265, 768), f"{prefix}.embed_positions.weight": (1026, 768)}
        keys |= norm(f"{prefix}.layernorm_embedding")
        for layer in (f"{prefix}.layers.{number}" for number in range(6)):
            for attention in attentions:
                keys |= norm(f"{layer}.{attention}_layer_norm")
                for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                    keys |= linear(f"{layer}.{attention}.{projection}", out=768, into=768)
            keys |= linear(f"{layer}.fc1", out=3072, into=768) | linear(f"{layer}.fc2", out=768, into=3072)
            keys |= norm(f"{layer}.final_layer_norm")
    return keys


def test_official_keys_and_shapes() -> None:
    """At the official sizes the module has the keys and shapes of the official checkpoint, none more, none less."""
    sides = {f"{side}_{field}": value for side in ("encoder", "decoder") for field, value in
             (("layers", 6), ("attention_heads", 12), ("ffn_dim", 3072))}  # fmt: skip
    with torch.device("meta"):
        network = BartCaptionModel(BartConfig(d_model=768, **sides), OFFICIAL)
    shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    assert shapes == official_keys()
    assert sizes_of(network.state_dict()) == OFFICIAL


def test_the_tiny_checkpoint_has_every_official_key_of_its_layers(state) -> None:
    """But for the layers that it lacks."""
    assert set(state) == {key for key in official_keys() if ".layers." not in key or ".layers.0." in key}


def test_a_missing_key_is_named(state) -> None:
    """Sizes can't be read from a state dict without the first convolution."""
    less = {key: tensor for key, tensor in state.items() if key != "audio_encoder.conv1.weight"}
    with pytest.raises(KeyError, match=r"audio_encoder\.conv1\.weight"):
        sizes_of(less)


def test_spectrogram_against_numpy(model, state) -> None:
    """Frames of 1,024 samples each 160, Hann window, real part squared, mel bands, decibels from -100 on."""
    samples = CHUNKS_BN[0].double().numpy()
    padded = np.pad(samples, 512, mode="reflect")
    frames = np.stack([padded[start : start + 1024] for start in range(0, CHUNK_SAMPLES + 1, 160)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    power = np.fft.rfft(frames * window).real ** 2
    bands = state["audio_encoder.mel_encoder.mel_scale.fb"].double().numpy()
    expected = 10 * np.log10(np.maximum(power @ bands, 1e-10))
    mel = model.audio_encoder.mel_encoder(CHUNKS_BN[:1])[0].T.numpy()
    assert mel.shape == (1001, 16)
    np.testing.assert_allclose(mel, expected, atol=2e-2)


def test_digital_silence_is_at_the_floor(model) -> None:
    """Nothing heard is -100 dB in each band, and finite."""
    assert (model.audio_encoder.mel_encoder(torch.zeros(1, CHUNK_SAMPLES)) == -100).all()


def test_mel_bands_are_torchaudios(state) -> None:
    """Triangles on HTK's mel scale, each of height one: band 8's peak lies at its centre."""
    edges = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 18)
    centre = 700 * (10 ** (edges[9] / 2595) - 1)
    band = state["audio_encoder.mel_encoder.mel_scale.fb"][:, 8].numpy()
    assert abs(np.argmax(band) * 8000 / 512 - centre) <= 8000 / 512
    lower, upper = (700 * (10 ** (edges[number] / 2595) - 1) for number in (8, 10))
    hertz = np.arange(513) * 8000 / 512
    expected = np.clip(np.minimum((hertz - lower) / (centre - lower), (upper - hertz) / (upper - centre)), 0, None)
    np.testing.assert_allclose(band, expected, atol=1e-5)


def embedded(state: dict[str, torch.Tensor], mel_BFT: torch.Tensor) -> torch.Tensor:
    """The audio encoder, written out: six convolutions with exact GELU, then the positions."""
    hidden = mel_BFT
    for name, stride in [("conv1", 1), *((f"conv_stack.{layer}", 2) for layer in range(5))]:
        weight, bias = (state[f"audio_encoder.{name}.{part}"] for part in ("weight", "bias"))
        hidden = functional.conv1d(hidden, weight, bias, stride=stride, padding=1)
        hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))
    return hidden.permute(0, 2, 1) + state["audio_encoder.positional_embedding"]


@torch.inference_mode()
def test_audio_encoder_against_a_written_out_forward(model, state) -> None:
    """1,001 frames become 32 positions, with the numbers of plain convolutions."""
    mels = model.audio_encoder.mel_encoder(CHUNKS_BN)
    found = model.audio_encoder(mels)
    assert found.shape == (3, 32, 32)
    torch.testing.assert_close(found, embedded(state, mels), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_captions_against_transformers_own_bart(model, state, written) -> None:
    """BART alone, given the embeddings and the published settings of its generation, says the same tokens."""
    mels = model.audio_encoder.mel_encoder(CHUNKS_BN)
    config = BartConfig.from_dict(written)
    bart = BartForConditionalGeneration(config).eval()
    bart.load_state_dict({key[5:]: tensor for key, tensor in state.items() if key.startswith("bart.")})
    expected = bart.generate(
        inputs_embeds=embedded(state, mels),
        num_beams=5,
        max_length=40,
        min_length=2,
        early_stopping=True,
        no_repeat_ngram_size=3,
        forced_bos_token_id=0,
        forced_eos_token_id=2,
    )
    found = model.generate(mels, generation_of(written, config, beams=5, max_tokens=40))
    assert found.tolist() == expected.tolist()
    assert (found[:, :2] == torch.tensor([2, 0])).all()  # the start token </s>, then <s>


@torch.inference_mode()
def test_a_row_does_not_depend_on_its_batch(model, written) -> None:
    """Alone or among longer captions, a chunk gets the same tokens."""
    mels = model.audio_encoder.mel_encoder(torch.cat([CHUNKS_BN, 0.01 * CHUNKS_BN]))
    generation = generation_of(written, model.bart.config, beams=5, max_tokens=128)
    together = model.generate(mels, generation)
    assert len({(row != 1).sum().item() for row in together}) > 1  # of several lengths
    for row, mel_FT in zip(together, mels, strict=True):
        alone = model.generate(mel_FT[None], generation)[0]
        assert row[: len(alone)].tolist() == alone.tolist()
        assert (row[len(alone) :] == 1).all()


def test_generation_follows_config_json(written) -> None:
    """What transformers 5 no longer reads from config.json counts; the beams are the caller's, not BART's four."""
    config = BartConfig.from_dict(written)
    generation = generation_of(written, config, beams=5, max_tokens=128)
    assert (generation.no_repeat_ngram_size, generation.early_stopping, generation.forced_bos_token_id) == (3, True, 0)
    assert (generation.num_beams, generation.max_length, generation.min_length) == (5, 128, 2)
    plain = {key: value for key, value in written.items() if key != "no_repeat_ngram_size"}
    assert not generation_of(plain, config, beams=5, max_tokens=128).no_repeat_ngram_size


def test_the_tiny_checkpoint_is_the_same_each_time(models, tmp_path) -> None:
    """Equal seeds give equal bytes, another seed others."""
    again, other = write(tmp_path / "again"), write(tmp_path / "other", seed=8)
    assert (tmp_path / "again" / CHECKPOINT).read_bytes() == (models / CHECKPOINT).read_bytes()
    assert again["MUSIC_LP_MUSICCAPS__SHA256"] != other["MUSIC_LP_MUSICCAPS__SHA256"]
