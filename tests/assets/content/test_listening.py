from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.content.hearing import Facts
from assets.content.listening import ear_needs, hear, open_ear, open_ears, present_needs
from assets.content.tempo import Rhythm
from resources.audio_encoder import SpectralEncoder
from resources.checkpoints import CheckpointError
from resources.content_settings import Content
from resources.model_settings import WorkersSection
from resources.profile import EMBEDDED, chosen_profile
from resources.refusals import Refusal

Encode = Callable[..., bytes]

PROFILE = EMBEDDED.model_copy(update={"workers": WorkersSection(preparers=1, batch=2)})


@pytest.fixture
def files(encode: Encode, tmp_path: Path) -> pl.DataFrame:
    """Rows of content/audio_files: two of one file, one that is no recording, one track without."""
    (tmp_path / "tone.flac").write_bytes(encode())
    (tmp_path / "text.flac").write_bytes(b"no recording")
    paths = {"a": "tone.flac", "b": None, "c": "text.flac", "d": "tone.flac"}
    hashes = [path and sha256((tmp_path / path).read_bytes()).hexdigest() for path in paths.values()]
    statuses = ["decoded", "absent", "refused", "decoded"]
    return pl.DataFrame({"track_id": [*paths], "path": [*paths.values()], "sha256": hashes, "status": statuses})


def test_a_profile_listens_for_what_its_providers_do() -> None:
    """Lyric files and sentences need no sound; each need has its own identity, which the heard length is part of."""
    needs = ear_needs(EMBEDDED)
    assert list(needs) == ["facts", "rhythm", "audio", "sonic"]
    assert needs["audio"].identity == needs["sonic"].identity
    assert len({need.identity for need in needs.values()}) == 3
    longer = EMBEDDED.model_copy(update={"content": Content(max_audio_s=2_000)})
    assert {need.identity for need in ear_needs(longer).values()}.isdisjoint(need.identity for need in needs.values())


def test_a_model_that_is_not_there_is_left_to_its_own_asset(tmp_path: Path) -> None:
    """The first asset hears for all others that it can, and says what is missing; asked for alone it is an error."""
    paper = chosen_profile({"MUSIC_PROFILE": "paper", "MUSIC_MODELS": str(tmp_path)})
    said: list[str] = []
    present = present_needs(paper, ["facts", "rhythm", "sonic"], log=said.append)
    assert [need.name for need in present] == ["facts", "rhythm"]
    assert len(said) == 1
    assert "sonic is not heard" in said[0]
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        ear_needs(paper, ["sonic"])


def test_a_file_that_could_not_be_read_is_tried_again(files: pl.DataFrame, tmp_path: Path) -> None:
    """That it was unreachable says nothing of its content."""
    needs = [*ear_needs(PROFILE, ["facts"]).values()]
    (tmp_path / "tone.flac").rename(tmp_path / "away.flac")
    heard = []
    for name in ("gone.flac", "tone.flac"):
        (tmp_path / "away.flac").rename(tmp_path / name)
        with open_ears(needs, root=tmp_path, profile=PROFILE, kept=tmp_path / "kept", log=lambda _: None) as ears:
            heard.append(hear(ears, files.head(1), part="shard_000")["a"]["facts"])
        (tmp_path / name).rename(tmp_path / "away.flac")
    assert heard[0].reason == "unreadable"
    assert isinstance(heard[1], Facts)


def test_what_one_asset_had_heard_another_finds(files: pl.DataFrame, tmp_path: Path) -> None:
    """The file may be gone by then: nothing is decoded again, and no worker starts."""
    kept, lines = tmp_path / "kept", []
    needs = list(ear_needs(PROFILE).values())
    with open_ears(needs, root=tmp_path, profile=PROFILE, kept=kept, log=lines.append) as ears:
        heard = hear(ears, files, part="shard_000")
    assert list(heard) == ["a", "c", "d"]
    assert isinstance(heard["a"]["facts"], Facts)
    assert isinstance(heard["d"]["rhythm"], Rhythm)
    assert all(isinstance(outcome, Refusal) for outcome in heard["c"].values())
    (tmp_path / "tone.flac").unlink()
    with open_ear("audio", root=tmp_path, profile=PROFILE, kept=kept, log=lines.append) as listen:
        vectors = listen(files, "shard_000")
    assert list(vectors) == ["a", "d"]
    assert np.array_equal(vectors["a"], heard["a"]["audio"])  # type: ignore[arg-type]
    assert vectors["a"].shape == (SpectralEncoder().dimensions,)


def test_a_provider_that_does_not_listen_hears_nothing(files: pl.DataFrame, tmp_path: Path) -> None:
    """Its asset asks it otherwise."""
    with (
        open_ear("transcript", root=tmp_path, profile=PROFILE, kept=tmp_path / "kept", log=lambda _: None) as listen,
        pytest.raises(KeyError, match="transcript"),
    ):
        listen(files, "shard_000")
