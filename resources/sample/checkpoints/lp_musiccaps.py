"""A tiny random LP-MusicCaps: BART's folder and a checkpoint with all keys of the official one."""

import json
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from resources.hashing import sha256_of_file

if TYPE_CHECKING:
    import torch

    from resources.networks.lp_musiccaps import BartCaptionModel

CHECKPOINT = "lp-music-caps/tiny.pth"
BART = "facebook/bart-tiny"
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MASK = "<mask>"
TEXT = """
    a bass bright calm drums electric energetic fast female folk gentle guitar heavy jazz loud male mellow of piano
    playing pop rock sad singing slow soft song strings synth the this vocals voice warm with
"""
WORDS = TEXT.split()
SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"  # how byte-level BPE writes a space
WIDTH, HEADS, MELS = 32, 2, 16
WINDOW, STRIDED, POSITIONS = 1024, 5, 32  # the official ones
SPREAD_DB = 10.0  # of music in a mel band
GAIN, HEARING = 2.5, 8.0
NOT_A_WORD, END = -100.0, 2.0  # added to what the decoder says of a token


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes both under `models`; returns the environment that has a profile use them."""
    import torch

    folder = models / BART
    vocabulary = write_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(_config(len(vocabulary)), indent=2))
    checkpoint = models / CHECKPOINT
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 0, "state_dict": _state(vocabulary, seed)}, checkpoint)
    return {
        "MUSIC_LP_MUSICCAPS__CHECKPOINT": CHECKPOINT,
        "MUSIC_LP_MUSICCAPS__SHA256": sha256_of_file(checkpoint),
        "MUSIC_LP_MUSICCAPS__BART": BART,
    }


def write_tokenizer(folder: Path) -> dict[str, int]:
    """A byte-level BPE as RoBERTa's and BART's: vocab.json, merges.txt, tokenizer.json. Returns the vocabulary."""
    from tokenizers import pre_tokenizers
    from transformers import RobertaTokenizer

    # Each word is merged from the left: a merge for each of its prefixes.
    prefixes = [list(accumulate(SPACE + word)) for word in WORDS]
    merges = list(dict.fromkeys(pair for steps in prefixes for pair in pairwise(steps)))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*SPECIALS, *alphabet, *(merged for _, merged in merges), MASK]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    rules = [(left, merged[len(left) :]) for left, merged in merges]

    folder.mkdir(parents=True, exist_ok=True)
    RobertaTokenizer(vocab=vocabulary, merges=rules).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in rules)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return vocabulary


def _config(words: int) -> dict[str, object]:
    """config.json with the fields of facebook/bart-base that the model or its generation reads."""
    sides = {
        f"{side}_{field}": value
        for side in ("encoder", "decoder")
        for field, value in (("layers", 1), ("attention_heads", HEADS), ("ffn_dim", 2 * WIDTH), ("layerdrop", 0.0))
    }
    tokens = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    search = {"forced_bos_token_id": 0, "forced_eos_token_id": 2, "early_stopping": True, "no_repeat_ngram_size": 3}
    return {
        "architectures": ["BartModel"],
        "model_type": "bart",
        "is_encoder_decoder": True,
        "vocab_size": words,
        "max_position_embeddings": 128,
        "d_model": WIDTH,
        "activation_function": "gelu",
        "scale_embedding": False,
        **sides,
        **tokens,
        **search,
        "num_beams": 4,
    }


def _state(vocabulary: dict[str, int], seed: int) -> "dict[str, torch.Tensor]":
    import torch
    from transformers import BartConfig
    from transformers.audio_utils import mel_filter_bank

    from resources.networks.lp_musiccaps import SAMPLE_RATE_HZ, BartCaptionModel, Sizes

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BartConfig.from_dict({**_config(len(vocabulary)), "init_std": WIDTH**-0.5})
        model = BartCaptionModel(config, Sizes(WINDOW, MELS, WIDTH, STRIDED, POSITIONS))
        _tune(model)
    state: dict[str, torch.Tensor] = model.state_dict()
    bands = mel_filter_bank(
        WINDOW // 2 + 1, MELS, min_frequency=0, max_frequency=8000, sampling_rate=SAMPLE_RATE_HZ, mel_scale="htk"
    )
    steps = torch.exp(-torch.arange(WIDTH // 2) * (torch.log(torch.tensor(1e4)) / (WIDTH // 2 - 1)))
    angles = torch.arange(POSITIONS)[:, None] * steps
    # Captions that a person can read: of whole words alone, a dozen of them.
    state["bart.final_logits_bias"].fill_(NOT_A_WORD)
    state["bart.final_logits_bias"][0, [vocabulary[SPACE + word] for word in WORDS]] = 0.0
    state["bart.final_logits_bias"][0, vocabulary["</s>"]] = END
    return {
        **state,
        "audio_encoder.mel_encoder.spec_fn.window": torch.hann_window(WINDOW),
        "audio_encoder.mel_encoder.mel_scale.fb": torch.from_numpy(bands).float(),
        "audio_encoder.positional_embedding": torch.cat([angles.sin(), angles.cos()], dim=1),
    }


def _tune(model: "BartCaptionModel") -> None:
    """Louder weights than a model starts with where it hears: else all that it hears sounds alike."""
    import torch

    first = model.audio_encoder.conv1
    with torch.no_grad():
        for convolution in (first, *model.audio_encoder.conv_stack):
            torch.nn.init.normal_(convolution.weight, std=GAIN * convolution.weight[0].numel() ** -0.5)
            torch.nn.init.zeros_(convolution.bias)
        first.weight /= SPREAD_DB
        for layer in model.bart.model.decoder.layers:
            layer.encoder_attn.out_proj.weight *= HEARING
