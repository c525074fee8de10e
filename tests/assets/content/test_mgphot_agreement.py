import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from assets.content.mgphot_agreement import (
    ALL,
    agreement_note,
    genes_agreement,
    readings_agreement,
    weighted_kappa,
)
from assets.content.mgphot_attributes import COLUMNS
from assets.content.tables import MGPHOT_AGREEMENT, MGPHOT_RATINGS


def readings(first: list[int | None], second: list[int | None], attribute: str = "tempo") -> pl.DataFrame:
    """Rows of content/mgphot_ratings about one attribute, a track for each pair."""
    rows = [
        (f"track-{number:03}", attribute, reading, rating, 5, "model")
        for reading, ratings in ((1, first), (2, second))
        for number, rating in enumerate(ratings)
    ]
    return MGPHOT_RATINGS.checked(pl.DataFrame(rows, schema=MGPHOT_RATINGS.empty().schema, orient="row"))


def of(compared: pl.DataFrame, attribute: str) -> dict[str, float]:
    """The row of one attribute, of the table as it is written."""
    return MGPHOT_AGREEMENT.checked(compared).row(by_predicate=pl.col("attribute") == attribute, named=True)


def shares_of(**values: list[float | None]) -> pl.DataFrame:
    """Tracks with shares of some attributes, the others null."""
    count = len(next(iter(values.values())))
    columns = {name: values.get(name, [None] * count) for name in COLUMNS}
    types = dict.fromkeys(COLUMNS, pl.Float32)
    return pl.DataFrame(
        {"track_id": [f"t{number}" for number in range(count)], **columns}, schema={"track_id": pl.String, **types}
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60))
def test_kappa_is_that_of_sklearn(pairs: list[tuple[int, int]]) -> None:
    """Quadratic-weighted kappa equals scikit-learn's wherever that is a number."""
    first, second = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    ours = weighted_kappa(first, second)
    if len({*first, *second}) == 1:
        assert ours is None
    else:
        theirs = cohen_kappa_score(first, second, labels=range(6), weights="quadratic")
        assert ours == pytest.approx(theirs, abs=1e-12)


def test_readings_are_compared_where_both_have_a_rating() -> None:
    """Of 4 pairs 2 are the same and 3 within one; a null on either side is no case."""
    row = of(readings_agreement(readings([0, 3, 5, 2, None, 4], [0, 4, 5, 4, 3, None])), "tempo")
    assert (row["cases"], row["exact"], row["within_one"]) == (4, 0.5, 0.75)
    assert row["mean_error"] == pytest.approx((0 + 0.2 + 0 + 0.4) / 4)
    assert row["bias"] == pytest.approx(-(0.2 + 0.4) / 4)
    assert row["kappa"] == pytest.approx(
        cohen_kappa_score([0, 3, 5, 2], [0, 4, 5, 4], labels=range(6), weights="quadratic")
    )


def test_shares_come_back_as_the_ratings_they_were() -> None:
    """Every rating from 0 to 5 agrees with itself."""
    row = of(readings_agreement(readings([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5])), "tempo")
    assert (row["exact"], row["within_one"], row["kappa"]) == (1.0, 1.0, 1.0)


def test_overall_pools_cases_and_averages_correlations() -> None:
    """Of two attributes with kappas 1 and -1 the overall kappa is 0, over all six cases."""
    ratings = pl.concat([readings([0, 5], [0, 5]), readings([0, 5, 0, 5], [5, 0, 5, 0], "organ")])
    row = of(readings_agreement(ratings), ALL)
    assert (row["cases"], row["exact"], row["kappa"], row["spearman"]) == (6, pytest.approx(1 / 3), 0.0, 0.0)


def test_no_second_reading_is_no_case() -> None:
    """A row for each of 58 attributes and all, with 0 cases and nothing else."""
    compared = readings_agreement(readings([1, 2], []))
    assert compared.height == 59
    assert of(compared, ALL) == {
        **dict.fromkeys(MGPHOT_AGREEMENT.empty().columns),
        "comparison": "second_reading",
        "attribute": ALL,
        "cases": 0,
    }


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10)), min_size=5, max_size=40))
def test_ranks_correlate_as_scipy_says(pairs: list[tuple[int, int]]) -> None:
    """Spearman's rho, ties and all, is scipy's; a side that does not vary has none."""
    ours, theirs = (
        [value / most for value in side] for side, most in zip(zip(*pairs, strict=True), (5, 10), strict=True)
    )
    rho = of(genes_agreement("x", shares_of(piano=ours), shares_of(piano=theirs)), "piano")["spearman"]
    if len(set(ours)) == 1 or len(set(theirs)) == 1:
        assert rho is None
    else:
        assert rho == pytest.approx(spearmanr(ours, theirs).statistic, abs=1e-9)


def test_genes_are_compared_by_error_and_bias() -> None:
    """Errors of 0.1 up and 0.3 down: mean error 0.2, bias -0.1; gene values are no ratings, so no kappa."""
    ours, theirs = shares_of(tempo=[0.6, 0.2] * 3), shares_of(tempo=[0.5] * 6)
    row = of(genes_agreement("mgphot_and_genes", ours, theirs), "tempo")
    assert (row["cases"], row["exact"], row["kappa"]) == (6, None, None)
    assert row["mean_error"] == pytest.approx(0.2)
    assert row["bias"] == pytest.approx(-0.1)


def test_errors_over_few_tracks_are_not_told() -> None:
    """Over 4 tracks an error would nearly be the user's value: cases alone."""
    row = of(genes_agreement("mgphot_and_genes", shares_of(tempo=[0.5] * 4), shares_of(tempo=[0.25] * 4)), "tempo")
    assert (row["cases"], row["mean_error"], row["bias"], row["spearman"]) == (4, None, None, None)


def test_a_single_value_does_not_follow_from_the_sums() -> None:
    """An attribute of one track is in no sum over all: those over all are of the attributes that are told."""
    theirs = shares_of(piano=[0.1] * 6, organ=[0.73] * 6)
    row = of(genes_agreement("x", shares_of(piano=[0.3] * 6, organ=[0.4, *[None] * 5]), theirs), ALL)
    assert row["cases"] == 6
    assert row["mean_error"] == row["bias"] == pytest.approx(0.2)


def test_two_comparisons_do_not_differ_in_few_tracks() -> None:
    """Six tracks beside five told ones would tell the sixth; the same five, or five others more, tell nothing."""
    genes = shares_of(tempo=[0.5] * 10)
    told = shares_of(tempo=[*[0.25] * 5, *[None] * 5])
    for count, is_told in ((5, True), (6, False), (9, False), (10, True)):
        ours = shares_of(tempo=[*[0.5] * count, *[None] * (10 - count)])
        row = of(genes_agreement("x", ours, genes, told=told), "tempo")
        assert (row["cases"], row["bias"] is not None) == (count, is_told)
    few = shares_of(tempo=[*[0.25] * 4, *[None] * 6])
    assert of(genes_agreement("x", told, genes, told=few), "tempo")["bias"] == -0.25


def test_agreement_is_shown_as_a_table() -> None:
    """The overall rows, a blank where a measure has no meaning."""
    compared = pl.concat(
        [
            readings_agreement(readings([0, 5], [0, 5])),
            genes_agreement("mgphot_and_genes", shares_of(tempo=[0.5] * 5), shares_of(tempo=[0.25] * 5)),
        ]
    )
    assert agreement_note(compared).splitlines()[2:] == [
        "| second_reading | 2 | 1.000 | 1.000 | 1.000 | 0.000 | 0.000 | 1.000 |",
        "| mgphot_and_genes | 5 |  |  |  | 0.250 | 0.250 |  |",
        "",
        "Second readings never differ: so it is by construction where rules rate, which draw nothing.",
    ]


def test_readings_that_differ_need_no_explanation() -> None:
    """A model that draws its answers differs somewhere."""
    assert len(agreement_note(readings_agreement(readings([0, 5], [0, 4]))).splitlines()) == 3
