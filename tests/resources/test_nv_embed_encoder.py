import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from resources.checkpoints import CheckpointError
from resources.hashing import sha256_of_folder
from resources.model_settings import NVEmbed
from resources.nv_embed_encoder import NVEmbedEncoder
from resources.profile import chosen_profile
from resources.refusals import Refusal
from resources.sample.checkpoints.nv_embed import write
from resources.text_encoder import Vector
from resources.torch_turn import Turn

TEXTS = ["the rain", "slow folk and dance of the night", "Ünïcode \U0001f525\U0001f3b8 ひかり", "x", "guitar " * 40]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


def encoder(models: Path, **changed: object) -> NVEmbedEncoder:
    """The tiny model in float32, with changed settings."""
    settings = {"folder": "nvidia/NV-Embed-v2-tiny", "precision": "float32", **changed}
    return NVEmbedEncoder(NVEmbed(**settings), models=models, turn=Turn(), device="cpu")


def vectors(results: list[Vector | Refusal]) -> np.ndarray:
    """All results, none refused."""
    assert not any(isinstance(result, Refusal) for result in results)
    return np.array(results)


def model_folder(models: Path) -> Path:
    """Where a fresh copy of the model is, to be damaged."""
    return models / write(models)["MUSIC_NV_EMBED__FOLDER"]


def test_vectors_have_unit_length_and_the_stated_size(models: Path) -> None:
    """Each is float32, of `dimensions` numbers and length 1."""
    made = encoder(models)
    for vector in vectors(made.encode(TEXTS)):
        assert vector.dtype == np.float32
        assert vector.shape == (made.dimensions,) == (32,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_a_text_alone_equals_the_text_in_company(models: Path) -> None:
    """Padding and the other texts of a batch have no influence, and results come in the texts' order."""
    together = vectors(encoder(models, texts=5).encode(TEXTS))
    alone = vectors([encoder(models).encode([text])[0] for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(vectors(encoder(models, texts=2).encode(TEXTS[::-1])), together[::-1], atol=1e-5)
    assert np.abs(together @ together.T - np.eye(5)).max(where=~np.eye(5, dtype=bool), initial=0) < 0.99


def test_empty_texts_are_refused_in_their_place(models: Path) -> None:
    """White space, and what is left of a broken escape, is no text; the model is not even loaded for it."""
    made = encoder(models)
    results = made.encode(["", " \n\u3000", "\ud800"])
    assert [result.location for result in results if isinstance(result, Refusal)] == ["0", "1", "2"]
    assert {(result.reason, result.source) for result in results if isinstance(result, Refusal)} == {
        ("empty_text", made.name)
    }
    assert "_network" not in vars(made)
    mixed = made.encode(["a", "", "b"])
    assert [isinstance(result, Refusal) for result in mixed] == [False, True, False]


def test_no_texts_are_no_vectors(models: Path) -> None:
    """An empty batch has an empty answer."""
    assert encoder(models).encode([]) == []


def test_tokens_are_those_of_the_official_form(models: Path) -> None:
    """`<s>`, then the text's tokens, then `</s>` (1 and 2)."""
    made = encoder(models)
    (row,) = made._tokens(["the rain"])
    tokens = [made._tokenizing.tokenizer.id_to_token(token) for token in row]
    assert tokens == ["<s>", "▁the", "▁rain", "</s>"]
    assert (row[0], row[-1]) == (1, 2)


def test_long_texts_are_cut_and_lose_their_end(models: Path) -> None:
    """Of `max_tokens` tokens the last is the text's, as in the official code; what follows has no influence."""
    made = encoder(models, max_tokens=8)
    (row,) = made._tokens(["rain " * 1000])
    assert len(row) == 8
    assert row[-1] != 2
    long, longer = vectors(made.encode(["rain " * 1000, "rain " * 1000 + "folk"]))
    assert np.array_equal(long, longer)


def test_a_very_long_text_has_a_vector(models: Path) -> None:
    """A megabyte, cut at 64 tokens."""
    assert len(vectors(encoder(models, max_tokens=64).encode(["la " * 350_000, "rain"]))) == 2


def test_instruction_is_seen_but_not_pooled(models: Path) -> None:
    """The mean leaves out the first positions, as many as the instruction has tokens: `<s>` but not the last."""
    instruction = "the slow "  # ▁the ▁slow ▁
    made = encoder(models, instruction=instruction)
    assert made._tokenizing.unpooled == 3
    (row,) = made._tokens(["rain"])
    ids = torch.tensor([row])
    is_token = torch.ones_like(ids, dtype=torch.bool)
    is_pooled = is_token.clone()
    is_pooled[0, :3] = False
    with torch.inference_mode():
        mean = made._network(ids, is_token, is_pooled)[0].numpy()
    assert np.allclose(vectors(made.encode(["rain"]))[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert not np.allclose(vectors(encoder(models).encode([f"{instruction}rain"]))[0], mean / np.linalg.norm(mean))


def test_a_model_may_pool_its_instruction(tmp_path: Path) -> None:
    """Where config.json says that instructions are not masked, they are not."""
    path = model_folder(tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"is_mask_instruction": False}))
    assert encoder(tmp_path, instruction="the slow ")._tokenizing.unpooled == 0


def test_an_instruction_without_room_for_a_text_is_an_error(models: Path) -> None:
    """Eight tokens of instruction and `<s>` are more than eight."""
    with pytest.raises(ValueError, match=r"instruction has 8 tokens, of max_tokens=8 .* raise max_tokens"):
        encoder(models, max_tokens=8, instruction="the night" + " the night" * 3).encode(["rain"])


def test_name_says_what_changes_a_vector(models: Path) -> None:
    """Hash, instruction, longest text and precision, but neither device nor batch; known without the weights."""
    made = encoder(models)
    digest = sha256_of_folder(models / "nvidia/NV-Embed-v2-tiny")[:12]
    assert made.name == f"NV-Embed {digest}, instruction '', at most 4096 tokens, float32"
    assert "_network" not in vars(made)
    assert encoder(models, texts=1).name == made.name
    changes = [{"instruction": "a"}, {"max_tokens": 9}, {"precision": "bfloat16"}]
    assert len({made.name, *(encoder(models, **change).name for change in changes)}) == 4


def test_bfloat16_is_near_float32_and_keeps_exact_positions(models: Path) -> None:
    """Weights are rounded to 16 bits; the frequencies that positions turn by are not."""
    made = encoder(models, precision="bfloat16")
    rounded, exact = vectors(made.encode(TEXTS)), vectors(encoder(models).encode(TEXTS))
    assert ((rounded * exact).sum(axis=1) > 0.999).all()
    assert made._network.latent_attention_model.latents.dtype == torch.bfloat16
    assert made._network.embedding_model.rotary_emb.inv_freq.dtype == torch.float32


def test_not_finite_vectors_are_refused(tmp_path: Path) -> None:
    """A checkpoint with a NaN gives refusals, not rows of NaN."""
    shard = model_folder(tmp_path) / "model-00002-of-00002.safetensors"
    weights = load_file(shard)
    weights["latent_attention_model.cross_attend_blocks.1.fn.net.2.bias"].fill_(float("nan"))
    save_file(weights, shard)
    (result,) = encoder(tmp_path).encode(["rain"])
    assert isinstance(result, Refusal)
    assert (result.location, result.reason) == ("0", "bad_embedding")


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    """The index says which."""
    (model_folder(tmp_path) / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"index names model-00002-of-00002\.safetensors, which is not there"):
        encoder(tmp_path).encode(["rain"])


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    """Nothing is left at its random start."""
    shard = model_folder(tmp_path) / "model-00002-of-00002.safetensors"
    save_file({key: value for key, value in load_file(shard).items() if key != "latent_attention_model.latents"}, shard)
    with pytest.raises(CheckpointError, match=r"lacks 1 keys of this model: latent_attention_model\.latents"):
        encoder(tmp_path).encode(["rain"])


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """It says what the folder is relative to."""
    for ask in (lambda made: made.name, lambda made: made.dimensions, lambda made: made.encode(["rain"])):
        with pytest.raises(CheckpointError, match="MUSIC_MODELS names the folder"):
            ask(encoder(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "mistral"}, "model_type is 'mistral'; expected 'nvembed'"),
        ({"mask_type": "causal"}, "mask_type is 'causal'; expected 'b'"),
        ({"text_config": {"hidden_size": "wide"}}, "Expected `int`, got `str`"),
    ],
)
def test_another_model_is_an_error(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    """Its config.json tells."""
    path = model_folder(tmp_path) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=message):
        encoder(tmp_path).encode(["rain"])


def test_a_short_latent_config_means_the_published_sizes(tmp_path: Path) -> None:
    """What the published file leaves out has the official code's values, so that the tiny weights no longer fit."""
    path = model_folder(tmp_path) / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"latent_attention_config": {"model_type": "latent_attention"}})
    )
    with pytest.raises(CheckpointError, match=r"latents \(8, 32\) instead of \(512, 4096\)"):
        encoder(tmp_path).encode(["rain"])


def test_a_missing_tokenizer_is_an_error(tmp_path: Path) -> None:
    """It says which file."""
    (model_folder(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: no such file"):
        encoder(tmp_path).encode(["rain"])


def test_out_of_memory_halves_the_batch(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that holds two texts gives the vectors that one with room for all gives."""
    made, expected = encoder(models, texts=5), vectors(encoder(models).encode(TEXTS))
    forward = made._network.forward

    def small(ids: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("no room")
        return forward(ids, *masks)

    monkeypatch.setattr(made._network, "forward", small)
    assert np.allclose(vectors(made.encode(TEXTS)), expected, atol=1e-5)


def test_a_text_too_long_for_the_memory_is_refused_in_its_place(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have their vectors."""
    made = encoder(models)
    forward = made._network.forward

    def small(ids: torch.Tensor, *masks: torch.Tensor) -> torch.Tensor:
        if ids.shape[1] > 20:
            raise torch.OutOfMemoryError("no room")
        return forward(ids, *masks)

    monkeypatch.setattr(made._network, "forward", small)
    _, refusal, vector = made.encode(["", "guitar " * 40, "rain"])
    assert refusal == Refusal(made.name, "1", "out_of_memory", "no room")
    assert isinstance(vector, np.ndarray)


def test_no_memory_for_the_model_is_an_error(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No text is refused for what is no fault of its own."""

    def full(path: Path) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("safetensors.torch.load_file", full)
    with pytest.raises(MemoryError, match="no room"):
        encoder(models).encode(["rain"])


def test_spaces_are_tokens_as_the_published_file_says(models: Path) -> None:
    """Two spaces are not one, though transformers 5 would rebuild the tokenizer so."""
    made = encoder(models)
    (row,) = made._tokens(["the  rain"])
    tokens = [made._tokenizing.tokenizer.id_to_token(token) for token in row]
    assert tokens == ["<s>", "▁the", "▁", "▁rain", "</s>"]


def test_bytes_do_not_depend_on_thread_or_process(models: Path) -> None:
    """Two threads at once, and another interpreter with another hash seed, give the same bytes."""
    made, expected = encoder(models), vectors(encoder(models).encode(TEXTS)).tobytes()
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(vectors(made.encode(TEXTS)).tobytes())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3

    script = (
        "import sys; from pathlib import Path; from resources.torch_turn import Turn\n"
        "from resources.profile import NVEmbed\n"
        "from resources.nv_embed_encoder import NVEmbedEncoder\n"
        "settings = NVEmbed(folder='nvidia/NV-Embed-v2-tiny', precision='float32')\n"
        "made = NVEmbedEncoder(settings, models=Path(sys.argv[1]), turn=Turn(), device='cpu')\n"
        "print(b''.join(vector.tobytes() for vector in made.encode(sys.argv[2:])).hex())"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(models), *TEXTS],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert run.stdout.strip() == expected.hex()


def test_sample_has_the_same_bytes_each_time(models: Path, tmp_path: Path) -> None:
    """Written twice it is one model, of another seed another; its environment leads a profile to it."""
    environment = write(tmp_path)
    folder = environment["MUSIC_NV_EMBED__FOLDER"]
    assert sha256_of_folder(tmp_path / folder) == sha256_of_folder(models / folder)
    assert chosen_profile({"MUSIC_MODELS": str(tmp_path), **environment}).nv_embed.folder == folder
    write(tmp_path, seed=8)
    assert sha256_of_folder(tmp_path / folder) != sha256_of_folder(models / folder)
