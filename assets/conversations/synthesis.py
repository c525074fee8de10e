"""From answers to rows: conversations, queries and relevance as a language model wrote them, the rest refused.

An answer is kept whole or refused whole: a turn that was cut out would leave the later ones talking about nothing. Its
rules (`assets.conversations.rules`) were checked before it came here.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import polars as pl

from assets.conversations.dialogues import SOURCE, Dialogue
from assets.conversations.tables import QUERIES, RELEVANCE, TURNS
from resources.language_model import Answer, LanguageModel, Refused, Request
from resources.refusals import Refusal, refused_frame
from resources.tables import Table


class Written(NamedTuple):
    """Rows of the table, and the requests that got no answer."""

    rows: pl.DataFrame
    refused: pl.DataFrame


class _Outcome(NamedTuple):
    answers: dict[str, Answer]
    refused: pl.DataFrame


def conversations(dialogues: Sequence[Dialogue], language_model: LanguageModel, *, part: str) -> Written:
    """conversations/turns of the dialogues; refusals name the conversation.

    Raises ValueError when the model does not give one result for each request, as do the other two.
    """
    outcome = _outcome({d.conversation_id: d.request for d in dialogues}, language_model, part, source=SOURCE)
    rows = (
        {
            "conversation_id": dialogue.conversation_id,
            "turn": place,
            "playlist_id": dialogue.playlist_id,
            "split": dialogue.split,
            "is_repaired": bool(answer.repairs),
            **turn,
        }
        for dialogue in dialogues
        if (answer := outcome.answers.get(dialogue.conversation_id))
        for place, turn in enumerate(answer.value.model_dump()["turns"])
    )
    return _written(TURNS, rows, outcome)


def queries(requests: Mapping[str, Request], language_model: LanguageModel, *, part: str) -> Written:
    """conversations/queries of the requests by track_id; refusals name the track."""
    outcome = _outcome(requests, language_model, part, source=QUERIES.path)
    rows = (
        {"query_id": f"{track_id}/{place}", "track_id": track_id, **query}
        for track_id, answer in outcome.answers.items()
        for place, query in enumerate(answer.value.model_dump()["queries"])
    )
    return _written(QUERIES, rows, outcome)


def relevance(requests: Mapping[str, Request], language_model: LanguageModel, *, part: str) -> Written:
    """conversations/relevance of the requests by query_id; refusals name the query."""
    outcome = _outcome(requests, language_model, part, source=RELEVANCE.path)
    rows = (
        {"query_id": query_id, **{name.lower(): score for name, score in answer.value.model_dump().items()}}
        for query_id, answer in outcome.answers.items()
    )
    return _written(RELEVANCE, rows, outcome)


def _outcome(requests: Mapping[str, Request], language_model: LanguageModel, part: str, *, source: str) -> _Outcome:
    answers: dict[str, Answer] = {}
    refusals: list[Refusal] = []
    for identity, result in zip_longest(requests, language_model.answer(list(requests.values()), part=part)):
        if identity is None or result is None:
            raise ValueError(f"{language_model.name}: wanted one result for each of {len(requests)} requests, in order")
        if isinstance(result, Refused):
            refusals.append(Refusal(source, identity, result.reason, result.detail))
        else:
            answers[identity] = result
    return _Outcome(answers, refused_frame(refusals))


def _written(table: Table, rows: Iterable[Mapping[str, object]], outcome: _Outcome) -> Written:
    return Written(table.checked(pl.DataFrame(list(rows), schema=table.empty().schema)), outcome.refused)
