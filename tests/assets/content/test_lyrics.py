from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from assets.content.lyrics import BATCH, lyrics
from assets.content.tables import LYRICS, REFUSED
from resources.refusals import Refusal
from resources.transcriber import LyricFiles, Recording, Transcript

Encode = Callable[..., bytes]


@dataclass
class Listener:
    """A transcriber that needs samples and says how many it got."""

    name: str = "listener"
    sample_rate_hz: int | None = 8_000
    batches: list[int] = field(default_factory=list)

    def transcribe(self, recordings: Sequence[Recording]) -> list[Transcript | Refusal]:
        """The number of samples of each."""
        self.batches.append(len(recordings))
        counts = [0 if recording.samples_N is None else len(recording.samples_N) for recording in recordings]
        return [Transcript(f"{count} samples", self.name, "sung") for count in counts]


def paths(**by_track: str | None) -> pl.DataFrame:
    """The path of each track."""
    rows = list(by_track.items())
    return pl.DataFrame(rows, schema={"track_id": pl.String, "path": pl.String}, orient="row")


def test_each_track_has_a_row(encode: Encode, tmp_path: Path) -> None:
    """Sung, instrumental, failed and absent lyrics, in track order, and the failure's reason."""
    for name, text in {"a": b"la la", "b": b"[Instrumental]", "c": b"\xff"}.items():
        (tmp_path / f"{name}.flac").write_bytes(encode())
        (tmp_path / f"{name}.txt").write_bytes(text)
    result = lyrics(tmp_path, paths(d=None, c="c.flac", b="b.flac", a="a.flac"), LyricFiles(), max_s=60)
    assert LYRICS.checked(result.lyrics).rows() == [
        ("a", "la la", "txt", "sung"),
        ("b", None, "txt", "instrumental"),
        ("c", None, None, "failed"),
        ("d", None, None, "absent"),
    ]
    assert REFUSED.checked(result.refused).select("location", "reason").rows() == [("c", "not_utf8")]


def test_a_transcriber_that_listens_gets_samples(encode: Encode, tmp_path: Path) -> None:
    """Recordings are decoded at its rate up to the cap; one that cannot be decoded fails without reaching it."""
    (tmp_path / "a.flac").write_bytes(encode())
    (tmp_path / "b.flac").write_bytes(b"noise")
    listener = Listener()
    result = lyrics(tmp_path, paths(b="b.flac", a="a.flac", c="a.flac"), listener, max_s=2)
    assert result.lyrics["text"].to_list() == ["16000 samples", None, "16000 samples"]
    assert result.refused.select("location", "reason").rows() == [("b", "undecodable")]
    assert listener.batches == [2]


def test_recordings_come_in_batches(encode: Encode, tmp_path: Path) -> None:
    """One more than a batch holds makes two batches."""
    (tmp_path / "a.flac").write_bytes(encode(duration_s=1.5))
    listener = Listener()
    many = paths(**{f"{number:03}": "a.flac" for number in range(BATCH + 1)})
    assert lyrics(tmp_path, many, listener, max_s=60).lyrics.height == BATCH + 1
    assert listener.batches == [BATCH, 1]


def test_no_tracks_are_no_lyrics(tmp_path: Path) -> None:
    """An empty shard has an empty table."""
    result = lyrics(tmp_path, paths(), LyricFiles(), max_s=60)
    assert LYRICS.checked(result.lyrics).is_empty()
