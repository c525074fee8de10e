"""The queries to write for tracks, and the queries to judge: what a language model is given for each.

Both are for 3MTokenRec (systems.md section 5): pairs of a query and its track, and how much each of nine modalities
matters for a query, on which its modality selector is trained.
"""

from functools import partial

import polars as pl
from pydantic import JsonValue

from assets.content.track_facts import Content, track_payloads
from assets.conversations.answers import AnsweredQueries, AnsweredRelevance, queries_of
from assets.conversations.rules import QUERY_CHARACTERS, query_complaint
from resources.language_model import Request
from resources.outside_text import marked
from resources.prompt_files import checked_prompt

QUERY_PROMPT = "conversations/query-1"
RELEVANCE_PROMPT = "conversations/relevance-1"


def query_requests(content: Content, *, queries: int) -> dict[str, Request]:
    """The request for the queries of each of the tracks, by track_id, in that order."""
    prompt = checked_prompt(QUERY_PROMPT, AnsweredQueries)
    requests: dict[str, Request] = {}
    for track_id, track in track_payloads(*content).items():
        told: dict[str, JsonValue] = {name: fact for name, fact in track.items() if name != "track_id"}
        payload: dict[str, JsonValue] = {"track": told, "queries": queries}
        requests[track_id] = Request(
            prompt.task,
            prompt.version,
            prompt.instructions,
            payload,
            queries_of(queries),
            check=partial(query_complaint, payload),
        )
    return requests


def relevance_requests(queries: pl.DataFrame) -> dict[str, Request]:
    """The request to judge each of conversations/queries, by query_id, in that order."""
    prompt = checked_prompt(RELEVANCE_PROMPT, AnsweredRelevance)
    return {
        query_id: Request(
            prompt.task,
            prompt.version,
            prompt.instructions,
            {"query": marked(query, characters=QUERY_CHARACTERS)},
            AnsweredRelevance,
        )
        for query_id, query in queries.sort("query_id").select("query_id", "query").iter_rows()
    }
