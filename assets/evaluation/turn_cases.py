"""The cases of TalkPlay's evaluation: a chat so far, a query, and the tracks that would answer it (section 5).

Tracks are rows of the catalog. Candidates of a case are all tracks of the catalog but those that the chat has shown
before (our choice: the paper does not say), alike for every system.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

# C cases
Rows = npt.NDArray[np.int32]
NO_TRACK = -1


class ChatTurn(NamedTuple):
    """What was said in a turn, and the row of the track that was recommended in it; -1: none that is known."""

    query: str
    track: int
    response: str


class Prompt(NamedTuple):
    """What a system is given: the turns so far, oldest first, and the query to answer."""

    past: tuple[ChatTurn, ...]
    query: str


class TurnCases(NamedTuple):
    """Cases in order of conversation and turn.

    `targets` are the rows that answer a case, 1 or more; `seen` are no candidates, and no targets. `turn_C` counts from
    1, `group_C` from 0: cases of one group (a playlist, or a conversation of people) are drawn together. `is_warm_C`:
    whether training playlists hold the case's targets.
    """

    prompts: list[Prompt]
    targets: list[Rows]
    seen: list[Rows]
    turn_C: npt.NDArray[np.int32]
    group_C: npt.NDArray[np.int64]
    is_warm_C: npt.NDArray[np.bool_]

    def part(self, places: slice) -> "TurnCases":
        """The cases of those places."""
        return TurnCases(
            self.prompts[places],
            self.targets[places],
            self.seen[places],
            self.turn_C[places],
            self.group_C[places],
            self.is_warm_C[places],
        )


def joined(parts: Sequence[TurnCases]) -> TurnCases:
    """The cases of all parts, in their order, to be counted at once; groups keep the numbers of their part."""
    lists = ([case for part in parts for case in part[place]] for place in range(3))
    arrays = (np.concatenate([part[place] for part in parts]) for place in range(3, len(TurnCases._fields)))
    return TurnCases(*lists, *arrays)  # type: ignore[arg-type]


def test_cases(turns: pl.DataFrame, catalog: pl.DataFrame) -> TurnCases:
    """A case for each turn of the test split, from conversations/turns; `catalog` has `track_id` and `is_warm`.

    Raises ValueError for a track that the catalog lacks.
    """
    rows = catalog.select("track_id", "is_warm", row=pl.int_range(pl.len(), dtype=pl.Int32))
    turns = turns.filter(pl.col("split") == "test").join(rows, on="track_id", how="left")
    unknown = turns.filter(pl.col("row").is_null())["track_id"].sort()
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} test turns recommend tracks that are not in the catalog, {unknown[0]} first: materialize "
            "catalog/tracks and what depends on it"
        )
    turns = turns.sort("playlist_id", "conversation_id", "turn")
    prompts, seen = [], []
    for conversation in turns.partition_by("conversation_id", maintain_order=True):
        chat = [ChatTurn(*row) for row in conversation.select("query", "row", "response").iter_rows()]
        for place, turn in enumerate(chat):
            prompts.append(Prompt(tuple(chat[:place]), turn.query))
            seen.append(np.unique([past.track for past in chat[:place] if past.track != turn.track]).astype(np.int32))
    place_C = pl.int_range(pl.len()).over("conversation_id", order_by="turn")
    numbers = turns.select(turn=place_C + 1, group=pl.col("playlist_id").rle_id())
    return TurnCases(
        prompts,
        list(turns["row"].to_numpy().astype(np.int32)[:, None]),
        seen,
        numbers["turn"].to_numpy().astype(np.int32),
        numbers["group"].to_numpy().astype(np.int64),
        turns["is_warm"].to_numpy().astype(np.bool_),
    )
