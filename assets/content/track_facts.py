"""What a language model is told of a track: catalog and content as one JSON object, outside text marked and cut."""

from typing import NamedTuple

import polars as pl
from pydantic import JsonValue

from assets.asking import Reading
from assets.catalog.tables import TRACKS
from assets.content.tables import CAPTIONS, LYRICS, RHYTHM, TAGS
from resources.outside_text import marked

MOST_TAGS = 10  # as TalkPlayData-2's generator gives
TITLE_CHARACTERS = 80
NAME_CHARACTERS = 60
TAG_CHARACTERS = 40
CAPTION_CHARACTERS = 200
LYRICS_CHARACTERS = 400
UNKNOWN = "unknown"
OF_TRACKS = ["track_id", "title", "artist", "album", "release_year"]
OF_CONTENT = {TAGS: ["tags"], RHYTHM: ["tempo_bpm", "key"], CAPTIONS: ["caption"], LYRICS: ["text"]}


class Content(NamedTuple):
    """What is known of tracks: catalog/tracks and the content tables; a missing row is a missing fact."""

    tracks: pl.DataFrame
    tags: pl.DataFrame
    rhythm: pl.DataFrame
    captions: pl.DataFrame
    lyrics: pl.DataFrame


def content_of(part: Reading, *also: str) -> Content:
    """What the part's tables hold of this, with further columns of catalog/tracks."""
    tracks = part.read(TRACKS, columns=[*OF_TRACKS, *also])
    return Content(tracks, *(part.read(table, columns=["track_id", *names]) for table, names in OF_CONTENT.items()))


def most_heard(tracks: pl.DataFrame, count: int) -> pl.DataFrame:
    """The rows of catalog/tracks with most plays and training positions together; 0: all. Ties go by track_id."""
    heard = tracks.sort(-(pl.col("plays") + pl.col("train_appearances")), "track_id")
    return heard.head(count) if count else tracks


def track_payloads(
    tracks: pl.DataFrame, tags: pl.DataFrame, rhythm: pl.DataFrame, captions: pl.DataFrame, lyrics: pl.DataFrame
) -> dict[str, dict[str, JsonValue]]:
    """Each of the tracks by track_id, in order of id: title and artist are never empty, other missing facts are null.

    Frames are as in `Content`, or empty; rows of tracks that are not asked for are left aside.
    """
    rows = tracks.select(OF_TRACKS)
    for frame, columns in zip((tags, rhythm, captions, lyrics), OF_CONTENT.values(), strict=True):
        rows = rows.join(frame.select("track_id", *columns), on="track_id", how="left")
    return {
        row["track_id"]: {
            "track_id": row["track_id"],
            "title": _marked(row["title"], TITLE_CHARACTERS) or UNKNOWN,
            "artist": _marked(row["artist"], NAME_CHARACTERS) or UNKNOWN,
            "album": _marked(row["album"], TITLE_CHARACTERS),
            "year": row["release_year"],
            "tags": [marked(tag, characters=TAG_CHARACTERS) for tag in (row["tags"] or [])[:MOST_TAGS]],
            "tempo_bpm": None if row["tempo_bpm"] is None else round(row["tempo_bpm"], 1),
            "key": row["key"],
            "caption": _marked(row["caption"], CAPTION_CHARACTERS),
            "lyrics_excerpt": _marked((row["text"] or "").replace("\n", " / "), LYRICS_CHARACTERS),
        }
        for row in rows.sort("track_id").iter_rows(named=True)
    }


def _marked(text: str | None, characters: int) -> str | None:
    return marked(text, characters=characters) or None if text else None
