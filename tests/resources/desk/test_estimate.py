"""An estimate is drawn from a sample of the requests, and scaled to all of them."""

from collections.abc import Sequence

import pytest
from pydantic import BaseModel

from resources.desk.estimate import SAMPLE, Estimate, estimate
from resources.desk.prices import Price
from resources.desk_settings import Answers
from resources.language_model import Request


class Any(BaseModel):
    """Any answer."""


def requests(count: int) -> list[Request]:
    """Requests of one length each."""
    return [Request("relevance", "1", "Judge.", {"query": f"songs number {n:05}"}, Any) for n in range(count)]


def estimated(count: int, kept: int = 0) -> Estimate:
    """The estimate of so many requests, of whose sample the first `kept` are answered."""

    def found(keys: Sequence[str]) -> Sequence[str]:
        return keys[:kept]

    return estimate(requests(count), Answers(), model="m", price=None, batch_from=0, found=found, usual={})


def priced(batch_from: int, usual: dict[str, float]) -> Estimate:
    """Ten requests at a dollar a million tokens, in and out."""
    price, answers = Price(1, 1, "", 1, 1), Answers(re_asks=1, max_output_tokens=100)
    return estimate(
        requests(10), answers, model="m", price=price, batch_from=batch_from, found=lambda keys: (), usual=usual
    )


def test_usual_tokens_go_before_those_of_the_rules() -> None:
    """Ten requests of a task whose replies had 500 tokens on average: 5,000 out."""
    figures = priced(0, {"relevance": 500.0})
    assert figures.output_tokens == 5000
    assert figures.likely_usd == pytest.approx((figures.input_tokens + 5000) / 1e6)


def test_batches_cost_half() -> None:
    """From as many requests on as are missing, not from one more."""
    assert priced(10, {}).likely_usd == pytest.approx(priced(0, {}).likely_usd / 2)
    assert priced(11, {}).likely_usd == priced(0, {}).likely_usd


def test_the_most_holds_longer_calls_and_re_asks() -> None:
    """One re-ask, 100 tokens: an answer of 100, one of 200, and 200 again: 500 out for each of ten requests."""
    assert priced(0, {}).most_usd > 10 * 500 / 1e6


def test_a_sample_stands_for_all() -> None:
    """Requests of one length: ten samples' worth of them take ten times the tokens of one."""
    one, ten = estimated(SAMPLE), estimated(10 * SAMPLE)
    assert ten.requests == 10 * one.requests == 10 * SAMPLE
    assert ten.input_tokens == pytest.approx(10 * one.input_tokens)


def test_an_uneven_count_is_scaled_to_itself() -> None:
    """Requests that the sample does not divide are all counted."""
    assert estimated(2 * SAMPLE + 1).requests == pytest.approx(2 * SAMPLE + 1)


def test_what_is_kept_is_not_asked() -> None:
    """Half of the sample answered is half of the requests kept."""
    found = estimated(2 * SAMPLE, kept=SAMPLE // 2)
    assert (found.requests, found.kept) == (SAMPLE, SAMPLE)


def test_no_requests() -> None:
    """Nothing to ask takes nothing."""
    assert estimated(0) == Estimate()
