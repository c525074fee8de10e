"""A trained model as a folder that `from_pretrained` opens: weights, tokenizer, generation settings and a model card.

`music.json` says in machine form what the card says: which tokens and shards the model was trained on, and how.
"""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from assets.shards.tokenizer import ExpandedTokenizer, load_tokenizer, save_tokenizer
from assets.training.expansion import closing_id
from resources.talkplay_settings import Recommending

MUSIC_FILE = "music.json"
NO_BASE = "a Llama with random weights"
FRONT_MATTER = """---
library_name: transformers
pipeline_tag: text-generation
license: other
tags:
  - music
  - conversational-recommendation
---
"""
USE = """## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
chat = [{"role": "user", "content": "a calm track for the evening"}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**prompt, max_new_tokens=16)[0]))
```

The model first writes a track as music tokens and closes the turn; a message of the assistant follows it. Only the
catalog's tokens with this codebook hash say which track is meant.
"""
LICENCES = """## Licences

The weights are derived from the data and models below, as far as the corpus was made with them; their terms go on.
The base model: its own licence (Llama: the Llama community licence). Million Playlist Dataset: research only, no
redistribution. LastFM-1K: non-commercial. NV-Embed-v2 and LP-MusicCaps: CC BY-NC 4.0. MGPHot: no redistribution.
Conversations that a hosted model wrote: its provider's terms.
"""


class Card(NamedTuple):
    """What a model's card says: hashes of the `data` by name, `figures` such as losses, `base` if it began as one."""

    variant: str
    codebook_hash: str
    data: Mapping[str, str]
    settings: Mapping[str, object]
    figures: Mapping[str, float]
    base: str
    recommending: Recommending


class Loaded(NamedTuple):
    """A model in evaluation mode with its tokenizer, the tokens it was trained on, and its variant."""

    model: Any  # PreTrainedModel
    tokenizer: ExpandedTokenizer
    codebook_hash: str
    variant: str


class Music(msgspec.Struct, frozen=True):
    """What `music.json` holds."""

    variant: str
    base: str
    codebook_hash: str
    tokenizer_hash: str
    tokens: int
    parameters: int
    data: dict[str, str]
    settings: dict[str, Any]
    recommending: dict[str, Any]
    figures: dict[str, float]


def save_model(folder: Path, model: Any, tokenizer: ExpandedTokenizer, *, card: Card) -> None:
    """Write the folder, `music.json` last; the same model and card give the same bytes.

    Raises ValueError for a figure that is no number, and for a model without exactly a row for each token.
    """
    unknown = sorted(name for name, figure in card.figures.items() if not isfinite(figure))
    if unknown:
        raise ValueError(f"figures {', '.join(unknown)} of {card.variant} are no numbers; wanted finite ones")
    _check_rows(model, tokenizer, "the model")
    folder.mkdir(parents=True, exist_ok=True)
    music = _music(model, tokenizer, card)
    model.save_pretrained(folder)
    _generation(tokenizer, card.recommending).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    (folder / "README.md").write_text(_readme(music), encoding="utf-8")
    (folder / MUSIC_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(music, order="sorted"), indent=2) + b"\n")


def read_card(folder: Path) -> Music:
    """What a model's folder says of itself, without opening the model; ValueError for a folder that is none."""
    path = folder / MUSIC_FILE
    if not path.is_file():
        raise ValueError(f"{folder} holds no {MUSIC_FILE}; wanted a folder that save_model wrote")
    try:
        return msgspec.json.decode(path.read_bytes(), type=Music)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}; train the model again") from error


def load_model(folder: Path) -> Loaded:
    """The model that `save_model` wrote, float32 on the CPU; ValueError for parts that do not belong together."""
    music = read_card(folder)
    tokenizer = load_tokenizer(folder)
    if tokenizer.content_hash != music.tokenizer_hash:
        raise ValueError(f"{folder}: its tokenizer is not the one that the model was trained with; train it again")
    model = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
    )
    _check_rows(model, tokenizer, str(folder))
    return Loaded(model.eval(), tokenizer, music.codebook_hash, music.variant)


def _check_rows(model: Any, tokenizer: ExpandedTokenizer, source: str) -> None:
    counts = {
        "input rows": len(model.get_input_embeddings().weight),
        "output rows": len(model.get_output_embeddings().weight),
        "rows in the config": model.config.get_text_config().vocab_size,
    }
    wrong = [f"{count} {name}" for name, count in counts.items() if count != tokenizer.size]
    if wrong:
        raise ValueError(f"{source} has {', '.join(wrong)}; wanted {tokenizer.size}, one for each of its tokens")


def _music(model: Any, tokenizer: ExpandedTokenizer, card: Card) -> Music:
    return Music(
        variant=card.variant,
        base=card.base,
        codebook_hash=card.codebook_hash,
        tokenizer_hash=tokenizer.content_hash,
        tokens=tokenizer.size,
        parameters=sum(weight.numel() for weight in model.parameters()),
        data=dict(card.data),
        settings=dict(card.settings),
        recommending=card.recommending.model_dump(),
        figures={name: float(figure) for name, figure in card.figures.items()},
    )


def _generation(tokenizer: ExpandedTokenizer, recommending: Recommending) -> GenerationConfig:
    return GenerationConfig(
        do_sample=True,
        temperature=recommending.temperature,
        top_p=recommending.top_p,
        top_k=0,  # transformers would keep the 50 likeliest
        repetition_penalty=1.0,  # TalkPlay 4.4
        bos_token_id=tokenizer.tokenizer.bos_token_id,
        eos_token_id=closing_id(tokenizer),
        pad_token_id=tokenizer.pad_id,
    )


def _readme(music: Music) -> str:
    hashes = {"tokenizer": music.tokenizer_hash, "codebooks": music.codebook_hash, **music.data}
    counts = {"tokens": f"{music.tokens:,}", "parameters": f"{music.parameters:,}"}
    figures = {name: f"{figure:.6g}" for name, figure in music.figures.items()}
    return (
        f"{FRONT_MATTER}# TalkPlay: {music.variant}\n\n"
        f"{music.base or NO_BASE}, expanded by music tokens and trained on conversations and playlists to recommend "
        "tracks by writing their tokens (TalkPlay, arXiv 2502.13713).\n\n"
        f"{USE}\n{_table('Counts and losses', counts | figures)}\n{_table('Data, as SHA-256', hashes)}\n"
        f"{_table('Settings', music.settings)}\n{_table('Recommending', music.recommending)}\n{LICENCES}"
    )


def _table(title: str, values: Mapping[str, object]) -> str:
    rows = "".join(f"| {name} | {_cell(value)} |\n" for name, value in values.items())
    return f"## {title}\n\n| | |\n| --- | --- |\n{rows}"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
