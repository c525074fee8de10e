from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from assets.content.hearing import Facts, Hearing, HearingSettings, Prepared, Recorded
from assets.content.tempo import Rhythm
from resources.audio_encoder import SpectralEncoder
from resources.profile import EMBEDDED
from resources.refusals import Refusal
from resources.stations import Order

Encode = Callable[..., bytes]

RATES_HZ = {"facts": 8_000, "rhythm": 22_050, "audio": 22_050, "sonic": 22_050}


def settings_of(root: Path) -> HearingSettings:
    """The embedded profile's, of recordings under this folder."""
    return HearingSettings(str(root), 60.0, RATES_HZ, EMBEDDED.model_dump_json())


def recorded(root: Path, raw: bytes) -> Recorded:
    """A file of these bytes under the folder."""
    (root / "a.flac").write_bytes(raw)
    return Recorded("a", "a.flac", sha256(raw).hexdigest())


def prepared(root: Path, raw: bytes, *wants: str) -> Prepared:
    """What is decoded of the bytes for these needs."""
    made = Hearing.prepare(settings_of(root), recorded(root, raw), wants)
    assert isinstance(made, Prepared)
    return made


def test_only_the_rates_that_models_want_are_handed_on(encode: Encode, tmp_path: Path) -> None:
    """Facts and rhythm are done by the time; a model gets its samples, two of one rate get the same."""
    raw = encode("OGG")
    assert prepared(tmp_path, raw, "facts", "rhythm").rates_hz == []
    assert prepared(tmp_path, raw, "audio", "sonic").rates_hz == [22_050]
    assert prepared(tmp_path, raw, "audio").rhythm is None


def test_facts_do_not_depend_on_what_else_is_wanted(encode: Encode, tmp_path: Path) -> None:
    """Alone or together they are the same: what is kept of them is."""
    raw = encode("MP3", rate_hz=44_100, channels=2)
    alone, together = prepared(tmp_path, raw, "facts"), prepared(tmp_path, raw, "facts", "rhythm", "audio")
    assert alone.facts == together.facts
    assert alone.facts[1:] == (44_100, 2, "decoded")


def test_what_cannot_be_decoded_is_a_refusal(tmp_path: Path) -> None:
    """With the decoder's reason; a file that is gone is unreadable."""
    made = Hearing.prepare(settings_of(tmp_path), recorded(tmp_path, b"no recording"), ("facts",))
    assert isinstance(made, Refusal)
    assert made.reason == "undecodable"
    gone = Hearing.prepare(settings_of(tmp_path), Recorded("a", "gone.flac", ""), ("facts",))
    assert isinstance(gone, Refusal)
    assert gone.reason == "unreadable"


def test_a_file_that_changed_since_the_manifest_is_an_error(encode: Encode, tmp_path: Path) -> None:
    """Its outcome would be kept under the hash of other bytes."""
    item = recorded(tmp_path, encode("FLAC"))
    (tmp_path / "a.flac").write_bytes(encode("FLAC", duration_s=3))
    with pytest.raises(ValueError, match="changed since content/audio_files was made"):
        Hearing.prepare(settings_of(tmp_path), item, ("facts",))


def test_each_order_gets_what_it_wants_and_no_more(encode: Encode, tmp_path: Path) -> None:
    """Vectors are the provider's own; equal providers listen once, for both needs."""
    raw = encode("FLAC")
    item = recorded(tmp_path, raw)
    wants = [("facts", "sonic"), ("rhythm", "audio", "sonic"), ("audio",)]
    ready = [prepared(tmp_path, raw, *want) for want in wants]
    outcomes = Hearing(settings_of(tmp_path)).run([Order(item, want) for want in wants], ready)
    assert [set(outcome) for outcome in outcomes] == [set(want) for want in wants]
    assert isinstance(outcomes[0]["facts"], Facts)
    assert isinstance(outcomes[1]["rhythm"], Rhythm)
    own = SpectralEncoder().encode([ready[2].at(22_050)])[0]
    for outcome, need in (
        (outcomes[0], "sonic"),
        (outcomes[1], "audio"),
        (outcomes[1], "sonic"),
        (outcomes[2], "audio"),
    ):
        assert np.array_equal(outcome[need], own)  # type: ignore[arg-type]
