"""What is sung in each recording, as a transcriber wrote it down: unfiltered, segment by segment."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from assets.content.tables import SEGMENTS, TRANSCRIPTS
from resources.refusals import Refusal, refused_frame
from resources.transcriber import Recording, Transcriber, Transcript

SOURCE = "content/transcripts"


class Transcripts(NamedTuple):
    """Rows of content/transcripts and content/segments, and a refused row for each failed transcript."""

    transcripts: pl.DataFrame
    segments: pl.DataFrame
    refused: pl.DataFrame


def read_beside(root: Path, files: pl.DataFrame, transcriber: Transcriber) -> dict[str, Transcript | Refusal]:
    """By track, what a transcriber that does not listen makes of the files (track_id, path) under `root`."""
    recorded = files.drop_nulls("path").sort("track_id").select("track_id", "path")
    recordings = [Recording(track_id, root, path) for track_id, path in recorded.iter_rows()]
    return dict(zip(recorded["track_id"], transcriber.transcribe(recordings), strict=True))


def transcripts(tracks: pl.DataFrame, heard: Mapping[str, Transcript | Refusal]) -> Transcripts:
    """The transcript of each track of `tracks` (track_id, path, decoded_s), as `heard` says by track.

    A track without a recording is absent; one whose recording nobody could transcribe has failed. Reasons: the
    transcriber's.
    """
    rows: list[tuple[object, ...]] = []
    segments, refusals = [], []
    for track_id, path, decoded_s in tracks.select("track_id", "path", "decoded_s").sort("track_id").iter_rows():
        transcript = heard.get(track_id)
        if isinstance(transcript, Transcript):
            language = (transcript.language, transcript.language_probability)
            rows.append((track_id, transcript.origin, *language, decoded_s, transcript.status))
            segments += [(track_id, number, *segment) for number, segment in enumerate(transcript.segments)]
            continue
        rows.append((track_id, None, None, None, decoded_s, "absent" if path is None else "failed"))
        if transcript is not None:
            refusals.append(transcript._replace(source=SOURCE, location=track_id))
    return Transcripts(
        pl.DataFrame(rows, schema=TRANSCRIPTS.empty().schema, orient="row"),
        # A statistic that is not a number is unknown; null says so in every reader.
        pl.DataFrame(segments, schema=SEGMENTS.empty().schema, orient="row").fill_nan(None),
        refused_frame(refusals),
    )
