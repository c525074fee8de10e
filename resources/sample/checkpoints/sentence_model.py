"""A tiny sentence-transformers folder with random weights: a BERT, its mean, unit length."""

import json
from pathlib import Path

import numpy as np

from resources.sample.checkpoints.nv_embed import random_weights

FOLDER = "sentence-transformers/tiny"
PIECES = ("love", "night", "rain", "slow", "folk", "dance", "guitar", "album", "artist", "the", "and", "of")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MARKS = ".,:;!?'\"()&-"
DIMENSIONS, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 64


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes the folder under `models`; returns the environment that makes a profile use it."""
    folder = models / FOLDER
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*specials, *PIECES, *LETTERS, *MARKS, *(f"##{letter}" for letter in LETTERS), "##s", "##ing", "##ed"]
    vocabulary = list(dict.fromkeys(vocabulary))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    _write_tokenizer(folder, vocabulary)
    for name, content in _texts(len(vocabulary)).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    _write_weights(folder, len(vocabulary), seed)
    return {"MUSIC_SENTENCE_MODEL__FOLDER": FOLDER}


def _write_tokenizer(folder: Path, vocabulary: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece

    ids = {token: position for position, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(vocabulary[:5])
    tokenizer.save(str(folder / "tokenizer.json"))


def _texts(vocabulary: int) -> dict[str, object]:
    module = "sentence_transformers.models"
    return {
        "config.json": {**_bert(vocabulary), "architectures": ["BertModel"], "model_type": "bert"},
        "tokenizer_config.json": {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"},
        "sentence_bert_config.json": {"max_seq_length": POSITIONS, "do_lower_case": False},
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.0.0"}},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"{module}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{module}.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{module}.Normalize"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": DIMENSIONS,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
    }


def _bert(vocabulary: int) -> dict[str, int]:
    return {
        "hidden_size": DIMENSIONS,
        "intermediate_size": INNER,
        "max_position_embeddings": POSITIONS,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "vocab_size": vocabulary,
    }


def _write_weights(folder: Path, vocabulary: int, seed: int) -> None:
    import torch
    from safetensors.numpy import save_file
    from transformers import BertConfig, BertModel

    with torch.device("meta"):
        shapes = {
            key: tuple(value.shape) for key, value in BertModel(BertConfig(**_bert(vocabulary))).state_dict().items()
        }
    rng = np.random.default_rng(seed)
    tensors = {key: random_weights(key, shape, rng) for key, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
