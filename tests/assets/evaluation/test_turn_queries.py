"""Cases from lone queries."""

import numpy as np
import polars as pl

from assets.evaluation.turn_cases import Prompt
from assets.evaluation.turn_queries import query_cases


def test_a_query_is_a_case_without_a_past() -> None:
    """Its target is its track's row; queries of one track are a group; a track that the catalog lacks asks nothing."""
    catalog = pl.DataFrame({"track_id": ["a", "b"], "is_warm": [True, False]})
    queries = pl.DataFrame(
        {"query_id": ["b/0", "a/0", "b/1", "c/0"], "track_id": ["b", "a", "b", "c"], "query": ["w", "x", "y", "z"]}
    )
    cases = query_cases(queries, catalog)
    assert cases.prompts == [Prompt((), "w"), Prompt((), "x"), Prompt((), "y")]
    assert [targets.tolist() for targets in cases.targets] == [[1], [0], [1]]
    assert cases.group_C.tolist() == [1, 0, 1]
    assert cases.is_warm_C.tolist() == [False, True, False]
    assert np.all(cases.turn_C == 1)
    assert all(not len(seen) for seen in cases.seen)
