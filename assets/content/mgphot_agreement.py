"""How far MGPHot ratings can be trusted: two readings of one track side by side, and ratings beside a user's own genes.

The user's values (`assets.content.mgphot_genes`) may not be passed on: only sums over several of their tracks leave
this module, and no two sums whose difference is about fewer.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assets.content.mgphot import shares
from assets.content.mgphot_attributes import COLUMNS, SCALE
from assets.content.tables import MGPHOT_AGREEMENT

# N pairs of values

ALL = "all"
SECOND_READING = "second_reading"
LEAST_TRACKS = 5  # an error over fewer of the user's tracks would give their values away
NOTED = ("comparison", "cases", "exact", "within_one", "kappa", "mean_error", "bias", "spearman")

Values = NDArray[np.float64]
Measures = dict[str, float | None]


def readings_agreement(ratings: pl.DataFrame) -> pl.DataFrame:
    """Rows of content/mgphot_agreement: the first readings of content/mgphot_ratings beside the second ones."""
    pairs = _pairs(shares(ratings), shares(ratings, reading=2))
    return _compared(SECOND_READING, pairs, pairs, _rating_agreement)


def genes_agreement(
    comparison: str, ours: pl.DataFrame, genes: pl.DataFrame, *, told: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Rows of content/mgphot_agreement: our shares 0..1 beside the user's own, both with track_id and 58 attributes.

    An attribute of which fewer than 5 tracks have both has its cases and nothing else, and is in no sum over all. So
    is one whose tracks differ in fewer than 5 from those of `told`, shares whose comparison is told as well.
    """
    pairs = _pairs(ours, genes)
    others = pairs if told is None else _pairs(told, genes)
    safe = {name: pair for name, pair in pairs.items() if _is_safe(pair, others[name])}
    return _compared(comparison, pairs, safe, _errors)


def agreement_note(compared: pl.DataFrame) -> str:
    """The rows for all attributes as a Markdown table, and what a perfect second reading means."""
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in NOTED)} |", "|---" * len(NOTED) + "|"]
    rows = compared.filter(pl.col("attribute") == ALL).select(NOTED)
    for row in rows.iter_rows():
        shown = ("" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value) for value in row)
        lines.append(f"| {' | '.join(shown)} |")
    if 1.0 in rows.filter(pl.col("comparison") == SECOND_READING)["exact"]:
        lines += ["", "Second readings never differ: so it is by construction where rules rate, which draw nothing."]
    return "\n".join(lines)


def weighted_kappa(first_N: Values, second_N: Values, *, scale: int = SCALE) -> float | None:
    """Cohen's kappa with quadratic weights (Cohen 1968) of whole numbers 0..scale; null where chance never errs."""
    if len(first_N) == 0:
        return None
    counts = np.zeros((scale + 1, scale + 1))
    np.add.at(counts, (first_N.astype(int), second_N.astype(int)), 1)
    places = np.arange(scale + 1)
    weights = np.square(places[:, None] - places[None, :])
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / len(first_N)
    expected = float((weights * chance).sum())
    return None if expected == 0 else 1 - float((weights * counts).sum()) / expected


def _pairs(ours: pl.DataFrame, theirs: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """(track_id, ours, theirs) by attribute, of the tracks where both sides have a value."""
    joined = ours.select("track_id", *COLUMNS).join(theirs, on="track_id", suffix="_theirs").sort("track_id")
    both = joined.cast(dict.fromkeys((*COLUMNS, *(f"{name}_theirs" for name in COLUMNS)), pl.Float64))
    return {name: both.select("track_id", ours=name, theirs=f"{name}_theirs").drop_nulls() for name in COLUMNS}


def _is_safe(pair: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Whether there are enough tracks, and enough in the difference, over which sums follow from those over both."""
    differing = set(pair["track_id"]) ^ set(other["track_id"]) if other.height >= LEAST_TRACKS else set()
    return pair.height >= LEAST_TRACKS and (not differing or len(differing) >= LEAST_TRACKS)


def _compared(
    comparison: str,
    pairs: Mapping[str, pl.DataFrame],
    told: Mapping[str, pl.DataFrame],
    measure: Callable[[Values, Values], Measures],
) -> pl.DataFrame:
    """A row for each attribute of the pairs, of those told with its measures, and one for all told together."""
    found = {name: measure(*_sides(pair)) for name, pair in told.items()}
    pooled = measure(*_sides(pl.concat(told.values()))) if told else {"cases": 0}
    means = {name: _mean([measures.get(name) for measures in found.values()]) for name in ("kappa", "spearman")}
    rows = [
        {"comparison": comparison, "attribute": name, "cases": pair.height, **found.get(name, {})}
        for name, pair in pairs.items()
    ]
    rows.append({"comparison": comparison, "attribute": ALL, **pooled, **means})
    return pl.DataFrame(rows, schema=MGPHOT_AGREEMENT.empty().schema).sort(MGPHOT_AGREEMENT.key)


def _sides(pair: pl.DataFrame) -> tuple[Values, Values]:
    return pair["ours"].to_numpy(), pair["theirs"].to_numpy()


def _errors(ours_N: Values, theirs_N: Values) -> Measures:
    if len(ours_N) == 0:
        return {"cases": 0}
    difference_N = ours_N - theirs_N
    rho = pl.select(pl.corr(pl.Series(ours_N), pl.Series(theirs_N), method="spearman")).item()
    return {
        "cases": len(ours_N),
        "mean_error": float(np.abs(difference_N).mean()),
        "bias": float(difference_N.mean()),
        "spearman": float(rho) if math.isfinite(rho) else None,  # a side that does not vary has no ranks
    }


def _rating_agreement(first_N: Values, second_N: Values) -> Measures:
    measures = _errors(first_N, second_N)
    if not measures["cases"]:
        return measures
    ratings_N, others_N = np.rint(first_N * SCALE), np.rint(second_N * SCALE)
    apart_N = np.abs(ratings_N - others_N)
    kappa = weighted_kappa(ratings_N, others_N)
    return {
        **measures,
        "exact": float((apart_N == 0).mean()),
        "within_one": float((apart_N <= 1).mean()),
        "kappa": kappa,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None
