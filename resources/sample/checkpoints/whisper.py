"""A tiny random Whisper in openai-whisper's file format: it writes words that nobody sang, a line or two a window."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# L positions, V tokens, D states

FILE = "whisper/tiny-random.pt"
DIMS = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 64,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_vocab": 51_865,  # multilingual, 99 languages
    "n_text_ctx": 448,
    "n_text_state": 64,
    "n_text_head": 2,
    "n_text_layer": 1,
}
# The first tokens are the commonest; those with a space and three letters or more are words.
COMMON = 6_000
LEAST_LETTERS = 3
END = 50_257
# Scales by which the network is sure of itself, listens, does not repeat itself and ends after some words.
RARE = 0.3  # tokens that are no words
LOUD = 6.0  # sound against its position
LISTEN = 6.0  # how sharply the decoder attends to single moments of sound
HEED = 8.0  # what they add
MIX = 8.0  # what the perceptron adds
PLACE = 3.0  # a token's position against the token
END_WEIGHT = 8.0
END_PER_TOKEN = 1.4


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes the checkpoint under `models`; returns the environment with which the profile uses it."""
    import torch
    from whisper.model import ModelDimensions, Whisper

    from resources.hashing import sha256_of_file

    state = Whisper(ModelDimensions(**DIMS)).state_dict()
    random = torch.Generator().manual_seed(seed)
    for key, values in sorted(state.items()):
        if "ln" in key:
            values.fill_(float(key.endswith("weight")))
        elif key.endswith("bias"):
            values.zero_()
        elif key.startswith("decoder") and "embedding" in key:
            values.normal_(generator=random)
        elif key != "encoder.positional_embedding":
            values.normal_(generator=random).mul_(values[0].numel() ** -0.5)
    _tune(state, torch.nn.functional.normalize(torch.randn(DIMS["n_text_state"], generator=random), dim=0))
    path = models / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"dims": DIMS, "model_state_dict": state}, path)
    return {"MUSIC_WHISPER__CHECKPOINT": FILE, "MUSIC_WHISPER__SHA256": sha256_of_file(path)}


def _tune(state: "dict[str, torch.Tensor]", end_D: "torch.Tensor") -> None:
    """Words are likelier than other tokens; token by token the text moves into the direction of its end, which nothing
    else in the network heeds.
    """
    import torch
    from whisper.tokenizer import get_tokenizer

    tokens_VD, places_LD = state["decoder.token_embedding.weight"], state["decoder.positional_embedding"]
    written = [get_tokenizer(multilingual=True).decode([token]) for token in range(END)]
    is_word = [
        token < COMMON and len(text) > LEAST_LETTERS and text[0] == " " and text[1:].isalpha() and text.isascii()
        for token, text in enumerate(written)
    ]
    tokens_VD[:END][~torch.tensor(is_word)] *= RARE
    tokens_VD[END] = END_WEIGHT * end_D
    places_LD *= PLACE
    places_LD += END_PER_TOKEN * torch.arange(len(places_LD))[:, None] * end_D
    layer = "decoder.blocks.0."
    for name in ("mlp.0", "attn.query", "attn.key", "attn.value", "cross_attn.query"):
        weights = state[f"{layer}{name}.weight"]
        weights -= torch.outer(weights @ end_D, end_D)
    state["encoder.conv1.weight"] *= LOUD
    state["encoder.conv2.weight"] *= LOUD
    state[f"{layer}cross_attn.query.weight"] *= LISTEN
    state[f"{layer}cross_attn.out.weight"] *= HEED
    state[f"{layer}mlp.2.weight"] *= MIX
