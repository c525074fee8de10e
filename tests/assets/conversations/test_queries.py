import json

import polars as pl
import pytest

from assets.content.track_facts import track_payloads
from assets.conversations.queries import query_requests, relevance_requests
from assets.conversations.synthesis import queries, relevance
from assets.conversations.tables import QUERIES, REFUSED, RELEVANCE
from resources.answer_rules import RuleAnswerer
from resources.desk.calls import Reply
from resources.desk.chains import chain, drive
from resources.desk.prompts import plain_schema
from resources.desk_settings import Answers
from resources.language_model import Tally, request_id
from resources.title_leaks import title_leaks

PART = "queries.all"


class Script:
    """A language model that answers each request with the next text."""

    name = "script"

    def __init__(self, *texts: str) -> None:
        self.texts, self.tally = texts, Tally()

    def answer(self, requests, *, part="all"):
        """One result for each request."""
        for request, text in zip(requests, self.texts, strict=True):
            yield drive(chain(request, Answers(re_asks=0), self.tally), lambda _, text=text: Reply(text, "stop", 1, 1))


@pytest.fixture(scope="module")
def asked(content):
    """Two queries of every track."""
    return query_requests(content, queries=2)


@pytest.fixture(scope="module")
def written(asked):
    """What the rules make of them."""
    return queries(asked, RuleAnswerer(7), part=PART)


def test_each_track_is_asked_about_once(asked, content):
    """One request a track, in order of id, with all that is known of it but its id; row order does not count."""
    assert list(asked) == sorted(content.tracks["track_id"])
    facts = track_payloads(*content)["track-007"]
    del facts["track_id"]
    assert asked["track-007"].payload == {"track": facts, "queries": 2}
    turned = query_requests(type(content)(*(frame.reverse() for frame in content)), queries=2)
    assert [request_id(request) for request in turned.values()] == [request_id(request) for request in asked.values()]


def test_the_rules_write_queries_of_most_tracks(written, asked, content):
    """Numbered from 0, of different modalities, and the title only where it is asked for; the rest is refused."""
    rows = QUERIES.checked(written.rows)
    assert rows.height == 2 * (len(asked) - REFUSED.checked(written.refused).height)
    assert rows.height >= 2 * 0.95 * len(asked)
    titles = dict(content.tracks.select("track_id", "title").iter_rows())
    for row in rows.iter_rows(named=True):
        assert row["query_id"] in (f"{row['track_id']}/0", f"{row['track_id']}/1")
        assert row["modality"] == "BM" or not title_leaks(titles[row["track_id"]], row["query"])
    assert rows["modality"].n_unique() >= 5


def test_queries_that_break_a_rule_are_refused(asked):
    """The refusal names the track and the rule; the other track keeps its queries."""
    two = {track_id: asked[track_id] for track_id in ("track-000", "track-001")}
    good = {"queries": [{"query": f"slow music number {n}", "modality": "ST"} for n in range(2)]}
    bad = {"queries": good["queries"][:1] * 2}
    result = queries(two, Script(json.dumps(bad), json.dumps(good)), part=PART)
    assert result.rows["query_id"].to_list() == ["track-001/0", "track-001/1"]
    assert result.refused.select("source", "location", "reason").rows() == [
        ("conversations/queries", "track-000", "repeated_query")
    ]


def test_the_form_of_the_answer_counts_the_queries(asked):
    """The schema that a model's decoder is held to wants exactly so many, and one less is no answer."""
    request = asked["track-000"]
    schema = plain_schema(request)["properties"]["queries"]
    assert (schema["minItems"], schema["maxItems"]) == (2, 2)
    short = json.dumps({"queries": [{"query": "slow music", "modality": "ST"}]})
    assert queries({"track-000": request}, Script(short), part=PART).refused["reason"].to_list() == ["schema_violation"]


def test_every_query_is_judged(written):
    """Nine whole numbers from 0 to 10 a query; a judge sees the query alone."""
    requests = relevance_requests(written.rows)
    assert all(request.payload.keys() == {"query"} for request in requests.values())
    judged = relevance(requests, RuleAnswerer(7), part="relevance.all")
    rows = RELEVANCE.checked(judged.rows)
    assert rows["query_id"].to_list() == sorted(written.rows["query_id"])
    assert judged.refused.is_empty()


@pytest.mark.parametrize("score", [11, -1, 5.0, "5", None])
def test_a_score_is_a_whole_number_from_0_to_10(score):
    """Anything else is refused, and named."""
    requests = relevance_requests(pl.DataFrame({"query_id": ["a/0"], "query": ["slow folk music"]}))
    scores = dict.fromkeys(["AC", "BM", "ST", "SC", "MC", "RI", "SF", "AB"], 0) | {"TC": score}
    result = relevance(requests, Script(json.dumps(scores)), part="relevance.all")
    assert result.rows.is_empty()
    assert result.refused.select("source", "location", "reason").rows() == [
        ("conversations/relevance", "a/0", "schema_violation")
    ]


def test_nothing_asked_nothing_written():
    """Empty partitions fit their tables."""
    assert queries({}, RuleAnswerer(7), part=PART).rows.is_empty()
    assert relevance(relevance_requests(QUERIES.empty()), RuleAnswerer(7), part=PART).rows.is_empty()
