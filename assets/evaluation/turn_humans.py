"""Cases from conversations between people (CPCD, Conversational Playlist Curation Dataset), a second, real test.

A turn in which a track was liked is a case; its liked tracks are the targets. Where warm and cold ones were liked it is
two cases, one for each kind. People were shown several tracks a turn: in the chat that a system is given, the first
liked one that the catalog has stands for the turn (our choice).
"""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field

from assets.conversations.human import PublishedLine, Text, accepted_lines
from assets.evaluation.turn_cases import NO_TRACK, ChatTurn, Prompt, TurnCases
from resources.refusals import Refusal, refused_frame

# N tracks of the catalog
NOTHING_LIKED = "nothing_liked"
NOT_IN_CATALOG = "not_in_catalog"  # nothing that was liked is, or all of it was shown before
IN_TRAINING = "in_training"


class HumanCases(NamedTuple):
    """The cases, and how many turns are none, by reason: nothing_liked, not_in_catalog, in_training."""

    cases: TurnCases
    left_out: dict[str, int]


class PublishedTracks(NamedTuple):
    """`published_id` and `track_uri` of the tracks that people spoke of, and the lines that could not be read."""

    tracks: pl.DataFrame
    refused: pl.DataFrame


class _Track(PublishedLine):
    id: Text = Field(alias="track_id")
    track_uri: Text


class _Case(NamedTuple):
    prompt: Prompt
    targets: npt.NDArray[np.int32]
    seen: npt.NDArray[np.int32]
    turn: int
    group: int
    is_warm: bool


def human_cases(
    turns: pl.DataFrame, published: pl.DataFrame, catalog: pl.DataFrame, *, leaked: Collection[str]
) -> HumanCases:
    """Cases of the turns of conversations/human_turns but those of `leaked` conversations.

    `published` is of `published_tracks`; `catalog` has `track_id` and `is_warm`; `leaked` has the ids of
    sql/evaluation/leaked_conversations.sql.
    """
    rows = catalog.select("track_id", row=pl.int_range(pl.len(), dtype=pl.Int32))
    known = published.join(rows, left_on="track_uri", right_on="track_id")
    row_of = dict(known.select("published_id", "row").iter_rows())
    is_warm_N = catalog["is_warm"].to_numpy()
    left_out = dict.fromkeys((NOTHING_LIKED, NOT_IN_CATALOG, IN_TRAINING), 0)
    cases: list[_Case] = []
    conversations = turns.sort("conversation_id", "turn").partition_by("conversation_id", maintain_order=True)
    for group, conversation in enumerate(conversations):
        found, missing = _cases_of(conversation, group, row_of, is_warm_N)
        if conversation["conversation_id"][0] in leaked:
            missing[IN_TRAINING] = len({case.turn for case in found})
            found = []
        cases += found
        left_out = {reason: count + missing[reason] for reason, count in left_out.items()}
    return HumanCases(_columns(cases), left_out)


def published_tracks(path: Path) -> PublishedTracks:
    """The ids and URIs of CPCD's `tracks.jsonl`, the first line of each id; none where there is no such file.

    Reasons: broken_json (or not UTF-8), bad_field (missing, or of the wrong type), duplicate.
    """
    refusals: list[Refusal] = []
    uris = {track.id: track.track_uri for track in accepted_lines(path, _Track, refusals)}
    columns = {"published_id": list(uris), "track_uri": list(uris.values())}
    return PublishedTracks(pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)), refused_frame(refusals))


def _cases_of(
    conversation: pl.DataFrame, group: int, row_of: Mapping[str, int], is_warm_N: npt.NDArray[np.bool_]
) -> tuple[list[_Case], Counter[str]]:
    """The cases of one conversation, and its turns that are none, by reason."""
    cases: list[_Case] = []
    missing: Counter[str] = Counter()
    chat: list[ChatTurn] = []
    shown: set[int] = set()
    columns = ("turn", "query", "response", "liked", "disliked")
    for turn, query, response, liked, disliked in conversation.select(columns).iter_rows():
        liked_rows = [row_of[track] for track in liked if track in row_of]
        targets = [row for row in liked_rows if row not in shown]
        if not targets:
            missing[NOT_IN_CATALOG if liked else NOTHING_LIKED] += 1
        for is_warm in (True, False):
            own = [row for row in targets if is_warm_N[row] == is_warm]
            others = shown.union(targets).difference(own)
            if own:
                cases.append(_Case(Prompt(tuple(chat), query), _rows(own), _rows(others), turn + 1, group, is_warm))
        chat.append(ChatTurn(query, liked_rows[0] if liked_rows else NO_TRACK, response))
        shown.update(row_of[track] for track in (*liked, *disliked) if track in row_of)
    return cases, missing


def _rows(rows: Collection[int]) -> npt.NDArray[np.int32]:
    return np.unique(np.array(list(rows), np.int32))


def _columns(cases: list[_Case]) -> TurnCases:
    return TurnCases(
        [case.prompt for case in cases],
        [case.targets for case in cases],
        [case.seen for case in cases],
        np.array([case.turn for case in cases], np.int32),
        np.array([case.group for case in cases], np.int64),
        np.array([case.is_warm for case in cases], np.bool_),
    )
