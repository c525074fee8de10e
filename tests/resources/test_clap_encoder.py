import json
import shutil
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor

from resources.audio_encoder import AudioEncoder
from resources.checkpoints import CheckpointError
from resources.clap_encoder import SAMPLE_RATE_HZ, ClapEncoder, ClapTextEncoder
from resources.model_settings import Clap
from resources.refusals import Refusal
from resources.sample.checkpoints.clap import DIMENSIONS, FOLDER, write
from resources.text_encoder import TextEncoder
from resources.torch_turn import Turn

WINDOW = 10 * SAMPLE_RATE_HZ
TEXTS = ["slow sad piano", "loud rock with drums and a voice", "jazz"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def fused(models, tmp_path_factory):
    """The same with feature fusion, as laion/clap-htsat-fused has it."""
    folder = tmp_path_factory.mktemp("fused")
    shutil.copytree(models, folder, dirs_exist_ok=True)
    config = ClapConfig.from_pretrained(models / FOLDER)
    config.audio_config.enable_fusion = True
    config.audio_config.fusion_type = "aff_2d"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        ClapModel(config).save_pretrained(folder / FOLDER)
    ClapFeatureExtractor.from_pretrained(models / FOLDER, truncation="fusion").save_pretrained(folder / FOLDER)
    return folder


def encoder(models, **settings) -> ClapEncoder:
    """The provider of audio vectors."""
    return ClapEncoder(Clap(folder=FOLDER, **settings), models=models, turn=Turn())


def text_encoder(models, **settings) -> ClapTextEncoder:
    """The provider of text vectors."""
    return ClapTextEncoder(Clap(folder=FOLDER, **settings), models=models, turn=Turn())


@pytest.fixture(scope="module")
def provider(models) -> AudioEncoder:
    """The audio encoder."""
    return encoder(models)


@pytest.fixture(scope="module")
def texts(models) -> TextEncoder:
    """The text encoder."""
    return text_encoder(models)


def sound(number: int, *, seconds: float = 10.0) -> np.ndarray:
    """A sweep with noise."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sweep = np.sin(2 * np.pi * 150 * 1.7**number * time_s * (1 + time_s / 30)) * (np.sin((number + 1) * time_s) > 0)
    return (0.3 * sweep + np.random.default_rng(number).normal(0, 0.02, len(time_s))).astype(np.float32)


def vectors(provider, inputs) -> np.ndarray:
    """The vectors of inputs that have one."""
    results = provider.encode(inputs)
    assert not [result for result in results if isinstance(result, Refusal)]
    return np.stack(results)


def unit(vector) -> np.ndarray:
    """Of length one."""
    return vector / np.linalg.norm(vector)


def direct(folder) -> tuple[ClapModel, ClapProcessor]:
    """The model as transformers itself loads it."""
    extractor = ClapFeatureExtractor.from_pretrained(folder)
    return ClapModel.from_pretrained(folder).eval(), ClapProcessor(extractor, AutoTokenizer.from_pretrained(folder))


@torch.inference_mode()
def test_ten_seconds_against_transformers(models, provider) -> None:
    """Recordings of exactly one window get the vectors of ClapProcessor and ClapModel."""
    recordings = [sound(number) for number in range(3)]
    model, processor = direct(models / FOLDER)
    inputs = processor(audio=recordings, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
    expected = model.get_audio_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(vectors(provider, recordings), expected, atol=1e-5)


@torch.inference_mode()
def test_texts_against_transformers(models, texts) -> None:
    """Texts get the vectors of ClapProcessor and ClapModel."""
    model, processor = direct(models / FOLDER)
    inputs = processor(text=TEXTS, padding=True, return_tensors="pt")
    expected = model.get_text_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(vectors(texts, TEXTS), expected, atol=1e-5)


@torch.inference_mode()
def test_fusion_against_transformers(fused) -> None:
    """A model with fusion hears the window as not longer than itself: as given four channels and that flag."""
    recordings = [sound(number) for number in range(3)]
    model, processor = direct(fused / FOLDER)
    inputs = processor(audio=recordings, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
    assert inputs["input_features"].shape == (3, 4, 1001, 64)
    inputs["is_longer"] = torch.zeros(3, 1, dtype=torch.bool)
    expected = model.get_audio_features(**inputs).pooler_output.numpy()
    np.testing.assert_allclose(vectors(encoder(fused), recordings), expected, atol=1e-5)


@pytest.mark.parametrize("folder", ["models", "fused"])
def test_chance_plays_no_part(folder, request) -> None:
    """Whatever numpy's and torch's seeds, long, exact and short recordings get the same bits."""
    provider = encoder(request.getfixturevalue(folder))
    recordings = [sound(0, seconds=23), sound(1), sound(2, seconds=4)]
    found = []
    for seed in range(3):
        np.random.seed(seed)  # noqa: NPY002 - the generator that the extractor draws from
        torch.manual_seed(seed)
        found.append(vectors(provider, recordings).tobytes())
    assert len(set(found)) == 1


def test_no_chunk_is_cut_by_chance(provider, monkeypatch) -> None:
    """The extractor never comes to draw where a cut begins."""

    def never(*_, **__):
        raise AssertionError("a chunk was cut at random")

    monkeypatch.setattr(np.random, "randint", never)
    monkeypatch.setattr(np.random, "choice", never)
    assert len(vectors(provider, [sound(0, seconds=30.01), sound(1), sound(2, seconds=4)])) == 3


def test_longer_chunks_than_the_window_are_an_error(models) -> None:
    """Above ten seconds the extractor would cut at random, so that the setting is refused."""
    with pytest.raises(ValueError, match=r"chunk_s=10\.5: this model hears 10 s"):
        encoder(models, chunk_s=10.5).encode([sound(0)])


def test_chunks_weigh_as_they_are_long(provider) -> None:
    """25 seconds are (10 first + 10 second + 5 third) / 25 of their chunks' vectors, at unit length."""
    whole = sound(0, seconds=25)
    first, second, third = vectors(provider, [whole[:WINDOW], whole[WINDOW : 2 * WINDOW], whole[2 * WINDOW :]])
    expected = unit((10 * first + 10 * second + 5 * third) / 25)
    np.testing.assert_allclose(vectors(provider, [whole])[0], expected, atol=1e-6)


def test_chunk_length_is_a_setting(models) -> None:
    """Chunks of four seconds: nine are 4 + 4 + 1."""
    provider, whole, size = encoder(models, chunk_s=4.0), sound(0, seconds=9), 4 * SAMPLE_RATE_HZ
    first, second, third = vectors(provider, [whole[:size], whole[size : 2 * size], whole[2 * size :]])
    np.testing.assert_allclose(vectors(provider, [whole])[0], unit(4 * first + 4 * second + third), atol=1e-6)
    assert provider.name != encoder(models).name


def test_a_short_recording_is_repeated(provider) -> None:
    """Three seconds are heard thrice, then a second of silence fills the window."""
    short = sound(1, seconds=3)
    filled = np.pad(np.tile(short, 3), (0, SAMPLE_RATE_HZ))
    np.testing.assert_allclose(*vectors(provider, [short, filled]), atol=1e-6)


def test_a_last_moment_is_left_out(provider) -> None:
    """Less than a tenth of a second after the last chunk changes nothing."""
    longer = sound(0, seconds=10.09)
    np.testing.assert_array_equal(vectors(provider, [longer]), vectors(provider, [longer[:WINDOW]]))


def test_one_result_a_recording_in_order(provider) -> None:
    """Refusals stand in their recording's place with its position; no recordings give no results."""
    broken, endless = sound(1), sound(1)
    broken[5], endless[5] = np.nan, -np.inf
    silent, empty = np.zeros(WINDOW, np.float32), np.zeros(0, np.float32)
    results = provider.encode([sound(0), broken, endless, silent, empty, sound(2, seconds=0.09), sound(3)])
    refusals = [(result.location, result.reason) for result in results if isinstance(result, Refusal)]
    expected = [("1", "not_finite"), ("2", "not_finite"), ("3", "silent"), ("4", "too_short"), ("5", "too_short")]
    assert refusals == expected
    np.testing.assert_allclose([results[0], results[6]], vectors(provider, [sound(0), sound(3)]), atol=1e-5)
    assert provider.encode([]) == []


def test_one_result_a_text_in_order(texts) -> None:
    """Empty texts and those of lone surrogates alone are refused in their place."""
    results = texts.encode(["jazz", "", " \n", "\ud800", "slow"])
    refusals = [(result.location, result.reason) for result in results if isinstance(result, Refusal)]
    assert refusals == [("1", "empty_text"), ("2", "empty_text"), ("3", "empty_text")]
    np.testing.assert_allclose([results[0], results[4]], vectors(texts, ["jazz", "slow"]), atol=1e-5)
    assert texts.encode([]) == []


def test_vectors_are_of_one_space(models, provider, texts) -> None:
    """Texts and recordings have unit vectors of config.json's length; no weights are needed to know it."""
    for found in (vectors(provider, [sound(0), sound(1, seconds=12)]), vectors(texts, TEXTS)):
        assert found.dtype == np.float32
        assert found.shape[1] == DIMENSIONS == provider.dimensions == texts.dimensions
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert abs(vectors(provider, [sound(0)]) - vectors(provider, [sound(1)])).max() > 0.01


def test_dimensions_and_name_need_no_weights(models, tmp_path) -> None:
    """Both are known of a folder whose weights can't be read."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    (tmp_path / FOLDER / "model.safetensors").write_bytes(b"")
    assert encoder(tmp_path).dimensions == DIMENSIONS
    assert encoder(tmp_path).name != encoder(models).name


def test_alone_as_in_a_batch(models, provider, texts) -> None:
    """A recording's or text's vector does not depend on what else is asked for, but for rounding."""
    recordings = [sound(number, seconds=5 + 9 * number) for number in range(4)]
    together = vectors(provider, recordings)
    for row, recording in enumerate(recordings):
        np.testing.assert_allclose(vectors(provider, [recording])[0], together[row], atol=1e-5)
    np.testing.assert_allclose(vectors(encoder(models, chunks=2), recordings), together, atol=1e-5)
    lines = [*TEXTS, "warm " * 30]
    for row, line in enumerate(lines):
        np.testing.assert_allclose(vectors(texts, [line])[0], vectors(texts, lines)[row], atol=1e-5)


def test_a_long_text_is_cut(texts) -> None:
    """64 tokens are read, the two around the text among them: more words change nothing."""
    np.testing.assert_allclose(*vectors(texts, [" ".join(["jazz"] * count) for count in (200, 300)]), atol=1e-6)


def test_two_threads_get_what_one_gets(models) -> None:
    """The model is loaded once, and gives the same bits from any thread."""
    provider, results = encoder(models), {}

    def ask(number: int) -> None:
        results[number] = vectors(provider, [sound(number, seconds=15)]).tobytes()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = encoder(models)
    assert results == {number: vectors(again, [sound(number, seconds=15)]).tobytes() for number in range(3)}


def test_sixteen_bits_are_close(models, provider, texts) -> None:
    """In bfloat16 vectors have a cosine above 0.999 with those of float32, are others, and carry another name."""
    halves = encoder(models, precision="bfloat16"), text_encoder(models, precision="bfloat16")
    for half, full, inputs in zip(halves, (provider, texts), ([*map(sound, range(4))], TEXTS), strict=True):
        cosines = (vectors(half, inputs) * vectors(full, inputs)).sum(axis=1)
        assert cosines.min() > 0.999
        assert not np.array_equal(vectors(half, inputs), vectors(full, inputs))
        assert half.name != full.name


def test_the_spectrogram_is_heard_in_32_bits(models) -> None:
    """In bfloat16 too: what comes from the batch norm is float32, and the same bits."""
    normed = []
    for precision in ("float32", "bfloat16"):
        provider = encoder(models, precision=precision)
        batch_norm = provider._folder.loaded.model.audio_model.audio_encoder.batch_norm
        batch_norm.register_forward_hook(lambda *call: normed.append(call[-1]))
        vectors(provider, [sound(0)])
    assert normed[1].dtype == torch.float32
    assert torch.equal(*normed)


@pytest.mark.parametrize("samples", [np.zeros((WINDOW, 2), np.float32), np.zeros(WINDOW, np.int16)])
def test_samples_of_another_shape_or_type_are_an_error(provider, samples) -> None:
    """Two channels, and integers."""
    with pytest.raises(ValueError, match=r"^recording 1: .*expected mono float32 \[N\]"):
        provider.encode([sound(0), samples])


def test_out_of_memory_halves_the_batch_or_refuses(models, monkeypatch) -> None:
    """Too many chunks at once are halved; where one is too much its recording is refused by position."""
    features, most = ClapModel.get_audio_features, [2]

    def limited(self, *, input_features, is_longer):
        if len(input_features) > most[0]:
            raise torch.OutOfMemoryError("too large")
        return features(self, input_features=input_features, is_longer=is_longer)

    expected = vectors(encoder(models), [sound(0, seconds=45), sound(1)])
    monkeypatch.setattr(ClapModel, "get_audio_features", limited)
    np.testing.assert_allclose(vectors(encoder(models), [sound(0, seconds=45), sound(1)]), expected, atol=1e-5)
    most[0] = 0
    refused = encoder(models).encode([np.zeros(WINDOW, np.float32), sound(0, seconds=15)])
    assert [(row.location, row.reason) for row in refused if isinstance(row, Refusal)] == [
        ("0", "silent"),
        ("1", "out_of_memory"),
    ]


def test_a_vector_that_is_no_number_is_refused(models, tmp_path) -> None:
    """Damaged weights give refusals, not NaN."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    path = tmp_path / FOLDER / "model.safetensors"
    state = load_file(path)
    for tower in ("audio", "text"):
        state[f"{tower}_projection.linear2.bias"][0] = np.nan
    save_file(state, path)
    for result in (*encoder(tmp_path).encode([sound(0)]), *text_encoder(tmp_path).encode(["jazz"])):
        assert isinstance(result, Refusal)
        assert (result.location, result.reason) == ("0", "bad_embedding")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("audio_projection.linear1.weight"), r"lacks 1 keys.*audio_projection"),
        (lambda state: state.update({"more": torch.zeros(1)}), "unexpected 1 keys.*more"),
        (lambda state: state.update({"text_projection.linear1.bias": torch.zeros(5)}), r"\(5,\) instead of"),
    ],
)
def test_the_folder_is_loaded_strictly(models, tmp_path, change, message) -> None:
    """A missing key, one too many, or another shape is an error that names it."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    path = tmp_path / FOLDER / "model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)
    with pytest.raises(CheckpointError, match=message):
        encoder(tmp_path).encode([sound(0)])


def test_constants_may_be_missing(models, tmp_path, texts) -> None:
    """Positions are counted anew where a version of transformers saved none."""
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    path = tmp_path / FOLDER / "model.safetensors"
    save_file({key: tensor for key, tensor in load_file(path).items() if "position_ids" not in key}, path)
    np.testing.assert_array_equal(vectors(text_encoder(tmp_path), TEXTS), vectors(texts, TEXTS))


def test_other_folders_are_refused(models, tmp_path) -> None:
    """A missing folder, another rate, and a tokenizer of another model are errors that say so."""
    with pytest.raises(CheckpointError, match="MUSIC_MODELS"):
        encoder(tmp_path).encode([sound(0)])
    shutil.copytree(models, tmp_path, dirs_exist_ok=True)
    path = tmp_path / FOLDER / "preprocessor_config.json"
    written = json.loads(path.read_bytes())
    path.write_text(json.dumps({**written, "sampling_rate": 44_100}))
    with pytest.raises(CheckpointError, match="44100 Hz; expected 48000"):
        encoder(tmp_path).encode([sound(0)])
    path.write_text(json.dumps(written))
    config = tmp_path / FOLDER / "config.json"
    fields = json.loads(config.read_bytes())
    fields["text_config"]["vocab_size"] = 50265
    config.write_text(json.dumps(fields))
    with pytest.raises(CheckpointError, match=r"config\.json says 50265"):
        encoder(tmp_path).encode([sound(0)])
