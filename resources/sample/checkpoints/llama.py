"""A tiny Llama-3.2 with random weights, which TalkPlay expands: every file of the published folder that is read."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resources.sample.checkpoints.nv_embed import random_weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = "meta-llama/Llama-3.2-tiny-Instruct"
RESERVED = 8  # of 248 that the published vocabulary has
SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    *(f"<|reserved_special_token_{number}|>" for number in range(RESERVED)),
)
WORDS = ("track", "music", "the", "and", "you", "song", "something", "playlist")
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
TRAINING = {"STEPS": "4", "WARMUP_STEPS": "1", "EVALUATE_EVERY": "2", "CHECKPOINT_EVERY": "2", "DEVICES": "1"}


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes the folder under `models`; returns the environment that makes a profile use it, for a few steps."""
    folder = models / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in _texts(tokenizer).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    _write_weights(folder, seed)
    few = {f"MUSIC_TALKPLAY__{name}": value for name, value in {**TRAINING, "ROWS": "4", "ROWS_AT_ONCE": "4"}.items()}
    return {"MUSIC_TALKPLAY__MODEL": FOLDER, "MUSIC_SHARDS__TOKENIZER": FOLDER, **few}


def _tokenizer() -> "Tokenizer":
    """Byte-level BPE that cuts words as Llama 3's does, its control tokens last."""
    from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE

    tokens = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        for end in range(2, len(word) + 1):
            if word[:end] not in tokens:
                merges.append((word[: end - 1], word[end - 1]))
                tokens.append(word[:end])
    tokenizer = Tokenizer(BPE({token: place for place, token in enumerate(tokens)}, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def _texts(tokenizer: "Tokenizer") -> dict[str, dict[str, object]]:
    ids = tokenizer.get_vocab()
    begin, end = ids["<|begin_of_text|>"], ids["<|eot_id|>"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": begin,
        "eos_token_id": [ids["<|end_of_text|>"], end],
        "head_dim": 8,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": len(ids),
    }
    return {
        "config.json": config,
        "generation_config.json": {
            "bos_token_id": begin,
            "do_sample": True,
            "eos_token_id": [ids["<|end_of_text|>"], end],
            "temperature": 0.6,
            "top_p": 0.9,
        },
        "tokenizer_config.json": {
            "bos_token": "<|begin_of_text|>",
            "chat_template": TEMPLATE,
            "clean_up_tokenization_spaces": True,
            "eos_token": "<|eot_id|>",
            "model_max_length": 131072,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    }


def _write_weights(folder: Path, seed: int) -> None:
    import torch
    from safetensors.numpy import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = json.loads((folder / "config.json").read_text())
    with torch.device("meta"):
        network = LlamaForCausalLM(LlamaConfig(**settings))
    # The published file has no head: it is the embeddings' matrix.
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items() if key != "lm_head.weight"}
    rng = np.random.default_rng(seed)
    tensors = {key: random_weights(key, shape, rng) for key, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
