"""A tiny NV-Embed-v2 with random weights: every file, key and config field of the published folder that is read."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = "nvidia/NV-Embed-v2-tiny"
SHARDS = 2
WORDS = ("the", "and", "of", "you", "love", "night", "rain", "slow", "folk", "dance", "guitar", "album", "artist")
CHARACTERS = "▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;!?'\"()&-"


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes the folder under `models`; returns the environment that makes a profile use it."""
    folder = models / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in _texts(tokenizer.get_vocab_size()).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    _write_shards(folder, seed)
    return {"MUSIC_NV_EMBED__FOLDER": FOLDER}


def _tokenizer() -> "Tokenizer":
    """BPE with byte fallback, in the parts that Mistral's has."""
    from tokenizers import Tokenizer, decoders, normalizers, processors
    from tokenizers.models import BPE

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *CHARACTERS]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(1, len(word) + 1):
            merge = ("▁" + word[: end - 1], word[end - 1])
            if merge not in merges:
                merges.append(merge)
                tokens.append("".join(merge))
    ids = {token: position for position, token in enumerate(tokens)}
    tokenizer = Tokenizer(BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))  # noqa: S106
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def _texts(vocabulary: int) -> dict[str, dict[str, object]]:
    text_config = {
        "architectures": ["MistralModel"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "max_position_embeddings": 32768,
        "model_type": "bidir_mistral",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": vocabulary,
    }
    latent_attention_config = {
        "cross_dim_head": 16,
        "hidden_dim": 32,
        "latent_dim": 32,
        "model_type": "latent_attention",
        "mult": 4,
        "num_cross_heads": 2,
        "num_latents_value": 8,
        "output_normalize": True,
    }
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return {
        "config.json": {
            "add_eos": True,
            "add_pad_token": True,
            "architectures": ["NVEmbedModel"],
            "hidden_size": 32,
            "is_mask_instruction": True,
            "latent_attention_config": latent_attention_config,
            "mask_type": "b",
            "model_type": "nvembed",
            "padding_side": "right",
            "text_config": text_config,
            "torch_dtype": "float16",
        },
        "special_tokens_map.json": {**special},
        "tokenizer_config.json": {
            **special,
            "add_bos_token": True,
            "add_eos_token": False,
            "legacy": True,
            "tokenizer_class": "LlamaTokenizer",
        },
    }


def _write_shards(folder: Path, seed: int) -> None:
    import msgspec
    import torch
    from safetensors.numpy import save_file

    from resources.networks.nv_embed import NVEmbed, NVEmbedConfig

    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=NVEmbedConfig)
    with torch.device("meta"):
        shapes = {key: tuple(tensor.shape) for key, tensor in NVEmbed(config).state_dict().items()}
    rng = np.random.default_rng(seed)
    tensors = {key: random_weights(key, shape, rng).astype(np.float16) for key, shape in shapes.items()}
    places: dict[str, str] = {}
    keys = list(tensors)
    for shard in range(SHARDS):
        name = f"model-{shard + 1:05d}-of-{SHARDS:05d}.safetensors"
        held = keys[shard * len(keys) // SHARDS : (shard + 1) * len(keys) // SHARDS]
        save_file({key: tensors[key] for key in held}, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(held, name)
    total = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def random_weights(key: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Weights that keep a signal's size: norms near 1, biases near 0, matrices by their number of columns."""
    drawn = rng.standard_normal(shape)
    if len(shape) == 1:
        return (key.endswith("weight") + 0.1 * drawn).astype(np.float32)
    is_looked_up = key.endswith(("embed_tokens.weight", "_embeddings.weight", "latents"))
    return (drawn if is_looked_up else drawn / np.sqrt(shape[1])).astype(np.float32)
