"""A tiny random CLAP, saved as transformers saves one: the official fields and keys, fewer and smaller layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from resources.sample.checkpoints.lp_musiccaps import write_tokenizer

if TYPE_CHECKING:
    import torch

FOLDER = "laion/tiny_clap"
DIMENSIONS = 24
WIDTH = 32
FIRST_WIDTH = 8  # of the audio tower; doubled by each of its four stages


def write(models: Path, *, seed: int = 7) -> dict[str, str]:
    """Writes the folder under `models`; returns the environment that has a profile use it."""
    import torch
    from safetensors.torch import save_file
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    folder = models / FOLDER
    vocabulary = write_tokenizer(folder)
    # As laion/larger_clap_music_and_speech: a window of 10 s at 48 kHz, repeated where a recording is shorter.
    ClapFeatureExtractor(
        frequency_min=50, frequency_max=14_000, truncation="rand_trunc", padding="repeatpad"
    ).save_pretrained(folder)
    text = {
        "vocab_size": len(vocabulary),
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": 66,
    }
    audio = {
        "patch_embeds_hidden_size": FIRST_WIDTH,
        "hidden_size": 8 * FIRST_WIDTH,
        "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 2, 2, 2],
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=DIMENSIONS))
        _spread(model)
    model.config.architectures = ["ClapModel"]
    model.config.save_pretrained(folder)
    state = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return {"MUSIC_CLAP__FOLDER": FOLDER}


def _spread(model: "torch.nn.Module") -> None:
    """Larger weights than a model starts with: else all that it hears sounds alike."""
    import torch

    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
