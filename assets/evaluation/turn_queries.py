"""Cases from lone queries: each of `conversations/queries` asks for the one track that it was written for.

Test conversations hold hardly a track that no training playlist has; queries are written for every track of the
catalog, cold ones too, and TalkPlay is trained on none of them.
"""

import numpy as np
import polars as pl

from assets.evaluation.turn_cases import Prompt, TurnCases


def query_cases(queries: pl.DataFrame, catalog: pl.DataFrame) -> TurnCases:
    """A case for each row of sql/evaluation/query_cases.sql; those of one track are a group.

    `catalog` has `track_id` and `is_warm`, and every track that the queries have.
    """
    rows = catalog.select("track_id", "is_warm", row=pl.int_range(pl.len(), dtype=pl.Int32))
    asked = queries.join(rows, on="track_id", how="inner", maintain_order="left")
    return TurnCases(
        [Prompt((), query) for query in asked["query"]],
        list(asked["row"].to_numpy().astype(np.int32)[:, None]),
        [np.zeros(0, np.int32) for _ in range(asked.height)],
        np.ones(asked.height, np.int32),
        asked["row"].to_numpy().astype(np.int64),
        asked["is_warm"].to_numpy().astype(np.bool_),
    )
