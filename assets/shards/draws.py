"""What shards draw by playlist: numbers that depend on a seed and an id alone, and the playlists held out by them."""

import numpy as np
import numpy.typing as npt
import polars as pl

# SplitMix64's increment and multipliers (Steele, Lea, Flood 2014).
GOLDEN, FIRST_MIX, SECOND_MIX = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def with_validation(rows: pl.DataFrame, *, share: float, seed: int) -> pl.DataFrame:
    """The rows, with `playlist_id` and `split`, of which those of a share of the training playlists say validation.

    Whether a playlist is chosen depends on its id and the seed alone, so its conversations and continuations agree.
    """
    with np.errstate(over="ignore"):
        ids = rows["playlist_id"].to_numpy().astype(np.uint64)
        random = mixed(mixed(np.full(1, seed).astype(np.uint64)) ^ mixed(ids))
    is_chosen = pl.Series((random / 2.0**64) < share) & (rows["split"] == "train")
    return rows.with_columns(split=pl.when(is_chosen).then(pl.lit("validation")).otherwise("split"))


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 of each value; sums and products wrap, so callers silence numpy's overflow."""
    values = values + GOLDEN
    values = (values ^ (values >> np.uint64(30))) * FIRST_MIX
    values = (values ^ (values >> np.uint64(27))) * SECOND_MIX
    return values ^ (values >> np.uint64(31))
