"""What Dagster sees of `conversations`."""

import polars as pl

import sql
from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import CAPTIONS, LYRICS, RHYTHM, TAGS
from assets.conversations.tables import STATISTICS, TURNS
from assets.partitions import MPD_SLICES
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS
from assets.work import Work, asset


@asset(
    TURNS,
    same=[PLAYLISTS, PLAYLIST_TRACKS],
    whole=[PLAYLIST_SPLITS, TRACKS, TAGS, RHYTHM, CAPTIONS, LYRICS],
    partitions=MPD_SLICES,
    kinds={"llm", "parquet"},
    pool="gemini",
    parts_per_run=16,
)
def turns(work: Work) -> None:
    """Conversations in which a listener finds the tracks of a playlist, turn by turn (TalkPlay section 3.2).

    Written by the profile's language model; an answer that names a track outside the playlist, gives a title away or
    breaks another rule is refused.
    """
    from assets.conversations.prompt import Content, conversation_requests
    from assets.conversations.synthesis import conversations
    from resources.language_model import language_model

    settings = work.profile.conversations
    for part in work:
        splits = part.read(PLAYLIST_SPLITS).filter(pl.col("slice") == part.key)
        content = Content(*(part.read(table) for table in (TRACKS, TAGS, RHYTHM, CAPTIONS, LYRICS)))
        asked = conversation_requests(
            part.read(PLAYLISTS),
            part.read(PLAYLIST_TRACKS),
            splits,
            content,
            dialogues=settings.dialogues,
            turns=(settings.min_turns, settings.max_turns),
            seed=settings.seed,
        )
        written = conversations(asked.dialogues, language_model(settings))
        refused = pl.concat([asked.refused, written.refused])
        part.write(
            {TURNS: written.turns}, refused, notes={"conversations": written.turns["conversation_id"].n_unique()}
        )


@asset(STATISTICS, whole=[TURNS], kinds={"duckdb", "parquet"})
def statistics(work: Work) -> None:
    """The counts of TalkPlay's Table 1 (lower half) for these conversations."""
    for part in work:
        part.write({STATISTICS: sql.select("conversations/statistics", part.tables(TURNS))})
