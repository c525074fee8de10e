from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.content.hearing import Facts
from assets.content.listening import ear_needs, hear, open_ear, open_ears
from assets.content.tempo import Rhythm
from resources.audio_encoder import SpectralEncoder
from resources.profile import EMBEDDED, Content, WorkersSection
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
        open_ear("transcript", root=tmp_path, profile=PROFILE, kept=tmp_path / "kept", log=lambda line: None) as listen,
        pytest.raises(KeyError, match="transcript"),
    ):
        listen(files, "shard_000")
