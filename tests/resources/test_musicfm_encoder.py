import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resources.audio_encoder import Samples, Vector
from resources.checkpoints import CheckpointError
from resources.hashing import sha256_of_file
from resources.model_settings import MusicFM
from resources.musicfm_encoder import MIN_SAMPLES, SAMPLE_RATE_HZ, MusicFmEncoder
from resources.networks.musicfm import MusicFM as Network
from resources.profile import chosen_profile
from resources.refusals import Refusal
from resources.sample.checkpoints.musicfm import write
from resources.torch_turn import Turn

State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


def encoder(models: Path, **changes: object) -> MusicFmEncoder:
    """Of that folder, in chunks of one second."""
    file = models / "musicfm" / "tiny.pt"
    settings = MusicFM(
        checkpoint="musicfm/tiny.pt",
        sha256=sha256_of_file(file) if file.is_file() else "0" * 64,
        stats="musicfm/tiny_stats.json",
        chunk_s=1.0,
    )
    return MusicFmEncoder(settings.model_copy(update=changes), models=models, turn=Turn())


def noise(samples: int, seed: int = 0) -> Samples:
    """A tenth of full scale, louder towards the end."""
    rising = np.linspace(0.05, 0.15, samples)
    return (rising * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def vector_of(result: Vector | Refusal) -> Vector:
    """The vector, or the test fails."""
    assert isinstance(result, np.ndarray), result
    return result


def network_of(models: Path) -> Network:
    """The encoder's own network."""
    return encoder(models)._network


def changed(models: Path, folder: Path, change: Callable[[State], object]) -> Path:
    """A folder whose checkpoint is the tiny one with a change to its state dict."""
    (folder / "musicfm").mkdir(parents=True)
    state = torch.load(models / "musicfm" / "tiny.pt", weights_only=True)["state_dict"]
    change(state)
    torch.save({"state_dict": state}, folder / "musicfm" / "tiny.pt")
    (folder / "musicfm" / "tiny_stats.json").write_bytes((models / "musicfm" / "tiny_stats.json").read_bytes())
    return folder


def test_profile_finds_what_the_writer_wrote(models: Path, tmp_path: Path) -> None:
    """Its environment names checkpoint, hash and statistics: an encoder of those gives vectors."""
    profile = chosen_profile({**write(tmp_path), "MUSIC_MODELS": str(tmp_path)})
    made = MusicFmEncoder(profile.musicfm, models=Path(profile.models), turn=Turn())
    assert len(vector_of(made.encode([noise(24_000)])[0])) == made.dimensions == 32


def test_vectors_have_unit_length_and_the_stated_size(models: Path) -> None:
    """Each is float32, of the network's hidden size and length 1; samples are wanted at 24 kHz."""
    made = encoder(models)
    assert made.sample_rate_hz == SAMPLE_RATE_HZ == 24_000
    for result in made.encode([noise(30_000), noise(5_000, 1)]):
        vector = vector_of(result)
        assert vector.dtype == np.float32
        assert vector.shape == (made.dimensions,) == (32,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_constructing_reads_nothing(tmp_path: Path) -> None:
    """Not even that there is no checkpoint."""
    encoder(tmp_path)


def test_dimensions_load_no_weights(models: Path) -> None:
    """The network is not there after they were asked for."""
    made = encoder(models)
    assert made.dimensions == 32
    assert "_network" not in vars(made)


def test_name_says_what_decides_a_vector(models: Path) -> None:
    """Checkpoint, statistics, layer, chunks and precision; not the batch size."""
    made = encoder(models)
    assert made.name == (
        f"MusicFM {sha256_of_file(models / 'musicfm' / 'tiny.pt')[:12]}, 6.5 ± 18.5 dB, layer 7, "
        "mean over chunks of 1 s, float32"
    )
    assert encoder(models, chunks=3).name == made.name
    others = [encoder(models, layer=8), encoder(models, chunk_s=2.5), encoder(models, precision="bfloat16")]
    assert len({made.name, *(other.name for other in others)}) == 4


def test_a_vector_is_the_mean_of_all_latents(models: Path) -> None:
    """2.5 seconds are chunks of 25, 25 and 13 latents, which weigh by their number."""
    samples = noise(60_000)
    network = network_of(models)
    features = [network.features(torch.from_numpy(samples[start : start + 24_000])) for start in (0, 24_000, 48_000)]
    latents = [network([chunk], layer=7)[0] for chunk in features]
    assert [len(part) for part in latents] == [25, 25, 13]
    mean = torch.cat(latents).mean(dim=0).numpy()
    vector = vector_of(encoder(models).encode([samples])[0])
    assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_layer_is_the_one_asked_for(models: Path) -> None:
    """Layer 12's vector is the mean of the network's layer 12."""
    samples = noise(24_000)
    network = network_of(models)
    mean = network([network.features(torch.from_numpy(samples))], layer=12)[0].mean(dim=0).numpy()
    vector = vector_of(encoder(models, layer=12).encode([samples])[0])
    assert vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_tail_that_is_too_short_is_dropped(models: Path) -> None:
    """1,024 samples past a chunk change nothing; 1,025 do."""
    samples = noise(24_000 + MIN_SAMPLES)
    whole, dropped, kept = encoder(models).encode([samples[:24_000], samples[:-1], samples])
    assert vector_of(dropped) == pytest.approx(vector_of(whole), abs=1e-6)
    assert vector_of(kept) != pytest.approx(vector_of(whole), abs=1e-6)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(0), "too_short"),
        (noise(1024), "too_short"),
        (np.zeros(24_000), "silent"),
        (np.full(24_000, 1e-5), "silent"),
        (np.full(24_000, np.nan), "not_finite"),
        (np.append(noise(24_000), np.inf), "not_finite"),
    ],
)
def test_bad_recordings_are_refused_in_their_places(models: Path, samples: np.ndarray, reason: str) -> None:
    """With reason and position; the others keep their vectors and places."""
    made = encoder(models)
    first, refusal, last = made.encode([noise(30_000), samples, noise(9_000, 1)])
    assert isinstance(refusal, Refusal)
    assert refusal[:3] == (made.name, "1", reason)
    assert vector_of(first) == pytest.approx(vector_of(made.encode([noise(30_000)])[0]), abs=1e-6)
    assert vector_of(last) == pytest.approx(vector_of(made.encode([noise(9_000, 1)])[0]), abs=1e-6)


def test_nothing_gives_nothing(models: Path) -> None:
    """No recordings, no results."""
    assert encoder(models).encode([]) == []


def test_nothing_is_loaded_for_refusals_alone(models: Path) -> None:
    """A wrong hash goes unnoticed while no recording can be heard."""
    refusal = encoder(models, sha256="0" * 64).encode([np.zeros(24_000, dtype=np.float32)])[0]
    assert isinstance(refusal, Refusal)


@pytest.mark.parametrize("chunks", [1, 3, 16])
def test_batches_and_order_change_no_vector(models: Path, chunks: int) -> None:
    """Whatever the batch size and the recordings' order, to within 1e-6 in each number: sums differ in rounding."""
    recordings = [noise(samples, seed) for seed, samples in enumerate([50_000, 3_000, 24_000, 70_001])]
    expected = [vector_of(encoder(models).encode([samples])[0]) for samples in recordings]
    backwards = encoder(models, chunks=chunks).encode(recordings[::-1])
    for result, vector in zip(backwards[::-1], expected, strict=True):
        assert vector_of(result) == pytest.approx(vector, abs=1e-6)


def test_threads_get_the_same_bits(models: Path) -> None:
    """Two at once on one fresh encoder, and the main one."""
    recordings = [noise(40_000), noise(6_000, 1)]
    made = encoder(models)
    found: list[bytes] = []

    def work() -> None:
        found.append(b"".join(vector_of(result).tobytes() for result in made.encode(recordings)))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    work()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_bfloat16_is_near(models: Path) -> None:
    """Its vectors have a cosine above 0.999 with those of float32, and are others."""
    full = vector_of(encoder(models).encode([noise(40_000)])[0])
    half = vector_of(encoder(models, precision="bfloat16").encode([noise(40_000)])[0])
    assert full @ half > 0.999
    assert not np.array_equal(full, half)


def test_input_is_left_alone(models: Path) -> None:
    """Samples that may not be written to are read."""
    samples = noise(24_000)
    samples.flags.writeable = False
    vector_of(encoder(models).encode([samples])[0])


def test_chunk_too_large_for_memory_refuses_its_recording(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where attention runs out of memory on more than 20 latents, the short recording is encoded all the same."""
    attend = torch.nn.functional.scaled_dot_product_attention

    def attend_to_few(query: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        if query.shape[2] > 20:
            raise torch.OutOfMemoryError("out of memory")
        return attend(query, *rest, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend_to_few)
    made = encoder(models)
    short, refusal = made.encode([noise(9_000), noise(30_000)])
    vector_of(short)
    assert refusal == Refusal(made.name, "1", "out_of_memory", "out of memory")


def test_model_too_large_for_memory_is_an_error(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is loaded once and refuses no recording: smaller batches would not help."""
    loads: list[object] = []

    def full(*place: object, **_: object) -> None:
        loads.append(place)
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(Network, "to", full)
    with pytest.raises(torch.OutOfMemoryError):
        encoder(models).encode([noise(30_000), noise(9_000, 1)])
    assert len(loads) == 1


@pytest.mark.parametrize("samples", [np.zeros((24_000, 2), np.float32), np.zeros(24_000, np.int16)])
def test_samples_of_another_shape_or_type_are_an_error(models: Path, samples: np.ndarray) -> None:
    """Two channels, and integers."""
    with pytest.raises(ValueError, match=r"^recording 1: .*expected mono float32 \[N\]"):
        encoder(models).encode([noise(24_000), samples])


def test_vector_that_is_no_number_is_refused(models: Path, tmp_path: Path) -> None:
    """A checkpoint with an infinite weight has bad embeddings."""
    folder = changed(models, tmp_path, lambda state: state["model.conv.linear.bias"].fill_(torch.inf))
    refusal = encoder(folder).encode([noise(24_000)])[0]
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "bad_embedding"


def test_wrong_file_says_the_expected_hash(models: Path) -> None:
    """And the one found."""
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {'0' * 64}, found [0-9a-f]{{64}}"):
        encoder(models, sha256="0" * 64).encode([noise(24_000)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("model.conv.linear.bias"), r"lacks 1 keys of this model: conv\.linear\.bias"),
        (lambda state: state.update({"model.head.bias": torch.zeros(1)}), r"unexpected 1 keys .*: head\.bias"),
        (
            lambda state: state.update({"model.conv.linear.bias": torch.zeros(5)}),
            r"has 1 keys .*: conv\.linear\.bias \(5,\) instead of \(32,\)",
        ),
        (lambda state: state.clear(), "lacks '.*'; expected a checkpoint of MusicFM"),
    ],
)
def test_other_tensors_are_refused(
    models: Path, tmp_path: Path, change: Callable[[State], object], message: str
) -> None:
    """A key too few, too many, of another shape, and another model altogether."""
    with pytest.raises(CheckpointError, match=message):
        encoder(changed(models, tmp_path, change)).encode([noise(24_000)])


def test_pretraining_tensors_may_be_missing(models: Path, tmp_path: Path) -> None:
    """Without quantizer and head the vectors are the same."""

    def prune(state: State) -> None:
        for key in [key for key in state if "quantizer" in key or key.startswith("model.linear")]:
            del state[key]

    pruned = encoder(changed(models, tmp_path, prune)).encode([noise(24_000)])[0]
    assert np.array_equal(vector_of(pruned), vector_of(encoder(models).encode([noise(24_000)])[0]))


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """A dict without state_dict."""
    (tmp_path / "musicfm").mkdir()
    torch.save({"weights": {}}, tmp_path / "musicfm" / "tiny.pt")
    with pytest.raises(CheckpointError, match="holds no state_dict"):
        _ = encoder(tmp_path).dimensions


def test_checkpoint_with_fewer_layers_says_so(models: Path, tmp_path: Path) -> None:
    """Layer 7 of a network of two."""

    def shorten(state: State) -> None:
        for key in [key for key in state if key.startswith("model.conformer.layers.")]:
            if int(key.split(".")[3]) > 1:
                del state[key]

    folder = changed(models, tmp_path, shorten)
    with pytest.raises(ValueError, match=r"musicfm\.layer=7: .*tiny\.pt has 2 layers"):
        encoder(folder).encode([noise(24_000)])
    vector_of(encoder(folder, layer=2).encode([noise(24_000)])[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("{", "expected JSON with melspec_2048_mean and melspec_2048_std"),
        ('{"melspec_2048_mean": 6.5}', "KeyError.*expected JSON with"),
        ('{"melspec_2048_mean": 6.5, "melspec_2048_std": 0}', "deviation 0.0; expected numbers"),
    ],
)
def test_bad_statistics_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    """Missing, no JSON, without the deviation, and with one of zero."""
    if text is not None:
        (tmp_path / "musicfm").mkdir()
        (tmp_path / "musicfm" / "tiny_stats.json").write_text(text)
    with pytest.raises(CheckpointError, match=rf"tiny_stats\.json: .*{message}"):
        _ = encoder(tmp_path).name


def test_statistics_shift_what_is_heard(models: Path, tmp_path: Path) -> None:
    """Another mean gives another vector."""
    folder = changed(models, tmp_path, lambda state: None)
    (folder / "musicfm" / "tiny_stats.json").write_text(json.dumps({"melspec_2048_mean": 0, "melspec_2048_std": 1}))
    other = vector_of(encoder(folder).encode([noise(24_000)])[0])
    assert not np.allclose(other, vector_of(encoder(models).encode([noise(24_000)])[0]), atol=1e-3)
