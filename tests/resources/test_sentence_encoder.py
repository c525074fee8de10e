import json
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch.nn import functional

from resources.checkpoints import CheckpointError
from resources.hashing import sha256_of_folder
from resources.model_settings import SentenceModel
from resources.profile import chosen_profile
from resources.refusals import Refusal
from resources.sample.checkpoints.sentence_model import write
from resources.sentence_encoder import SentenceEncoder
from resources.text_encoder import Vector
from resources.torch_turn import Turn

FOLDER = "sentence-transformers/tiny"
TEXTS = ["the rain", "slow folk and dance of the night", "Ünïcode \U0001f525\U0001f3b8 ひかり", "x", "guitar " * 40]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny model."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


def encoder(models: Path, **changed: object) -> SentenceEncoder:
    """The tiny model with changed settings."""
    return SentenceEncoder(SentenceModel(**{"folder": FOLDER, **changed}), models=models, turn=Turn(), device="cpu")


def vectors(results: list[Vector | Refusal]) -> np.ndarray:
    """All results, none refused."""
    assert not any(isinstance(result, Refusal) for result in results)
    return np.array(results)


def changed_json(models: Path, name: str, content: object) -> Path:
    """A fresh copy of the model whose file `name` has this content."""
    write(models)
    (models / FOLDER / name).parent.mkdir(exist_ok=True)
    (models / FOLDER / name).write_text(json.dumps(content))
    return models


def modules(*kinds: str) -> list[dict[str, object]]:
    """A modules.json of the library's modules."""
    return [
        {
            "idx": idx,
            "name": str(idx),
            "path": f"{idx}_{kind}" if idx else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for idx, kind in enumerate(kinds)
    ]


def add_dense(models: Path, *, pickled: bool = False) -> None:
    """Puts a layer from 32 to 12 dimensions after the mean."""
    changed_json(models, "modules.json", modules("Transformer", "Pooling", "Dense"))
    settings = {
        "in_features": 32,
        "out_features": 12,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    folder = models / FOLDER / "2_Dense"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    rng = np.random.default_rng(0)
    weights = {
        "linear.weight": rng.standard_normal((12, 32)).astype(np.float32),
        "linear.bias": np.zeros(12, np.float32),
    }
    if pickled:
        torch.save({key: torch.from_numpy(value) for key, value in weights.items()}, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors")


def test_vectors_have_unit_length_and_the_stated_size(models: Path) -> None:
    """Each is float32, of `dimensions` numbers and length 1."""
    made = encoder(models)
    for vector in vectors(made.encode(TEXTS)):
        assert vector.dtype == np.float32
        assert vector.shape == (made.dimensions,) == (32,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_equals_the_library_and_the_written_out_mean(models: Path) -> None:
    """What `encode` of the library gives, and what BERT's last states give when averaged by hand."""
    from sentence_transformers import SentenceTransformer
    from transformers import BertModel

    ours = vectors(encoder(models).encode(TEXTS[:2]))
    library = SentenceTransformer(str(models / FOLDER), device="cpu", local_files_only=True)
    assert np.allclose(ours, library.encode(TEXTS[:2]), atol=1e-6)

    bert = BertModel.from_pretrained(models / FOLDER, local_files_only=True, use_safetensors=True).eval()
    words = ["[CLS]", "the", "rain", "[SEP]"]
    vocabulary = (models / FOLDER / "vocab.txt").read_text().split("\n")
    with torch.inference_mode():
        states = bert(torch.tensor([[vocabulary.index(word) for word in words]])).last_hidden_state[0]
    assert np.allclose(ours[0], functional.normalize(states.mean(dim=0), dim=0).numpy(), atol=1e-6)


def test_a_text_alone_equals_the_text_in_company(models: Path) -> None:
    """Padding and the other texts of a batch have no influence, and results come in the texts' order."""
    together = vectors(encoder(models, texts=5).encode(TEXTS))
    made = encoder(models)
    alone = vectors([made.encode([text])[0] for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(vectors(encoder(models, texts=2).encode(TEXTS[::-1])), together[::-1], atol=1e-5)


def test_empty_texts_are_refused_in_their_place(models: Path) -> None:
    """White space, and what is left of a broken escape, is no text."""
    made = encoder(models)
    results = made.encode(["a", "", "b", " \n\u3000", "\ud800"])
    assert [isinstance(result, Refusal) for result in results] == [False, True, False, True, True]
    for position in (1, 3, 4):
        refusal = results[position]
        assert isinstance(refusal, Refusal)
        assert (refusal.source, refusal.location, refusal.reason) == (made.name, str(position), "empty_text")


def test_no_texts_are_no_vectors(models: Path) -> None:
    """An empty batch has an empty answer, without the weights."""
    made = encoder(models)
    assert made.encode([]) == []
    assert "_model" not in vars(made)


def test_long_texts_are_cut_where_the_model_ends(models: Path) -> None:
    """It has 64 positions; what follows them has no influence."""
    long, longer = vectors(encoder(models).encode(["rain " * 50_000, "rain " * 50_000 + "folk"]))
    assert np.array_equal(long, longer)


def test_prompt_is_put_before_each_text(models: Path) -> None:
    """With a prompt a text has the vector of both together, and another name."""
    with_prompt, plain = encoder(models, prompt="the slow "), encoder(models)
    assert np.allclose(vectors(with_prompt.encode(["rain"])), vectors(plain.encode(["the slow rain"])), atol=1e-6)
    assert with_prompt.name != plain.name


def test_the_folder_s_own_default_prompt_is_left_out(models: Path, tmp_path: Path) -> None:
    """What is put before a text is the setting and nothing else."""
    settings = {"prompts": {"query": "the slow "}, "default_prompt_name": "query"}
    changed = encoder(changed_json(tmp_path, "config_sentence_transformers.json", settings))
    assert np.array_equal(vectors(changed.encode(["rain"])), vectors(encoder(models).encode(["rain"])))


def test_name_says_what_changes_a_vector(models: Path) -> None:
    """Hash, prompt and precision, but neither device nor batch; known without the weights."""
    made = encoder(models)
    assert made.name == f"sentence model tiny {sha256_of_folder(models / FOLDER)[:12]}, prompt '', float32"
    assert "_model" not in vars(made)
    assert encoder(models, texts=1).name == made.name
    assert encoder(models, precision="bfloat16").name != made.name


def test_bfloat16_is_near_float32(tmp_path: Path) -> None:
    """All modules compute in 16 bits, a dense one after the transformer too."""
    add_dense(tmp_path)
    made = encoder(tmp_path, precision="bfloat16")
    rounded, exact = vectors(made.encode(TEXTS)), vectors(encoder(tmp_path).encode(TEXTS))
    assert ((rounded * exact).sum(axis=1) > 0.99).all()
    assert {parameter.dtype for parameter in made._model.parameters()} == {torch.bfloat16}


def test_nothing_is_asked_of_the_network(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is enough."""

    def refuse(*address: object) -> None:
        raise AssertionError(f"asked {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(encoder(models).encode(["rain"])) == 1


@pytest.mark.parametrize(
    ("settings", "dimensions"),
    [
        ({"embedding_dimension": 32, "pooling_mode": "cls"}, 32),
        ({"embedding_dimension": 32, "pooling_mode": ["cls", "mean"]}, 64),
        ({"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, 64),
        ({"word_embedding_dimension": 32}, 32),
    ],
)
def test_dimensions_follow_the_pooling(tmp_path: Path, settings: dict[str, object], dimensions: int) -> None:
    """Each way of pooling adds the transformer's width, in old config files and in new ones."""
    made = encoder(changed_json(tmp_path, "1_Pooling/config.json", settings))
    assert made.dimensions == dimensions
    assert "_model" not in vars(made)
    assert vectors(made.encode(["rain"])).shape == (1, dimensions)


def test_dimensions_follow_a_dense_module(tmp_path: Path) -> None:
    """The last module that sets a length counts."""
    add_dense(tmp_path)
    made = encoder(tmp_path)
    assert made.dimensions == 12
    assert vectors(made.encode(["rain"])).shape == (1, 12)


def test_dimensions_follow_a_static_embedding(tmp_path: Path) -> None:
    """A model of nothing but a table of token vectors: its width is in the weights' header."""
    changed_json(tmp_path, "modules.json", modules("StaticEmbedding"))
    table = np.random.default_rng(0).standard_normal((200, 10)).astype(np.float32)
    save_file({"embedding.weight": table}, tmp_path / FOLDER / "model.safetensors")
    made = encoder(tmp_path)
    assert made.dimensions == 10
    assert vectors(made.encode(TEXTS)).shape == (5, 10)


def test_a_folder_may_cut_its_vectors(tmp_path: Path, models: Path) -> None:
    """`truncate_dim` keeps the first dimensions, and the length is 1 again."""
    made = encoder(changed_json(tmp_path, "config_sentence_transformers.json", {"truncate_dim": 8}))
    whole = vectors(encoder(models).encode(["rain"]))[0, :8]
    assert made.dimensions == 8
    assert np.allclose(vectors(made.encode(["rain"]))[0], whole / np.linalg.norm(whole), atol=1e-6)


def test_not_finite_vectors_are_refused(tmp_path: Path) -> None:
    """A checkpoint with a NaN gives refusals, not rows of NaN."""
    write(tmp_path)
    path = tmp_path / FOLDER / "model.safetensors"
    weights = load_file(path)
    weights["encoder.layer.1.output.LayerNorm.bias"][:] = np.nan
    save_file(weights, path, metadata={"format": "pt"})
    (result,) = encoder(tmp_path).encode(["rain"])
    assert isinstance(result, Refusal)
    assert (result.location, result.reason) == ("0", "bad_embedding")


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """It says what was expected and where folders are looked for."""
    for ask in (lambda made: made.name, lambda made: made.dimensions, lambda made: made.encode(["rain"])):
        with pytest.raises(
            CheckpointError, match=r"modules\.json: no such file; expected a sentence-transformers model"
        ):
            ask(encoder(tmp_path))


@pytest.mark.parametrize("kind", ["modeling_evil.Evil", "os.system", "sentence_transformers.models.BoW"])
def test_foreign_and_unknown_modules_are_refused(tmp_path: Path, kind: str) -> None:
    """No code of a folder or of another package is run."""
    entries = [*modules("Transformer", "Pooling"), {"idx": 2, "name": "2", "path": "", "type": kind}]
    with pytest.raises(CheckpointError, match=f"a module of type '{kind}'; expected one of"):
        encoder(changed_json(tmp_path, "modules.json", entries)).encode(["rain"])


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    """Also those of a small module beside a transformer in safetensors; the library would open them."""
    add_dense(tmp_path, pickled=True)
    with pytest.raises(CheckpointError, match=r"2_Dense: weights in pytorch_model\.bin; expected safetensors"):
        encoder(tmp_path).encode(["rain"])


def test_a_model_without_pooling_is_an_error(tmp_path: Path) -> None:
    """Nothing says how tokens become one vector."""
    with pytest.raises(CheckpointError, match="no module of Pooling, Dense, StaticEmbedding"):
        encoder(changed_json(tmp_path, "modules.json", modules("Transformer"))).encode(["rain"])


def test_out_of_memory_halves_the_batch(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that holds two texts gives the vectors that one with room for all gives."""
    made, expected = encoder(models, texts=5), vectors(encoder(models).encode(TEXTS))
    forward = made._model.forward

    def small(features: dict[str, torch.Tensor]) -> object:
        if len(features["input_ids"]) > 2:
            raise torch.OutOfMemoryError("no room")
        return forward(features)

    monkeypatch.setattr(made._model, "forward", small)
    assert np.allclose(vectors(made.encode(TEXTS)), expected, atol=1e-5)


def test_no_memory_for_the_model_is_an_error(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No text is refused for what is no fault of its own."""

    def full(*given: object, **named: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", full)
    with pytest.raises(MemoryError, match="no room"):
        encoder(models).encode(["rain"])


def test_threads_get_the_same_bytes(models: Path) -> None:
    """Three at once, on one model that is loaded once."""
    made, expected = encoder(models), vectors(encoder(models).encode(TEXTS)).tobytes()
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(vectors(made.encode(TEXTS)).tobytes())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 3


def test_sample_has_the_same_bytes_each_time(models: Path, tmp_path: Path) -> None:
    """Written twice it is one model, of another seed another; its environment leads a profile to it."""
    environment = write(tmp_path)
    assert environment == {"MUSIC_SENTENCE_MODEL__FOLDER": FOLDER}
    assert sha256_of_folder(tmp_path / FOLDER) == sha256_of_folder(models / FOLDER)
    assert chosen_profile({"MUSIC_MODELS": str(tmp_path), **environment}).sentence_model.folder == FOLDER
    write(tmp_path, seed=8)
    assert sha256_of_folder(tmp_path / FOLDER) != sha256_of_folder(models / FOLDER)
