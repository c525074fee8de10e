import json
import threading

import numpy as np
import pytest
import torch
from transformers import BartForConditionalGeneration, BartTokenizer

from resources.captioner import Captioner, Heard
from resources.checkpoints import CheckpointError
from resources.hashing import sha256_of_file
from resources.lp_musiccaps_captioner import CHUNK_SAMPLES, SAMPLE_RATE_HZ, LPMusicCapsCaptioner
from resources.model_settings import LPMusicCaps
from resources.refusals import Refusal
from resources.sample.checkpoints.lp_musiccaps import BART, CHECKPOINT, WORDS, write
from resources.torch_turn import Turn


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with the tiny checkpoint."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    return folder


def captioner(models, **settings) -> Captioner:
    """The provider on what lies in the folder."""
    sha256 = settings.pop("sha256", None) or sha256_of_file(models / CHECKPOINT)
    chosen = LPMusicCaps(**{"checkpoint": CHECKPOINT, "sha256": sha256, "bart": BART, "max_tokens": 24, **settings})
    return LPMusicCapsCaptioner(chosen, models=models, turn=Turn())


@pytest.fixture(scope="module")
def provider(models) -> Captioner:
    """The provider with three chunks a recording."""
    return captioner(models)


def rewritten(models, folder, change) -> None:
    """A copy of the folder, its state dict changed."""
    write(folder)
    state = torch.load(models / CHECKPOINT, weights_only=True)["state_dict"]
    change(state)
    torch.save({"epoch": 0, "state_dict": state}, folder / CHECKPOINT)


def tone(number: int, *, seconds: float = 10.0) -> np.ndarray:
    """Sounds of which the tiny model says different things."""
    time_s = np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sweep = np.sin(2 * np.pi * 100 * 1.7**number * time_s * (1 + time_s / 30)) * (np.sin((number + 1) * time_s) > 0)
    return (0.3 * sweep).astype(np.float32)


def said(provider: Captioner, *recordings: np.ndarray) -> list[str]:
    """The captions of recordings that have one."""
    results = provider.caption([Heard(str(number), samples_N=samples) for number, samples in enumerate(recordings)])
    assert all(isinstance(result, str) for result in results), results
    return [str(result) for result in results]


def test_one_result_a_track_in_order(provider) -> None:
    """Refusals stand in their track's place, with its id and their reason; no tracks give no results."""
    broken = tone(1)
    broken[7] = np.nan
    endless = tone(1)
    endless[7] = np.inf
    tracks = {"first": tone(0), "none": None, "nan": broken, "inf": endless, "empty": np.zeros(0, np.float32)}
    tracks |= {"short": tone(1, seconds=0.9), "silent": np.zeros(CHUNK_SAMPLES * 2, np.float32), "last": tone(2)}
    results = provider.caption([Heard(track_id, samples_N=samples) for track_id, samples in tracks.items()])
    reasons = {result.location: result.reason for result in results if isinstance(result, Refusal)}
    assert reasons == {"none": "no_samples", "nan": "not_finite", "inf": "not_finite", "empty": "too_short",
                       "short": "too_short", "silent": "silent"}  # fmt: skip
    assert [results[0], results[-1]] == said(provider, tone(0), tone(2))
    assert all(result.source == provider.name for result in results if isinstance(result, Refusal))
    assert provider.caption([]) == []


def test_sounds_differ_in_words(provider) -> None:
    """Captions are of the model's words, and not all alike."""
    captions = said(provider, *map(tone, range(8)))
    assert len(set(captions)) > 3
    assert set(" ".join(captions).split()) <= set(WORDS)


def test_a_caption_does_not_depend_on_other_tracks(models, provider) -> None:
    """Alone, together, in another order or in batches of two, each recording is described alike."""
    recordings = [tone(number, seconds=10 + 7 * number) for number in range(5)]
    together = said(provider, *recordings)
    assert together == [said(provider, recording)[0] for recording in recordings]
    assert together == said(provider, *reversed(recordings))[::-1]
    assert together == said(captioner(models, chunks=2), *recordings)


def test_chunks_are_spread_evenly(models) -> None:
    """Of seven chunks the second, fourth and sixth are described; of one the fourth; of ten wanted all seven."""
    one = captioner(models, captions=1)
    parts = [tone(number) for number in range(7)]
    captions = said(one, *parts)
    assert len({captions[number] for number in (0, 2, 3, 5)}) == 4
    for wanted, heard in ((3, [1, 3, 5]), (1, [3]), (10, range(7))):
        expected = " ".join(dict.fromkeys(captions[number] for number in heard))
        assert said(captioner(models, captions=wanted), np.concatenate(parts)) == [expected]


def test_a_repeated_caption_is_said_once(provider) -> None:
    """Three times the same ten seconds are described as one time."""
    assert said(provider, np.tile(tone(3), 3)) == said(provider, tone(3))


def test_the_tail_is_not_heard(provider) -> None:
    """What follows the last whole chunk changes nothing."""
    assert said(provider, np.concatenate([tone(0), tone(5, seconds=9.9)])) == said(provider, tone(0))


def test_a_short_recording_is_padded(provider) -> None:
    """Three seconds are heard as three seconds and seven of silence."""
    short = tone(1, seconds=3)
    assert said(provider, short) == said(provider, np.pad(short, (0, CHUNK_SAMPLES - len(short))))


def test_silent_chunks_are_not_heard(provider) -> None:
    """A minute of silence around a sound takes none of its captions away."""
    silence = np.zeros(3 * CHUNK_SAMPLES, np.float32)
    assert said(provider, np.concatenate([silence, tone(4), silence])) == said(provider, tone(4))


def test_a_model_without_words_is_refused(models, tmp_path) -> None:
    """Where the model ends each caption at once, there is none."""

    def silenced(state) -> None:
        state["bart.final_logits_bias"][0, 2] = 1e4

    rewritten(models, tmp_path, silenced)
    result = captioner(tmp_path).caption([Heard("a", samples_N=tone(0))])[0]
    assert isinstance(result, Refusal)
    assert (result.location, result.reason) == ("a", "empty_caption")


def test_out_of_memory_halves_the_batch_or_refuses_the_track(models, monkeypatch) -> None:
    """Too many chunks at once are halved; a model too large for one chunk refuses each track by name."""
    generate = BartForConditionalGeneration.generate
    most = [2]

    def limited(self, *args, **settings):
        if len(settings["decoder_input_ids"]) > most[0]:
            raise torch.OutOfMemoryError("too large")
        return generate(self, *args, **settings)

    expected = said(captioner(models), tone(0), tone(1), tone(2))
    monkeypatch.setattr(BartForConditionalGeneration, "generate", limited)
    assert said(captioner(models), tone(0), tone(1), tone(2)) == expected
    most[0] = 0
    results = captioner(models).caption([Heard("a", samples_N=tone(0)), Heard("b"), Heard("c", samples_N=tone(1))])
    assert [(result.location, result.reason) for result in results if isinstance(result, Refusal)] == [
        ("a", "out_of_memory"),
        ("b", "no_samples"),
        ("c", "out_of_memory"),
    ]


def test_two_threads_get_what_one_gets(models) -> None:
    """The model is loaded once and says the same from any thread, whatever torch's own seed."""
    provider, results = captioner(models), {}

    def ask(number: int) -> None:
        torch.manual_seed(number)
        results[number] = said(provider, tone(number), tone(number + 1))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: said(captioner(models), tone(number), tone(number + 1)) for number in range(3)}


def test_half_the_digits_still_describe(models) -> None:
    """In 16 bits there is a caption too, and the name says so."""
    provider = captioner(models, precision="bfloat16")
    assert said(provider, tone(0), tone(1))
    assert "bfloat16" in provider.name


@torch.inference_mode()
def test_half_the_digits_hear_the_same(provider, models) -> None:
    """What enters BART is the same bits, of 32; what its encoder makes of it has a cosine above 0.999 everywhere."""
    heard, encoded = [], []
    for loaded in (provider._loaded, captioner(models, precision="bfloat16")._loaded):
        mels = loaded.mel_encoder(torch.from_numpy(np.stack([tone(0), tone(1)])))
        heard.append(loaded.model.audio_encoder(mels))
        states = loaded.model.bart.model.encoder(inputs_embeds=heard[-1].to(loaded.model.bart.dtype))
        encoded.append(states.last_hidden_state)
    assert heard[0].dtype == torch.float32
    assert torch.equal(*heard)
    assert [states.dtype for states in encoded] == [torch.float32, torch.bfloat16]
    assert torch.nn.functional.cosine_similarity(encoded[0], encoded[1].float(), dim=-1).min() > 0.999


def test_a_data_parallel_checkpoint_is_the_same(provider, models, tmp_path) -> None:
    """Where every key begins with `module.`, as DataParallel saves them, the captions are those without."""

    def wrapped(state) -> None:
        for key in list(state):
            state[f"module.{key}"] = state.pop(key)

    rewritten(models, tmp_path, wrapped)
    assert said(captioner(tmp_path), tone(0), tone(1)) == said(provider, tone(0), tone(1))


@pytest.mark.parametrize("samples", [np.zeros((CHUNK_SAMPLES, 2), np.float32), np.zeros(CHUNK_SAMPLES, np.int16)])
def test_samples_of_another_shape_or_type_are_an_error(provider, samples) -> None:
    """Two channels, and integers."""
    with pytest.raises(ValueError, match=r"^track b: .*expected mono float32 \[N\]"):
        provider.caption([Heard("a", samples_N=tone(0)), Heard("b", samples_N=samples)])


def test_the_name_says_what_changes_captions(models) -> None:
    """Hashes, chunks, beams, tokens and precision are in it; the batch is not; no weights are read for it."""
    name = captioner(models).name
    assert sha256_of_file(models / CHECKPOINT)[:12] in name
    changed = {"captions": 2, "beams": 4, "max_tokens": 23, "precision": "bfloat16", "sha256": "0" * 64}
    assert len({name, *(captioner(models, **{field: value}).name for field, value in changed.items())}) == 6
    assert captioner(models, chunks=1, checkpoint="not/there.pth").name == name


def test_another_file_is_refused_with_both_hashes(models) -> None:
    """A file that is not the pinned one is not opened; without a pin the error says what to pin."""
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {'0' * 64}, found"):
        said(captioner(models, sha256="0" * 64), tone(0))
    provider = LPMusicCapsCaptioner(LPMusicCaps(checkpoint=CHECKPOINT, bart=BART), models=models, turn=Turn())
    with pytest.raises(CheckpointError, match="not pinned"):
        said(provider, tone(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("bart.lm_head.weight"), r"lacks 1 keys.*bart\.lm_head\.weight"),
        (lambda state: state.pop("audio_encoder.conv1.weight"), r"lacks 'audio_encoder\.conv1\.weight'"),
        (lambda state: state.update({"audio_encoder.proj.weight": torch.zeros(1)}), "unexpected 1 keys.*proj"),
        (lambda state: state.update({"bart.final_logits_bias": torch.zeros(1, 5)}), r"\(1, 5\) instead of"),
    ],
)
def test_the_checkpoint_is_loaded_strictly(models, tmp_path, change, message) -> None:
    """A missing key, one too many, or another shape is an error that names it."""
    rewritten(models, tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        said(captioner(tmp_path), tone(0))


def test_other_files_are_refused(models, tmp_path) -> None:
    """Neither a bare dict of tensors, nor a folder without tokenizer, nor one of another vocabulary is taken."""
    write(tmp_path)
    torch.save({"weight": torch.zeros(1)}, tmp_path / CHECKPOINT)
    with pytest.raises(CheckpointError, match="no state_dict"):
        said(captioner(tmp_path), tone(0))
    config = tmp_path / BART / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_bytes()), "vocab_size": 50265}))
    with pytest.raises(CheckpointError, match=r"tokens; config\.json says 50265"):
        said(captioner(tmp_path), tone(0))
    config.unlink()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        said(captioner(tmp_path), tone(0))


def test_the_tiny_tokenizer_merges_whole_words(models) -> None:
    """A word after a space is one token, any other text is bytes; special tokens have BART's numbers."""
    tokenizer = BartTokenizer.from_pretrained(models / BART)
    assert all(len(tokenizer(f" {word}", add_special_tokens=False)["input_ids"]) == 1 for word in WORDS)
    assert (
        tokenizer.decode(tokenizer(" soft \N{CYRILLIC SMALL LETTER YA}")["input_ids"])
        == "<s> soft \N{CYRILLIC SMALL LETTER YA}</s>"
    )
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>", "<unk>"]) == [0, 1, 2, 3]
