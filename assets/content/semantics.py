"""Semantic tags and a caption per track (the `semantic` modality of TalkPlay section 4.1).

Tags are what is written about the track; where nothing is, the names that listeners gave to the playlists that hold
it. Only training playlists may be handed in: a test playlist's name would give its tracks away.
"""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from assets.content.tables import CAPTIONS
from assets.sources.stated import with_track_facts
from resources.captioner import Heard
from resources.refusals import Refusal, refused_frame

MOST_TAGS = 10
LEAST_PLAYLISTS = 2  # that share a name, before it says something about a track
LONGEST_NAME = 40  # characters: longer names are sentences, not tags
PLAYLIST_PUNCTUATION = r"[.,/#!$%\^*;:{}=_`~()@]"  # as the MPD scripts normalise titles
ABOUT_THE_LISTENER = (
    r"^(?:seen live|favou?rites?|my .*|awesome|amazing|overplayed|check out|love it|good|cool|.*\bspotify\b"
    r"|under \d+ listeners|\d+ (?:of \d+ )?stars?|albums i own)$"
)


class Captions(NamedTuple):
    """Rows of content/captions, and a refused row for each track that the captioner could not do."""

    captions: pl.DataFrame
    refused: pl.DataFrame


def semantic_tags(
    tracks: pl.DataFrame,
    track_facts: pl.DataFrame,
    names_by_track: pl.DataFrame,
    *,
    least_playlists: int = LEAST_PLAYLISTS,
) -> pl.DataFrame:
    """Rows of content/tags: from track facts by URI, else by artist and title, else from playlist names.

    tracks has track_id, track_uri, artist, title. names_by_track has one row (track_id, name) per training playlist and
    track of it. Tags are strongest first, at most 10; words about the listener ('seen live') are left out.
    """
    tagged = track_facts.with_columns(pl.col("tags").list.eval(_kept(pl.element())).list.head(MOST_TAGS))
    return (
        with_track_facts(tracks, tagged.filter(pl.col("tags").list.len() > 0), "tags")
        .join(_names_as_tags(names_by_track, least_playlists), on="track_id", how="left")
        .select(
            "track_id",
            tags=pl.coalesce("tags", "by_playlists"),
            origin=pl.when(pl.col("tags").is_not_null())
            .then(pl.lit("facts"))
            .when(pl.col("by_playlists").is_not_null())
            .then(pl.lit("playlist_names")),
        )
        .with_columns(status=pl.when(pl.col("tags").is_null()).then(pl.lit("absent")).otherwise(pl.lit("tagged")))
        .sort("track_id")
    )


def captions(tracks: pl.DataFrame, written: Mapping[str, str | Refusal], *, captioner: str) -> Captions:
    """A row for each track of `tracks` (track_id), with its caption where one was `written`.

    Reasons: the captioner's.
    """
    rows, refusals = [], []
    for track_id in tracks["track_id"].sort():
        result = written.get(track_id)
        if isinstance(result, Refusal):
            refusals.append(result._replace(source="content/captions", location=track_id))
        caption = result if isinstance(result, str) else None
        rows.append((track_id, caption, captioner, "captioned" if caption else "absent"))
    return Captions(pl.DataFrame(rows, schema=CAPTIONS.empty().schema, orient="row"), refused_frame(refusals))


def known(described: pl.DataFrame) -> list[Heard]:
    """What a captioner that does not listen is told: the tracks of which anything but the year is known.

    described has track_id, tags, tempo_bpm, key, release_year.
    """
    names = ["track_id", "tags", "tempo_bpm", "key", "release_year"]
    rows = described.sort("track_id").select(names).iter_rows()
    heard = [Heard(track_id, tuple(tags or ()), *rest) for track_id, tags, *rest in rows]
    return [track for track in heard if track.tags or track.tempo_bpm or track.key]


def _kept(tags: pl.Expr) -> pl.Expr:
    """The tags that speak of the track."""
    return tags.filter(~tags.str.contains(ABOUT_THE_LISTENER))


def _names_as_tags(names_by_track: pl.DataFrame, least_playlists: int) -> pl.DataFrame:
    """(track_id, by_playlists): the names that enough playlists share, most frequent first, ties by name."""
    name = pl.col("name").str.to_lowercase().str.replace_all(PLAYLIST_PUNCTUATION, " ")
    name = name.str.replace_all(r"\s+", " ").str.strip_chars()
    return (
        names_by_track.select("track_id", name=name)
        .filter(pl.col("name").str.contains(r"\w"), pl.col("name").str.len_chars() <= LONGEST_NAME)
        .filter(~pl.col("name").str.contains(ABOUT_THE_LISTENER))
        .group_by("track_id", "name")
        .agg(playlists=pl.len())
        .filter(pl.col("playlists") >= least_playlists)
        .sort("track_id", "playlists", "name", descending=[False, True, False])
        .group_by("track_id", maintain_order=True)
        .agg(by_playlists=pl.col("name").head(MOST_TAGS))
    )
