"""What Dagster sees of `conversations`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import sql
from assets.asking import Asks, Reading
from assets.catalog.tables import PLAYLIST_SPLITS, TRACKS
from assets.content.tables import CAPTIONS, LYRICS, RHYTHM, TAGS
from assets.conversations.tables import HUMAN_TURNS, QUERIES, RELEVANCE, STATISTICS, TURNS
from assets.partitions import MPD_SLICES, TRACK_SHARDS
from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS
from assets.work import Part, Work, asset
from resources.desk_settings import LanguageModelName
from resources.profile import Profile

if TYPE_CHECKING:
    from assets.conversations.dialogues import Asked
    from resources.language_model import LanguageModel, Request

MODELS = ("answers", "gemini", "chat_model")


def _asked_conversations(part: Reading, profile: Profile) -> "Asked":
    from assets.content.track_facts import content_of
    from assets.conversations.dialogues import conversation_requests

    settings = profile.conversations
    return conversation_requests(
        part.read(PLAYLISTS),
        part.read(PLAYLIST_TRACKS),
        part.read(PLAYLIST_SPLITS).filter(pl.col("slice") == part.key),
        content_of(part, "track_uri"),
        dialogues=settings.dialogues,
        turns=(settings.min_turns, settings.max_turns),
        seed=settings.seed,
    )


def _asked_queries(part: Reading, profile: Profile) -> "dict[str, Request]":
    from assets.content.track_facts import content_of, most_heard
    from assets.conversations.queries import query_requests

    settings = profile.conversations
    content = content_of(part, "shard", "plays", "train_appearances")
    tracks = most_heard(content.tracks, settings.query_tracks).filter(pl.col("shard") == part.key)
    return query_requests(content._replace(tracks=tracks), queries=settings.queries)


def _asked_relevance(part: Reading) -> "dict[str, Request]":
    from assets.conversations.queries import relevance_requests

    return relevance_requests(part.read(QUERIES))


def _model(profile: Profile) -> LanguageModelName:
    return profile.conversations.language_model


@asset(
    TURNS,
    same=[PLAYLISTS, PLAYLIST_TRACKS],
    whole=[PLAYLIST_SPLITS, TRACKS, TAGS, RHYTHM, CAPTIONS, LYRICS],
    partitions=MPD_SLICES,
    sections=MODELS,
    kinds={"llm", "parquet"},
    pool="gemini",
    parts_per_run=16,
    asks=Asks(_model, lambda part, profile: [one.request for one in _asked_conversations(part, profile).dialogues]),
)
def turns(work: Work) -> None:
    """Conversations in which a listener finds the tracks of a playlist, turn by turn (TalkPlay section 3.2).

    Written by the profile's language model; an answer that names a track outside the playlist, gives a title away or
    breaks another rule is asked for again, then refused.
    """
    from assets.conversations.synthesis import conversations

    with _language_model(work) as model:
        for part in _parts(work):
            asked = _asked_conversations(part, work.profile)
            written = conversations(asked.dialogues, model, part=f"turns.{part.key}")
            refused = pl.concat([asked.refused, written.refused])
            counts = {"conversations": written.rows["conversation_id"].n_unique()}
            part.write({TURNS: written.rows}, refused, notes={**counts, **model.tally.notes()})


@asset(HUMAN_TURNS)
def human_turns(work: Work) -> None:
    """Conversations of people who look for music (CPCD, where there), held to the rules of conversations/turns.

    A yardstick: conversations/statistics shows them beside those of the language model.
    """
    from assets.conversations.human import human_turns as read

    for part in work:
        human = read(part.raw(work.raw.cpcd))
        broken = human.turns.drop_nulls("broken").group_by("broken").len().sort("broken")
        part.write(
            {HUMAN_TURNS: human.turns}, human.refused, notes={f"broken {reason}": n for reason, n in broken.rows()}
        )


@asset(STATISTICS, whole=[TURNS, HUMAN_TURNS], kinds={"duckdb", "parquet"})
def statistics(work: Work) -> None:
    """The counts of TalkPlay's Table 1 (lower half) for these conversations, and for those of people."""
    for part in work:
        part.write({STATISTICS: sql.select("conversations/statistics", part.tables(TURNS, HUMAN_TURNS))})


@asset(
    QUERIES,
    same=[TAGS, RHYTHM, CAPTIONS, LYRICS],
    whole=[TRACKS],
    partitions=TRACK_SHARDS,
    sections=MODELS,
    kinds={"llm", "parquet"},
    pool="gemini",
    parts_per_run=16,
    asks=Asks(_model, lambda part, profile: list(_asked_queries(part, profile).values())),
)
def queries(work: Work) -> None:
    """Queries that one track answers, each about another side of it, for the most heard tracks (3MTokenRec).

    Written by the profile's language model; only a query about title and artist may hold the title.
    """
    from assets.conversations.synthesis import queries as written_queries

    with _language_model(work) as model:
        for part in _parts(work):
            written = written_queries(_asked_queries(part, work.profile), model, part=f"queries.{part.key}")
            part.write({QUERIES: written.rows}, written.refused, notes=model.tally.notes())


@asset(
    RELEVANCE,
    same=[QUERIES],
    partitions=TRACK_SHARDS,
    sections=MODELS,
    kinds={"llm", "parquet"},
    pool="gemini",
    parts_per_run=16,
    asks=Asks(_model, lambda part, _: list(_asked_relevance(part).values())),
)
def relevance(work: Work) -> None:
    """How much each of nine modalities matters for each query, 0 to 10, as the language model judges (3MTokenRec).

    The model sees the query alone, never its track.
    """
    from assets.conversations.synthesis import relevance as judged_relevance

    with _language_model(work) as model:
        for part in _parts(work):
            judged = judged_relevance(_asked_relevance(part), model, part=f"relevance.{part.key}")
            part.write({RELEVANCE: judged.rows}, judged.refused, notes=model.tally.notes())


@contextmanager
def _language_model(work: Work) -> Iterator["LanguageModel"]:
    from resources.desk.opening import open_language_model

    name = _model(work.profile)
    with open_language_model(name, work.profile, lake=Path(work.lake.root), log=work.log.info) as model:
        work.ask_ahead(model)
        yield model


def _parts(work: Work) -> Iterator[Part]:
    """The parts, for which the files of a model that is a folder are remembered."""
    for part in work:
        part.models(_model(work.profile))
        yield part
