"""Music retrieval by turn, TalkPlay's Table 2 and Figure 3 (section 6.3): from counts to rows of `evaluation/talkplay`.

A case is a turn whose query asks for a track. All means are over cases, and equal scores are in random order.
mrr: mean of 1 / rank of the best target. hit: share with a target within the first k. exact: share of generated tokens
that are those of a track, of the systems that generate (section 5.2).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.evaluation.hits import hit_probability
from assets.evaluation.intervals import interval, resampled_means
from assets.evaluation.published import TURNS
from assets.evaluation.tables import TALKPLAY
from assets.evaluation.turn_counts import TurnCounts
from assets.evaluation.turn_ranks import reciprocal_rank
from resources.m3_settings import Evaluation

# C cases, X columns (a system's metric at a k), R resamples
OURS = "talkplay_constrained"
TURN = "turn_"  # and its number: a part
Column = tuple[str, str, int]  # system, metric and k
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def turn_rows(
    protocol: str,
    systems: Mapping[str, TurnCounts],
    *,
    turn_C: npt.NDArray[np.int32],
    group_C: npt.NDArray[np.int64],
    is_warm_C: Flags,
    exact: Mapping[str, Flags],
    settings: Evaluation,
) -> pl.DataFrame:
    """Rows of one protocol with intervals over the groups; none of a part without a case.

    `exact` says by system and case whether the tokens are a track's. Raises ValueError for other cases than `turn_C`'s.
    """
    columns: dict[Column, Floats] = {}
    for system, counts in systems.items():
        _check_cases(protocol, system, counts.above_C, len(turn_C))
        columns[system, "mrr", 0] = reciprocal_rank(*counts)
        columns |= {(system, "hit", k): hit_probability(*counts, k=k) for k in settings.turn_ks}
    for system, is_exact_C in exact.items():
        _check_cases(protocol, system, is_exact_C, len(turn_C))
        columns[system, "exact", 0] = is_exact_C.astype(np.float64)
    if not columns:
        return TALKPLAY.empty()

    values_CX = np.stack(list(columns.values()), axis=1)
    frames = [TALKPLAY.empty()]
    for part, is_in_C in _parts(turn_C, is_warm_C).items():
        if is_in_C.any():
            figures = _figures(list(columns), values_CX[is_in_C], group_C[is_in_C], settings=settings)
            published = TURNS if (protocol, part) == ("turns", "all") else {}
            rows = figures.with_columns(
                pl.lit(protocol).alias("protocol"),
                pl.lit(part).alias("part"),
                pl.Series("published", [published.get(column) for column in columns], pl.Float64),
            )
            frames.append(rows.select(frames[0].columns))
    return TALKPLAY.checked(pl.concat(frames))


def _check_cases(protocol: str, system: str, numbers_C: npt.NDArray[np.generic], cases: int) -> None:
    if len(numbers_C) != cases:
        raise ValueError(f"{protocol}: {system} has figures of {len(numbers_C)} cases, wanted {cases}: one for each")


def _parts(turn_C: npt.NDArray[np.int32], is_warm_C: Flags) -> dict[str, Flags]:
    by_turn = {f"{TURN}{turn:02}": turn_C == turn for turn in np.unique(turn_C).tolist()}
    return {"all": np.ones(len(turn_C), np.bool_), "warm": is_warm_C, "cold": ~is_warm_C, **by_turn}


def _figures(
    columns: Sequence[Column], values_CX: Floats, group_C: npt.NDArray[np.int64], *, settings: Evaluation
) -> pl.DataFrame:
    """A row a column: its mean, and how far that is below the same metric of talkplay_constrained, where it has one."""
    means_RX = resampled_means(values_CX, group_C, resamples=settings.resamples, seed=settings.seed)
    value_X = values_CX.mean(axis=0)
    of_ours = {(metric, k): place for place, (system, metric, k) in enumerate(columns) if system == OURS}
    ours_X = np.array([of_ours.get((metric, k), -1) for _, metric, k in columns])
    behind = [value_X[ours_X] - value_X, *interval(means_RX[:, ours_X] - means_RX)]
    behind = [np.where(ours_X >= 0, numbers_X, np.nan) for numbers_X in behind]

    rows = pl.DataFrame(columns, schema={"system": pl.String, "metric": pl.String, "k": pl.Int32}, orient="row")
    return rows.with_columns(
        pl.Series("value", value_X),
        *map(pl.Series, ("low", "high"), interval(means_RX)),
        *(
            pl.Series(name, numbers_X, nan_to_null=True)
            for name, numbers_X in zip(("behind", "behind_low", "behind_high"), behind, strict=True)
        ),
        pl.lit(len(group_C), pl.Int64).alias("cases"),
    )
