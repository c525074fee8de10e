"""The lyrics of each track that has a recording, by a transcriber."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from assets.content.audio import UndecodableError, decode
from assets.content.tables import LYRICS
from resources.refusals import Refusal, refused_frame
from resources.transcriber import Recording, Transcriber, Transcript, open_inside

BATCH = 32  # recordings: what is in memory at once


class Lyrics(NamedTuple):
    """Rows of content/lyrics, and a refused row for each failed one."""

    lyrics: pl.DataFrame
    refused: pl.DataFrame


def lyrics(root: Path, tracks: pl.DataFrame, transcriber: Transcriber, *, max_s: float) -> Lyrics:
    """The lyrics of each track of `tracks` (track_id, path under root or null), from its first `max_s` seconds.

    Without a recording a track's lyrics are absent. Reasons: the transcriber's, unreadable, and those of
    `assets.content.audio.decode` where the transcriber listens.
    """
    ordered = tracks.select("track_id", "path").sort("track_id")
    recorded = [Recording(track_id, root, path) for track_id, path in ordered.drop_nulls("path").iter_rows()]
    rows: list[tuple[str, str | None, str | None, str]] = [
        (track_id, None, None, "absent")
        for (track_id,) in ordered.filter(pl.col("path").is_null()).select("track_id").rows()
    ]
    refusals = []
    for start in range(0, len(recorded), BATCH):
        batch = recorded[start : start + BATCH]
        for recording, result in zip(batch, _transcribed(batch, transcriber, max_s), strict=True):
            if isinstance(result, Refusal):
                refusals.append(result)
                rows.append((recording.track_id, None, None, "failed"))
            else:
                rows.append((recording.track_id, result.text, result.origin, result.status))
    frame = pl.DataFrame(rows, schema=LYRICS.empty().schema, orient="row").sort("track_id")
    return Lyrics(frame, refused_frame(refusals))


def _transcribed(recordings: Sequence[Recording], transcriber: Transcriber, max_s: float) -> list[Transcript | Refusal]:
    """One result per recording, in order; recordings that cannot be decoded do not reach the transcriber."""
    if transcriber.sample_rate_hz is None:
        return transcriber.transcribe(recordings)
    decoded = [_decoded(recording, transcriber.sample_rate_hz, max_s) for recording in recordings]
    results = iter(transcriber.transcribe([recording for recording in decoded if isinstance(recording, Recording)]))
    return [recording if isinstance(recording, Refusal) else next(results) for recording in decoded]


def _decoded(recording: Recording, sample_rate_hz: int, max_s: float) -> Recording | Refusal:
    try:
        with open_inside(recording.root, recording.path) as file:
            heard = decode(file, sample_rate_hz=sample_rate_hz, max_s=max_s)
    except UndecodableError as error:
        return Refusal(recording.path, recording.track_id, error.reason, error.detail)
    except OSError as error:
        return Refusal(recording.path, recording.track_id, "unreadable", error.strerror or str(error))
    return Recording(recording.track_id, recording.root, recording.path, heard.samples_N)
