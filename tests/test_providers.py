"""The one contract that every provider keeps: a result or a refusal for each input, in order, whatever the input."""

import io
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from assets.content.hearing import NEEDS
from assets.content.listening import ear_needs, hear, open_ears
from resources.audio_encoder import Samples
from resources.captioner import Heard
from resources.content_settings import Content
from resources.model_settings import WorkersSection
from resources.profile import Embeddings, Profile, chosen_profile
from resources.providers import audio_encoder, captioner, text_encoder, transcriber
from resources.refusals import Refusal
from resources.sample.checkpoints.__main__ import write_all
from resources.transcriber import Recording, Transcript

LISTENS = ("whisper", "lp_musiccaps", "spectral", "musicfm", "clap")
READS = ("hashed_ngrams", "nv_embed", "sentence_model", "clap text")
CAP_S = 12.0

Answer = Transcript | str | np.ndarray | Refusal


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The paper profile on tiny checkpoints."""
    models = tmp_path_factory.mktemp("models")
    profile = chosen_profile({"MUSIC_PROFILE": "paper", **write_all(models)})
    content = profile.content.model_copy(update={"max_audio_s": CAP_S})
    return profile.model_copy(update={"content": content, "workers": WorkersSection(preparers=1, batch=3)})


def listener_of(kind: str, paper: Profile) -> tuple[int, Callable[[Sequence[Samples]], Sequence[Answer]]]:
    """The rate that a provider listens at, and what it makes of sounds."""
    if kind == "whisper":
        whisper = transcriber(paper)
        assert whisper.sample_rate_hz
        recorded = lambda sounds: [Recording(str(at), Path(), "", sound) for at, sound in enumerate(sounds)]  # noqa: E731
        return whisper.sample_rate_hz, lambda sounds: whisper.transcribe(recorded(sounds))
    if kind == "lp_musiccaps":
        captions = captioner(paper)
        assert captions.sample_rate_hz
        heard = lambda sounds: [Heard(str(at), samples_N=sound) for at, sound in enumerate(sounds)]  # noqa: E731
        return captions.sample_rate_hz, lambda sounds: captions.caption(heard(sounds))
    encoder = audio_encoder(kind, paper)
    return encoder.sample_rate_hz, encoder.encode


def reader_of(kind: str, paper: Profile) -> Callable[[Sequence[str]], Sequence[Answer]]:
    """What a text encoder makes of texts."""
    if kind == "clap text":
        from resources.clap_encoder import ClapTextEncoder
        from resources.torch_turn import Turn

        return ClapTextEncoder(paper.clap, models=Path(paper.models), turn=Turn()).encode
    embeddings = Embeddings(**{**paper.embeddings.model_dump(), "text_encoder": kind})
    return text_encoder(paper.model_copy(update={"embeddings": embeddings})).encode


def tone(rate_hz: int, duration_s: float, hertz: float) -> Samples:
    """A voice-like sound: a tone with overtones and syllables."""
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    sound = sum(np.sin(2 * np.pi * hertz * number * times_s) / number for number in (1, 2, 3, 4, 5))
    return (0.2 * sound * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * times_s))).astype(np.float32)


def is_alike(one: Answer, other: Answer) -> bool:
    """Whether two answers to one input agree: vectors up to rounding (16 bits are enough), all else exactly."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return float(one @ other) > 0.999
    if isinstance(one, Refusal) and isinstance(other, Refusal):
        return one.reason == other.reason
    if isinstance(one, Transcript) and isinstance(other, Transcript):
        return one.status == other.status and [s.text for s in one.segments] == [s.text for s in other.segments]
    return bool(one == other)


@pytest.mark.parametrize("kind", LISTENS)
def test_sounds_are_answered_in_order(kind: str, paper: Profile) -> None:
    """Each sound gets, among others of all kinds, what it gets alone; NaN and nothing are refused, silence is known."""
    rate_hz, listen = listener_of(kind, paper)
    silence, broken = np.zeros(3 * rate_hz, np.float32), tone(rate_hz, 3, 220)
    broken[rate_hz] = np.nan
    sounds = [
        tone(rate_hz, 2.5, 330),
        silence,
        tone(rate_hz, 11, 180),
        broken,
        np.zeros(0, np.float32),
        tone(rate_hz, 4, 260),
    ]
    answers = listen(sounds)
    assert len(answers) == len(sounds)
    for at, sound in enumerate(sounds):
        assert is_alike(answers[at], listen([sound])[0]), at
    assert isinstance(answers[3], Refusal)
    for quiet in (answers[1], answers[4]):
        assert isinstance(quiet, Refusal) or (isinstance(quiet, Transcript) and quiet.status == "silent")
    for heard in (answers[0], answers[2], answers[5]):
        if isinstance(heard, np.ndarray):
            assert heard.dtype == np.float32
            assert np.linalg.norm(heard) == pytest.approx(1, abs=1e-5)
    assert list(listen([])) == []


@pytest.mark.parametrize("kind", LISTENS)
def test_sounds_get_the_same_answer_twice(kind: str, paper: Profile) -> None:
    """From a second provider too: nothing is drawn at random but by a seed."""
    answers = []
    for _ in range(2):
        rate_hz, listen = listener_of(kind, paper)
        answers.append(listen([tone(rate_hz, 3, 200), tone(rate_hz, 5, 300)]))
    for one, other in zip(*answers, strict=True):
        assert one.tobytes() == other.tobytes() if isinstance(one, np.ndarray) else one == other


@pytest.mark.parametrize("kind", READS)
def test_texts_are_answered_in_order(kind: str, paper: Profile) -> None:
    """Each text gets, among others of all lengths, what it gets alone; blank ones are refused."""
    read = reader_of(kind, paper)
    texts = [
        "slow folk song",
        "",
        "word " * 3_000,
        " \n",
        "\U0001f3b8 caf\u00e9 \u97f3\u697d",
        "slow folk song",
        "a\x00b",
    ]
    answers = read(texts)
    assert len(answers) == len(texts)
    for at, text in enumerate(texts):
        assert is_alike(answers[at], read([text])[0]), at
    assert [isinstance(answer, Refusal) for answer in answers] == [False, True, False, True, False, False, False]
    assert is_alike(answers[0], answers[5])
    vectors = [answer for answer in answers if isinstance(answer, np.ndarray)]
    assert {vector.dtype for vector in vectors} == {np.dtype(np.float32)}
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert list(read([])) == []


def encoded(samples: np.ndarray, rate_hz: int, form: str) -> bytes:
    """The samples as a file of this format."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=form)
    return file.getvalue()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Files of every kind that a folder of audio may hold, as (track_id, path, sha256) with their folder's name."""
    folder = tmp_path_factory.mktemp("audio")
    sound = tone(44_100, 3, 220)
    three_hours = folder / "3 hours.flac"
    with soundfile.SoundFile(three_hours, "w", 8_000, 1, format="FLAC") as file:
        minute = tone(8_000, 60, 220)
        for _ in range(180):
            file.write(minute)
    raws = {
        "8 khz.wav": encoded(tone(8_000, 3, 220), 8_000, "WAV"),
        "corrupt.mp3": b"ID3" + np.random.default_rng(3).bytes(20_000),
        "empty.ogg": b"",
        "playlist.flac": f"#EXTM3U\n#EXTINF:3,\n{three_hours}\n#EXT-X-ENDLIST\n".encode(),
        "silence.flac": encoded(np.zeros(3 * 16_000, np.float32), 16_000, "FLAC"),
        "stereo.mp3": encoded(np.stack([sound, 0.5 * sound], axis=1), 44_100, "MP3"),
        "text.flac": b"<!doctype html><html></html>",
    }
    for name, raw in raws.items():
        (folder / name).write_bytes(raw)
    names = sorted([*raws, three_hours.name])
    hashes = [sha256((folder / name).read_bytes()).hexdigest() for name in names]
    return pl.DataFrame(
        {"track_id": [name.split(".")[0] for name in names], "path": names, "sha256": hashes}
    ).with_columns(root=pl.lit(str(folder)))


def test_files_of_every_kind_have_an_outcome_for_every_need(
    paper: Profile, recordings: pl.DataFrame, tmp_path: Path
) -> None:
    """Stereo, 8 kHz and three hours are heard, the last to the cap; damage, texts and playlists are refused by all."""
    needs = ear_needs(paper)
    assert tuple(needs) == NEEDS
    root = Path(recordings["root"][0])
    with open_ears([*needs.values()], root=root, profile=paper, kept=tmp_path, log=lambda _: None) as ears:
        heard = hear(ears, recordings, part="all")
    assert list(heard) == recordings["track_id"].to_list()
    reasons = {
        track_id: {outcome.reason if isinstance(outcome, Refusal) else "" for outcome in outcomes.values()}
        for track_id, outcomes in heard.items()
    }
    refused = {"corrupt": "undecodable", "empty": "empty_file", "playlist": "undecodable", "text": "undecodable"}
    for track_id, reason in refused.items():
        assert reasons[track_id] == {reason}, track_id
    assert reasons["silence"] == {"", "silent"}
    assert heard["silence"]["transcript"].status == "silent"  # type: ignore[attr-defined]
    for track_id in ("stereo", "8 khz", "3 hours"):
        assert reasons[track_id] <= {"", "empty_caption"}, track_id
    facts = {track_id: heard[track_id]["facts"] for track_id in ("stereo", "8 khz", "3 hours")}
    assert facts["stereo"][1:] == (44_100, 2, "decoded")  # type: ignore[index]
    assert facts["8 khz"] == (3.0, 8_000, 1, "decoded")
    assert facts["3 hours"] == (CAP_S, 8_000, 1, "capped")


def test_a_provider_of_a_missing_model_says_where_it_was_looked_for(paper: Profile, tmp_path: Path) -> None:
    """Whatever the model: one line with the path and the setting."""
    gone = paper.model_copy(update={"models": str(tmp_path)})
    for kind in ("whisper", "lp_musiccaps", "musicfm", "clap"):
        rate_hz, listen = listener_of(kind, gone)
        sounds = [tone(rate_hz, 3, 220)]
        with pytest.raises(ValueError, match=str(tmp_path)):
            listen(sounds)
    for kind in ("nv_embed", "sentence_model"):
        with pytest.raises(ValueError, match=str(tmp_path)):
            reader_of(kind, gone)(["text"])


def test_the_embedded_profile_needs_no_model() -> None:
    """Its providers are made without a models folder."""
    profile = chosen_profile({"MUSIC_MODELS": "/nowhere"})
    assert profile.content == Content()
    assert ear_needs(profile)
