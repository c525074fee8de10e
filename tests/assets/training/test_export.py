"""Folders of trained models."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.expansion import closing_id, expand_rows, open_base
from assets.training.export import Card, load_model, read_card, save_model
from resources.talkplay_settings import MODALITIES, Recommending, Talkplay

SMALL = Talkplay(hidden_size=16, layers=1, heads=2, feed_forward=24)
CARD = Card(
    variant="full",
    codebook_hash="c0de",
    data={"conversations": "aa11", "continuations": "bb22"},
    settings=SMALL.model_dump(),
    figures={"best_loss": 3.25, "steps": 10},
    base="",
    recommending=Recommending(top_p=0.8),
)
# What a stranger does with the folder: no project on the path, no network.
STRANGER = """
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
        raise OSError("no network here")
sys.addaudithook(refuse)
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
folder = sys.argv[1]
tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
settings = GenerationConfig.from_pretrained(folder)
chat = [{"role": "user", "content": "a calm track"}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
ids = model.generate(**prompt, max_new_tokens=4)
is_longer = ids.shape[1] > prompt["input_ids"].shape[1]
print(tokenizer.decode(prompt["input_ids"][0]), is_longer, len(tokenizer), model.config.vocab_size,
      settings.eos_token_id, settings.top_p, "assets" in sys.modules, sep="|||")
"""


@pytest.fixture(scope="module")
def tokenizer() -> ExpandedTokenizer:
    """Two codes in each modality, and a missing one."""
    vocabulary = Vocabulary(MODALITIES, (2,) * 5)
    return expand_tokenizer(train_tokenizer(["a calm track"], vocabulary_size=270), vocabulary)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: ExpandedTokenizer) -> Path:
    """A saved model."""
    path = tmp_path_factory.mktemp("models") / "full"
    save_model(path, open_base(SMALL, tokenizer, folder=None, seed=7).model, tokenizer, card=CARD)
    return path


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_clean_process_generates_offline(folder: Path, tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """A process without our code opens model, tokenizer and settings, with the network refused."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(folder)],
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    prompt, *facts = done.stdout.strip().split("|||")
    assert prompt.endswith("a calm track<|end_of_turn|><|music|>")
    assert facts == ["True", str(tokenizer.size), str(tokenizer.size), str(closing_id(tokenizer)), "0.8", "False"]


def test_what_was_saved_is_loaded(folder: Path, tokenizer: ExpandedTokenizer) -> None:
    """The same weights, in evaluation mode, with tokenizer, codebooks and variant."""
    loaded = load_model(folder)
    weights = open_base(SMALL, tokenizer, folder=None, seed=7).model.state_dict()
    assert all(torch.equal(loaded.model.state_dict()[name], weight) for name, weight in weights.items())
    assert not loaded.model.training
    assert loaded.tokenizer.content_hash == tokenizer.content_hash
    assert (loaded.codebook_hash, loaded.variant) == ("c0de", "full")


def test_equal_models_give_equal_bytes(folder: Path, tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """Every file, whatever the folder's name."""
    save_model(tmp_path / "again", open_base(SMALL, tokenizer, folder=None, seed=7).model, tokenizer, card=CARD)
    assert digests(tmp_path / "again") == digests(folder)


def test_a_tied_matrix_is_saved_once(folder: Path) -> None:
    """The head has no tensor of its own."""
    with safe_open(folder / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names


def test_generation_is_the_papers(folder: Path, tokenizer: ExpandedTokenizer) -> None:
    """Sampling without transformers' own top 50."""
    settings = json.loads((folder / "generation_config.json").read_text())
    assert settings | {"do_sample": True, "temperature": 1.0, "top_p": 0.8, "top_k": 0} == settings
    assert settings["repetition_penalty"] == 1.0
    assert (settings["eos_token_id"], settings["pad_token_id"]) == (closing_id(tokenizer), tokenizer.pad_id)


def test_the_card_says_hashes_settings_and_losses(folder: Path, tokenizer: ExpandedTokenizer) -> None:
    """After the front matter; `music.json` says the same."""
    card, music = (folder / "README.md").read_text(), read_card(folder)
    assert card.startswith("---\nlibrary_name: transformers\n")
    for value in ("c0de", "aa11", "bb22", tokenizer.content_hash, "| best_loss | 3.25 |", "| hidden_size | 16 |"):
        assert value in card
    assert (music.data, music.figures) == (CARD.data, CARD.figures)
    assert (music.codebook_hash, music.tokenizer_hash) == ("c0de", tokenizer.content_hash)


def test_a_figure_that_is_no_number_is_an_error(tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """It would be null in `music.json`."""
    model = open_base(SMALL, tokenizer, folder=None, seed=7).model
    with pytest.raises(ValueError, match="figures best_loss of full are no numbers"):
        save_model(tmp_path / "x", model, tokenizer, card=CARD._replace(figures={"best_loss": float("nan")}))


def test_a_model_out_of_step_with_its_tokenizer_is_not_saved(tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """Rows padded to a round number would be ids without tokens."""
    model = open_base(SMALL, tokenizer, folder=None, seed=7).model
    expand_rows(model, rows=tokenizer.size + 3, first_id=tokenizer.first_id, seed=7)
    with pytest.raises(ValueError, match=f"wanted {tokenizer.size}, one for each of its tokens"):
        save_model(tmp_path / "x", model, tokenizer, card=CARD)


def test_another_folder_is_no_model_of_ours(tmp_path: Path) -> None:
    """The error says what is missing."""
    with pytest.raises(ValueError, match=r"holds no music\.json"):
        load_model(tmp_path)


def test_another_tokenizer_in_the_folder_is_an_error(tokenizer: ExpandedTokenizer, tmp_path: Path) -> None:
    """Its ids would mean other words than those the model learned."""
    path = tmp_path / "full"
    save_model(path, open_base(SMALL, tokenizer, folder=None, seed=7).model, tokenizer, card=CARD)
    music = json.loads((path / "music.json").read_text()) | {"tokenizer_hash": "0"}
    (path / "music.json").write_text(json.dumps(music))
    with pytest.raises(ValueError, match="its tokenizer is not the one"):
        load_model(path)
