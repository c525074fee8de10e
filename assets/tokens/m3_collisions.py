"""Tracks whose codes are equal in all nine modalities of 3MToken: no tokens tell them apart.

In: rows of `tokens/m3_tokens` of the whole catalog. Out: rows of `tokens/m3_collisions`, and counts. `number` is the
disambiguating code of a track (TIGER, Rajput et al. 2023, 3.1); tracks without a row have 0.
"""

from typing import NamedTuple

import polars as pl

from resources.m3_settings import M3_MODALITIES


class Collisions(NamedTuple):
    """The tracks that share their tokens, and what the UI says of them."""

    frame: pl.DataFrame
    notes: dict[str, str | int | float]


def find_collisions(tokens: pl.DataFrame, *, disambiguators: int) -> Collisions:
    """Every track with the tokens of another, numbered by track id; missing modalities are equal to each other.

    Raises ValueError for tokens of several versions of the codebooks, and for more tracks of the same tokens than there
    are disambiguating codes, if there are any.
    """
    versions = tokens["codebook_hash"].n_unique()
    if versions > 1:
        raise ValueError(f"tokens are of {versions} versions of the codebooks; materialize tokens/m3_tokens again")
    codes = [pl.col(modality) for modality in M3_MODALITIES]
    counted = tokens.select("track_id", *codes, "codebook_hash", tracks=pl.len().over(codes).cast(pl.Int32))
    groups = counted.group_by("tracks").agg(groups=pl.len() // pl.col("tracks").first()).sort("tracks")
    _check_disambiguators(groups, disambiguators)
    colliding = counted.filter(pl.col("tracks") > 1).sort("track_id")
    number = pl.int_range(pl.len(), dtype=pl.Int32).over(codes)
    frame = colliding.select("track_id", "tracks", "codebook_hash", number=number)
    notes: dict[str, str | int | float] = {
        "tracks": tokens.height,
        "colliding tracks": frame.height,
        "share of colliding tracks": frame.height / max(1, tokens.height),
        "groups by size": _histogram(groups),
    }
    return Collisions(frame, notes)


def _check_disambiguators(groups: pl.DataFrame, disambiguators: int) -> None:
    larger = groups.filter(pl.col("tracks") > disambiguators)
    if disambiguators and larger.height:
        most = larger["tracks"].to_list()[-1]
        raise ValueError(
            f"{larger['groups'].sum()} groups of tracks with the same tokens, of up to {most} tracks, are larger than "
            f"m3_tokens.disambiguators={disambiguators}; raise it to {most}, enlarge m3.sizes, or set it to 0"
        )


def _histogram(groups: pl.DataFrame) -> str:
    """Markdown of how many groups of tracks with the same tokens have 1, 2, ... tracks."""
    lines = [f"| {tracks} | {count} |" for tracks, count in groups.iter_rows()]
    return "\n".join(["| tracks with the same tokens | such groups |", "| ---: | ---: |", *lines])
