"""A tiny Qwen2.5 chat model with random weights: every file of the published folder that is read."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resources.sample.checkpoints.nv_embed import random_weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = "Qwen/Qwen2.5-tiny-Instruct"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PLAIN = ("<tool_call>", "</tool_call>")  # added, but not special: as in Qwen2.5
WORDS = ("query", "track", "title", "artist", "turns", "response", "music", "the", "and", "you", "null", "true")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes the folder under `models`; returns the environment that makes a profile use it."""
    folder = models / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in _texts(tokenizer.get_vocab_size()).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    _write_weights(folder, seed)
    # Random weights never end a reply by themselves.
    return {"MUSIC_CHAT_MODEL__FOLDER": FOLDER, "MUSIC_ANSWERS__MAX_OUTPUT_TOKENS": "8"}


def _tokenizer() -> "Tokenizer":
    """Byte-level BPE, in the parts that Qwen2's has."""
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                merges.append((word[: end - 1], word[end - 1]))
                tokens.append(word[:end])
    tokenizer = Tokenizer(BPE({token: place for place, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in PLAIN])
    return tokenizer


def _texts(vocabulary: int) -> dict[str, dict[str, object]]:
    first = vocabulary - len(SPECIAL) - len(PLAIN)
    end, pad = first + SPECIAL.index("<|im_end|>"), first
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": pad,
        "eos_token_id": end,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "max_position_embeddings": 32768,
        "max_window_layers": 2,
        "model_type": "qwen2",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": vocabulary,
    }
    return {
        "config.json": config,
        "generation_config.json": {
            "bos_token_id": pad,
            "do_sample": True,
            "eos_token_id": [end, pad],
            "pad_token_id": pad,
            "repetition_penalty": 1.05,
            "temperature": 0.7,
            "top_k": 20,
            "top_p": 0.8,
        },
        "tokenizer_config.json": {
            "add_bos_token": False,
            "additional_special_tokens": list(SPECIAL[1:]),
            "chat_template": TEMPLATE,
            "eos_token": SPECIAL[2],
            "model_max_length": 131072,
            "pad_token": SPECIAL[0],
            "tokenizer_class": "Qwen2Tokenizer",
        },
    }


def _write_weights(folder: Path, seed: int) -> None:
    import torch
    from safetensors.numpy import save_file
    from transformers import Qwen2Config, Qwen2ForCausalLM

    settings = json.loads((folder / "config.json").read_text())
    with torch.device("meta"):
        network = Qwen2ForCausalLM(Qwen2Config(**settings))
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    rng = np.random.default_rng(seed)
    tensors = {key: random_weights(key, shape, rng) for key, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
