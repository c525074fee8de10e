from pathlib import Path

import polars as pl

from assets.content.tables import REFUSED, SEGMENTS, TRANSCRIPTS
from assets.content.transcripts import Transcripts, read_beside, transcripts
from resources.refusals import Refusal
from resources.transcriber import LyricFiles, Segment, Transcript

TRACKS = pl.DataFrame(
    [("b", "audio/b.mp3", 60.0), ("a", "audio/a.mp3", 30.0), ("c", None, None), ("d", "audio/d.mp3", None)],
    schema={"track_id": pl.String, "path": pl.String, "decoded_s": pl.Float64},
    orient="row",
)


def made(heard: dict[str, Transcript | Refusal]) -> Transcripts:
    """The tables of these transcripts, checked."""
    result = transcripts(TRACKS, heard)
    return Transcripts(
        TRANSCRIPTS.checked(result.transcripts), SEGMENTS.checked(result.segments), REFUSED.checked(result.refused)
    )


def test_each_track_has_its_transcript_and_its_segments() -> None:
    """Segments are numbered within the track; without a recording a transcript is absent, unheard it has failed."""
    sung = Transcript((Segment("la", 0.0, 2.0, -0.1, 0.2, 1.1, 0.0), Segment("lu")), "whisper", "sung", "en", 0.9)
    result = made({"b": sung, "a": Transcript((), "whisper", "silent")})
    assert result.transcripts.rows() == [
        ("a", "whisper", None, None, 30.0, "silent"),
        ("b", "whisper", "en", 0.9, 60.0, "sung"),
        ("c", None, None, None, None, "absent"),
        ("d", None, None, None, None, "failed"),
    ]
    assert result.segments.rows() == [
        ("b", 0, "la", 0.0, 2.0, -0.1, 0.2, 1.1, 0.0),
        ("b", 1, "lu", None, None, None, None, None, None),
    ]
    assert result.refused.is_empty()


def test_a_statistic_that_is_not_a_number_is_null() -> None:
    """The table holds no NaN."""
    segment = Segment("la", 0.0, 1.0, float("nan"), 0.2, 1.1, 0.0)
    assert made({"b": Transcript((segment,), "whisper", "sung")}).segments["mean_logprob"].to_list() == [None]


def test_a_refused_transcript_has_failed_with_its_reason() -> None:
    """Under its track."""
    result = made({"a": Refusal("whisper", "0", "not_finite", "NaN")})
    assert result.transcripts["status"].to_list() == ["failed", "failed", "absent", "failed"]
    assert result.refused.rows() == [("content/transcripts", "a", "not_finite", "NaN")]


def test_lyric_files_are_read_beside_the_recordings(tmp_path: Path) -> None:
    """Tracks without a recording are not asked for."""
    (tmp_path / "audio").mkdir()
    for name in ("a", "b", "d"):
        (tmp_path / "audio" / f"{name}.mp3").write_bytes(b"")
    (tmp_path / "audio/a.lrc").write_text("[00:01.00]words", encoding="utf-8")
    read = read_beside(tmp_path, TRACKS, LyricFiles())
    assert list(read) == ["a", "b", "d"]
    assert read["a"] == Transcript((Segment("words"),), "lrc", "sung")
