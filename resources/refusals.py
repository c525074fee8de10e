"""Rows that can't be used: kept with their reason, never dropped silently."""

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

REFUSED_COLUMNS = {"source": pl.String, "location": pl.String, "reason": pl.String, "detail": pl.String}
DETAIL_CHARACTERS = 200
# Reasons that say nothing of the input: the next run tries again.
TRANSIENT = frozenset(
    {"out_of_memory", "worker_died", "preparer_died", "preparer_timeout", "unreadable", "unavailable"}
)


class Refusal(NamedTuple):
    """One refused row: the file or table it came from, where in it, a fixed snake_case reason, and what was seen."""

    source: str
    location: str
    reason: str
    detail: str


def refused_frame(refusals: Iterable[Refusal]) -> pl.DataFrame:
    """The refusals as a frame, in order of source and location; details cut to 200 characters."""
    rows = [refusal._replace(detail=refusal.detail[:DETAIL_CHARACTERS]) for refusal in refusals]
    return pl.DataFrame(rows, schema=REFUSED_COLUMNS, orient="row").sort("source", "location", "reason", "detail")


def concat_refused(*frames: pl.DataFrame) -> pl.DataFrame:
    """Refused rows of several origins as one frame, in order."""
    return pl.concat(frames).sort("source", "location", "reason", "detail")
