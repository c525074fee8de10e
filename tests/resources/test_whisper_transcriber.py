import math
import random
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from whisper import _MODELS as PUBLISHED
from whisper.tokenizer import get_tokenizer

from resources.batching import Batches
from resources.checkpoints import CheckpointError
from resources.hashing import sha256_of_file
from resources.model_settings import Whisper
from resources.refusals import Refusal
from resources.sample.checkpoints.whisper import DIMS, FILE, write
from resources.torch_turn import Turn
from resources.transcriber import Recording, Transcript
from resources.whisper_decoding import Attempt, parsed
from resources.whisper_transcriber import ROUNDS, WhisperTranscriber, checkpoint_of, load

RATE_HZ = 16_000
LARGE_V3 = "e5b1a55b89c1367dacf97e3e19bfd829a01529dbfdeefa8caeb59b3f1b81dadb"
TOKENIZER = get_tokenizer(multilingual=True)

Build = Callable[..., WhisperTranscriber]
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def build(models: Path) -> Build:
    """A transcriber of the tiny checkpoint with some settings."""
    sha256 = sha256_of_file(models / FILE)

    def built(**settings: Any) -> WhisperTranscriber:
        chosen = {"checkpoint": FILE, "sha256": sha256, "beams": 2, "temperatures": [0.0, 0.6], **settings}
        return WhisperTranscriber(Whisper(**chosen), models=models, turn=Turn(), device="cpu")

    return built


@pytest.fixture(scope="module")
def tiny(build: Build) -> WhisperTranscriber:
    """One such transcriber for all tests that only listen."""
    return build()


def song(seed: int, duration_s: float) -> Samples:
    """Four notes a second."""
    times_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    notes_hz = np.random.default_rng(seed).uniform(150, 900, math.ceil(duration_s * 4)).repeat(RATE_HZ // 4)
    phase = 2 * np.pi * np.cumsum(notes_hz[: len(times_s)]) / RATE_HZ
    return (np.sin(phase) * (0.3 + 0.2 * np.sin(6 * np.pi * times_s))).astype(np.float32)


def recording(samples_N: Samples, track_id: str = "t") -> Recording:
    """A recording of these samples."""
    return Recording(track_id, Path(), "t.flac", samples_N)


def spoiled(samples_N: Samples) -> Samples:
    """With one sample that is no number."""
    samples_N[100] = np.nan
    return samples_N


def attempt(*tokens: int, **statistics: float) -> Attempt:
    """An attempt with these tokens and good statistics, but for those given."""
    return Attempt(tokens, -0.5, 0.1, 1.5, 0.0)._replace(**statistics)


def stamp(time_s: float) -> int:
    """The token of a moment."""
    return TOKENIZER.timestamp_begin + round(time_s * 50)


def test_one_result_per_recording_in_order(tiny: WhisperTranscriber) -> None:
    """Sung, silent, instrumental (a tone, noise), not finite, too short and sung again, each at its place."""
    tone_N = np.sin(np.arange(3 * RATE_HZ) / 10).astype(np.float32)
    noise_N = np.random.default_rng(7).normal(0, 0.1, 3 * RATE_HZ).astype(np.float32)
    samples = [song(1, 3), np.full(RATE_HZ, 1e-5, np.float32), tone_N, noise_N, spoiled(song(1, 3)), song(1, 0)]
    results = tiny.transcribe(
        [recording(samples_N, str(place)) for place, samples_N in enumerate([*samples, song(2, 3)])]
    )
    outcomes = [
        (result.location, result.reason) if isinstance(result, Refusal) else result.status for result in results
    ]
    assert outcomes == [
        "sung",
        "silent",
        "instrumental",
        "instrumental",
        ("4", "not_finite"),
        ("5", "too_short"),
        "sung",
    ]
    assert tiny.transcribe([]) == []


def test_segments_follow_each_other_inside_the_recording(tiny: WhisperTranscriber) -> None:
    """Two windows that are parted by a pause: text, ordered times, and the statistics of what was decoded."""
    samples_N = np.concatenate([song(1, 20), np.zeros(2 * RATE_HZ, np.float32), song(2, 25.5)])
    (result,) = tiny.transcribe([recording(samples_N)])
    assert isinstance(result, Transcript)
    times_s = [time_s for segment in result.segments for time_s in (segment.start_s, segment.end_s)]
    assert times_s == sorted(times_s)
    assert 0 <= times_s[0] < 20
    assert 22 < times_s[-1] <= 47.5
    assert result.origin == tiny.name
    for segment in result.segments:
        assert segment.text == segment.text.strip() != ""
        assert segment.mean_logprob < 0 < segment.compression_ratio
        assert 0 <= segment.no_speech_probability <= 1
        assert segment.temperature in (0.0, 0.6)


def test_company_threads_and_the_global_seed_change_nothing(build: Build, tiny: WhisperTranscriber) -> None:
    """On a CPU a transcript is the same to the bit, also where it is drawn at a temperature."""
    for transcriber in (tiny, build(temperatures=[0.9])):
        recordings = [recording(song(seed, 4 + seed), str(seed)) for seed in range(3)]
        together = transcriber.transcribe(recordings)
        torch.manual_seed(random.Random(1).randrange(100))
        assert [transcriber.transcribe([alone])[0] for alone in reversed(recordings)] == together[::-1]
        heard: list[Any] = []
        thread = threading.Thread(target=lambda: heard.extend(transcriber.transcribe(recordings)))  # noqa: B023
        thread.start()
        thread.join()
        assert heard == together


def test_windows_of_a_batch_do_not_mix(build: Build) -> None:
    """Two windows decoded at once have the tokens that each has alone: with beams, and with draws."""
    for temperatures in ([0.0], [0.7]):
        ears = build(temperatures=temperatures, beams=3)._ears
        windows = [song(3, 9), song(4, 5)]
        together = ears.attempts(windows, language="en")
        alone = [ears.attempts([window], language="en")[0] for window in windows]
        assert [made.tokens for made in together] == [made.tokens for made in alone]
        assert together[0].tokens != together[1].tokens
        np.testing.assert_allclose([made[1:] for made in together], [made[1:] for made in alone], atol=1e-5)


def test_other_samples_draw_other_words(build: Build) -> None:
    """The seed is the window's own: draws of two windows differ."""
    ears = build(temperatures=[1.0])._ears
    first, second = (ears.attempts([song(3, 9) * volume], language="en") for volume in (1.0, 1.0001))
    assert first[0].tokens != second[0].tokens


def test_a_failed_window_is_decoded_again(build: Build) -> None:
    """A network that is unsure of everything fails at each temperature: of its attempts the likeliest counts."""
    tried = []
    for temperatures in ([0.0], [0.5], [0.0, 0.5], [0.5, 0.0]):
        ears = build(temperatures=temperatures)._ears
        with torch.no_grad():
            ears.network.decoder.ln.weight *= 0.3
        tried.append(ears.attempts([song(1, 6)], language="en")[0])
    assert not tried[0].is_good
    assert not tried[1].is_good
    assert tried[2] == tried[3] == max(tried[:2], key=lambda made: made.rank)


def test_a_network_without_numbers_is_survived(build: Build) -> None:
    """At whatever temperature: its recording is refused, and not taken for an instrumental one."""
    broken = build(temperatures=[0.0, 0.5])
    with torch.no_grad():
        broken._ears.network.decoder.ln.weight *= torch.nan
    refusal = Refusal(broken.name, "t", "not_finite", "probabilities that are no numbers")
    assert broken.transcribe([recording(song(1, 6))]) == [refusal]


def test_what_counts_as_failed() -> None:
    """Repetitive, unlikely or no number; an unlikely text in what is no speech is silence and stays."""
    assert attempt().is_good
    assert not attempt(compression_ratio=2.5).is_good
    assert not attempt(mean_logprob=-1.1).is_good
    assert attempt(mean_logprob=-1.1, no_speech_probability=0.7).is_good
    for statistic in ("mean_logprob", "compression_ratio"):
        assert not attempt(**{statistic: math.nan}).is_good
    ranked = [attempt(mean_logprob=math.nan), attempt(mean_logprob=-2), attempt(compression_ratio=3, mean_logprob=-0.1)]
    assert max(ranked, key=lambda made: made.rank) is ranked[1]


def test_pairs_of_stamps_part_segments() -> None:
    """Times count from the window; what follows the last pair is left to the next round."""
    la, di = TOKENIZER.encode(" la"), TOKENIZER.encode(" di")
    tokens = [stamp(0.5), *la, *la, stamp(2), stamp(2), *di, stamp(3.5), stamp(3.5), *la]
    segments, done_s = parsed(attempt(*tokens), TOKENIZER, start_s=10, end_s=40)
    assert [segment[:3] for segment in segments] == [("la la", 10.5, 12.0), ("di", 12.0, 13.5)]
    assert segments[0][3:] == (-0.5, 0.1, 1.5, 0.0)
    assert done_s == 13.5


def test_a_single_stamp_at_the_end_is_the_end() -> None:
    """Nothing is sung after it, so that nothing is decoded again; the same without any pair."""
    la = TOKENIZER.encode(" la")
    for tokens, count in (([stamp(0), *la, stamp(2), stamp(2), *la, stamp(4)], 2), ([stamp(0), *la, stamp(4)], 1)):
        segments, done_s = parsed(attempt(*tokens), TOKENIZER, start_s=10, end_s=40)
        assert len(segments) == count
        assert segments[-1].end_s == 14.0
        assert done_s == 40


def test_text_without_an_end_lasts_to_the_window_end() -> None:
    """Also text without any stamp, and no text is no segment."""
    la = TOKENIZER.encode(" la")
    assert parsed(attempt(stamp(1), *la), TOKENIZER, start_s=10, end_s=15).segments[0][:3] == ("la", 11.0, 15)
    assert parsed(attempt(*la), TOKENIZER, start_s=10, end_s=15).segments[0][:3] == ("la", 10, 15)
    assert parsed(attempt(stamp(1)), TOKENIZER, start_s=10, end_s=15) == ([], 15)
    assert parsed(attempt(), TOKENIZER, start_s=10, end_s=15) == ([], 15)


def test_stamps_behind_the_window_end_with_it() -> None:
    """Windows are padded to 30 s: a segment that reaches into the padding is cut, one inside of it is none."""
    la = TOKENIZER.encode(" la")
    tokens = [stamp(1), *la, stamp(9), stamp(9), *la, stamp(12), stamp(12)]
    segments, done_s = parsed(attempt(*tokens), TOKENIZER, start_s=10, end_s=15)
    assert [segment[:3] for segment in segments] == [("la", 11.0, 15)]
    assert done_s == 15


def test_silence_is_not_decoded_again() -> None:
    """A window that the model takes for silence keeps its text and is done."""
    la = TOKENIZER.encode(" la")
    silent = attempt(stamp(0), *la, stamp(2), stamp(2), *la, mean_logprob=-1.5, no_speech_probability=0.9)
    segments, done_s = parsed(silent, TOKENIZER, start_s=0, end_s=30)
    assert len(segments) == 2
    assert done_s == 30


def test_what_decoding_left_is_decoded_in_another_round(build: Build) -> None:
    """The first round stops inside of one of these windows; segments come from behind that place."""
    english = build(language="en")
    done_s = {
        seed: parsed(english._ears.attempts([song(seed, 25)], language="en")[0], TOKENIZER, start_s=0, end_s=25).done_s
        for seed in range(4)
    }
    seed = min(done_s, key=lambda seed: done_s[seed])
    assert done_s[seed] < 24.5
    (result,) = english.transcribe([recording(song(seed, 25))])
    assert isinstance(result, Transcript)
    assert result.segments[-1].start_s >= done_s[seed]


def test_rounds_are_limited(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window that takes most of them is left after two where two are the limit; each round encodes it once."""
    drawing = build(language="en", temperatures=[0.8])
    encoded: list[int] = []
    drawing._ears.network.encoder.register_forward_pre_hook(lambda _, mel: encoded.append(len(mel[0])))

    def rounds(seed: int) -> int:
        encoded.clear()
        drawing.transcribe([recording(song(seed, 29))])
        return len(encoded)

    most = max(range(11), key=rounds)
    assert 2 < rounds(most) <= ROUNDS
    monkeypatch.setattr("resources.whisper_transcriber.ROUNDS", 2)
    assert rounds(most) == 2


def test_the_language_is_detected_or_set(build: Build, tiny: WhisperTranscriber) -> None:
    """Detected with its probability; set without one; the text depends on it."""
    samples_N = song(1, 5)
    detected, fixed = (each.transcribe([recording(samples_N)])[0] for each in (tiny, build(language="is")))
    assert isinstance(detected, Transcript)
    assert isinstance(fixed, Transcript)
    assert detected.language in tiny._ears.codes
    assert 1 / 99 < (detected.language_probability or 0) <= 1
    assert (fixed.language, fixed.language_probability) == ("is", None)


def test_an_unknown_language_is_an_error(build: Build) -> None:
    """The error says which languages the checkpoint knows."""
    with pytest.raises(ValueError, match=r"whisper\.language=xx: this checkpoint knows af am"):
        build(language="xx").transcribe([recording(song(1, 3))])


def test_samples_must_be_mono(tiny: WhisperTranscriber) -> None:
    """Two channels, or none, are a caller's mistake."""
    with pytest.raises(ValueError, match="expected mono samples at 16000 Hz"):
        tiny.transcribe([recording(np.zeros((2, 16_000), np.float32))])
    with pytest.raises(ValueError, match="expected mono samples"):
        tiny.transcribe([Recording("t", Path(), "t.flac")])


def test_too_much_for_the_memory_is_refused(build: Build) -> None:
    """Where even one window does not fit, its recording is refused, and the others go on."""

    def full(_: torch.nn.Module, mel: tuple[torch.Tensor]) -> None:
        if mel[0][0, :, 2_900].max() > mel[0].min():
            raise torch.OutOfMemoryError("CUDA out of memory")

    small = build()
    small._ears.network.encoder.register_forward_pre_hook(full)
    long, short = small.transcribe([recording(song(1, 29.5), "long"), recording(song(1, 5), "short")])
    assert long == Refusal(small.name, "long", "out_of_memory", "CUDA out of memory")
    assert isinstance(short, Transcript)


def test_what_fits_is_learned_once(build: Build) -> None:
    """Windows of 12, 6 and 3 s cost the same 30 s: after the first pair that is too much all go one by one."""
    sizes = []

    def full(_: torch.nn.Module, mel: tuple[torch.Tensor]) -> None:
        sizes.append(len(mel[0]))
        if len(mel[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    pairs = build(language="en", temperatures=[0.0])
    pairs._batches = Batches(2)
    pairs._ears.network.encoder.register_forward_pre_hook(full)
    results = pairs.transcribe([recording(song(1, duration_s)) for duration_s in (3, 12, 6, 3, 12, 6)])
    assert all(isinstance(result, Transcript) for result in results)
    assert sizes.count(2) == 1


def test_windows_of_like_length_are_a_batch(build: Build) -> None:
    """The longest first, because a batch lasts as long as its longest text; results stay with their recordings."""
    recordings = [recording(song(duration_s, duration_s)) for duration_s in (3, 12, 4, 11)]
    batches: list[list[int]] = []

    def lengths_s(_: torch.nn.Module, mel: tuple[torch.Tensor]) -> None:
        batches.append([int((mel_MT > mel_MT.min()).any(dim=0).sum()) // 100 for mel_MT in mel[0]])

    pairs = build(language="en", temperatures=[0.0])
    alone = [pairs.transcribe([each])[0] for each in recordings]
    pairs._batches = Batches(2)
    pairs._ears.network.encoder.register_forward_pre_hook(lengths_s)
    together = pairs.transcribe(recordings)
    assert batches[:2] == [[12, 11], [4, 3]]
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, Transcript)
        assert isinstance(other, Transcript)
        assert [segment.text for segment in one.segments] == [segment.text for segment in other.segments]


def test_bfloat16_transcribes(build: Build) -> None:
    """Layer norms stay in float32, and the text is written."""
    half = build(precision="bfloat16")
    (result,) = half.transcribe([recording(song(1, 5))])
    assert isinstance(result, Transcript)
    assert result.status == "sung"
    kinds = {key: value.dtype for key, value in half._ears.network.state_dict().items()}
    assert kinds["encoder.conv1.weight"] == torch.bfloat16
    assert kinds["decoder.ln.weight"] == torch.float32


def test_the_name_says_what_changes_transcripts(build: Build, models: Path) -> None:
    """Settings and hash, but neither batches nor the device; no file is needed to say it."""
    names = {build(**setting).name for setting in ({}, {"beams": 3}, {"language": "de"}, {"vocal_onset": 0.2})}
    assert len(names) == 4
    assert build(windows=3).name == build().name
    named = WhisperTranscriber(Whisper(checkpoint="large-v3"), models=models / "gone", turn=Turn())
    assert f"large-v3 {LARGE_V3[:12]}" in named.name


def test_another_file_is_not_opened(build: Build, models: Path) -> None:
    """The error names the hash that was expected; without a pinned one it names the hash to pin."""
    with pytest.raises(CheckpointError, match="expected SHA-256 0123, found"):
        build(sha256="0123").transcribe([recording(song(1, 3))])
    with pytest.raises(CheckpointError, match=f"set its sha256 to {sha256_of_file(models / FILE)}"):
        _ = build(sha256="").name


def test_a_named_model_must_be_the_published_file(tmp_path: Path) -> None:
    """A file at its place with other bytes is refused with the published hash, and is not downloaded again."""
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper/large-v3.pt").write_bytes(b"something else")
    named = WhisperTranscriber(Whisper(checkpoint="large-v3"), models=tmp_path, turn=Turn())
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {LARGE_V3}"):
        named.transcribe([recording(song(1, 3))])


def test_a_named_model_is_downloaded_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes come to its place before anything opens them; those of another hash do not."""
    torch.save({"model_state_dict": {}}, tmp_path / "served.pt")
    expected: list[tuple[str, type[Exception], list[str]]] = [
        (sha256_of_file(tmp_path / "served.pt"), CheckpointError, ["large-v3.pt"]),
        ("0" * 64, ConnectionError, []),
    ]
    for sha256, error, names in expected:
        source = tmp_path / "web" / sha256 / "large-v3.pt"
        source.parent.mkdir(parents=True)
        shutil.copyfile(tmp_path / "served.pt", source)
        monkeypatch.setitem(PUBLISHED, "large-v3", source.as_uri())
        checkpoint = checkpoint_of(Whisper(checkpoint="large-v3"), tmp_path / sha256)
        with pytest.raises(error):
            load(checkpoint, "float32")
        assert [path.name for path in checkpoint.path.parent.iterdir()] == names


def test_a_named_model_that_cannot_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network the error says where the file is wanted, and nothing is left behind."""

    def unreachable(url: str) -> None:
        assert url == PUBLISHED["large-v3"]
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    named = WhisperTranscriber(Whisper(checkpoint="large-v3"), models=tmp_path, turn=Turn())
    said = r"^\S+whisper/large-v3\.pt: no such file, and large-v3 cannot be downloaded: .*no network.*$"
    with pytest.raises(ConnectionError, match=said) as error:
        named.transcribe([recording(song(1, 3))])
    assert "\n" not in str(error.value)
    assert list((tmp_path / "whisper").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file["model_state_dict"].pop("decoder.ln.bias"), "lacks 1 keys of this model: decoder.ln.bias"),
        (
            lambda file: file["model_state_dict"].update(extra=torch.zeros(1)),
            "has unexpected 1 keys of this model: extra",
        ),
        (lambda file: file["dims"].update(n_text_state=32), "instead of"),
        (lambda file: file["dims"].update(n_layer=1), "dims are not openai-whisper's"),
        (lambda file: file.pop("dims"), "expected dims and model_state_dict, found model_state_dict"),
    ],
)
def test_another_form_is_refused(models: Path, tmp_path: Path, change: Callable[[Any], Any], said: str) -> None:
    """Missing and extra keys, other sizes and other dims are named."""
    file = torch.load(models / FILE, weights_only=True)
    change(file)
    torch.save(file, tmp_path / "other.pt")
    settings = Whisper(checkpoint="other.pt", sha256=sha256_of_file(tmp_path / "other.pt"))
    with pytest.raises(CheckpointError, match=said):
        load(checkpoint_of(settings, tmp_path), "float32")


def test_the_published_layout_loads() -> None:
    """The published large-v3 has another vocabulary and other mels: its keys are those of its dims."""
    from whisper.model import ModelDimensions

    from resources.whisper_transcriber import _without_weights

    network = _without_weights(ModelDimensions(128, 1500, 1280, 20, 32, 51_866, 448, 1280, 20, 32))
    state = network.state_dict()
    assert state["decoder.token_embedding.weight"].shape == (51_866, 1280)
    assert sum(value.numel() for value in state.values()) == 1_543_490_560


def test_half_precision_files_compute_in_float32(models: Path, tmp_path: Path) -> None:
    """Published files hold float16."""
    file = torch.load(models / FILE, weights_only=True)
    file["model_state_dict"] = {key: value.half() for key, value in file["model_state_dict"].items()}
    torch.save(file, tmp_path / "half.pt")
    settings = Whisper(checkpoint="half.pt", sha256=sha256_of_file(tmp_path / "half.pt"))
    network = load(checkpoint_of(settings, tmp_path), "float32")
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_the_tiny_checkpoint_has_the_same_bytes(models: Path, tmp_path: Path) -> None:
    """Written again it is the same file; another seed writes another; the environment pins it."""
    environment = write(tmp_path)
    assert environment == {"MUSIC_WHISPER__CHECKPOINT": FILE, "MUSIC_WHISPER__SHA256": sha256_of_file(models / FILE)}
    assert write(tmp_path, seed=8)["MUSIC_WHISPER__SHA256"] != environment["MUSIC_WHISPER__SHA256"]
    assert set(torch.load(tmp_path / FILE, weights_only=True)["dims"]) == set(DIMS)
