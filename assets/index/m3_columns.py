"""The columns of 3MToken's index: each code of a track in a column of its own, named as its token, `ac1` to `tc3`.

In: rows of `tokens/m3_tokens` and `tokens/m3_collisions`. Out: a frame of integer columns and the codes of each. A code
that tells tracks of equal codes apart, if the profile has any, is the last column, `number`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from assets.index.level_matching import NUMBER


class M3Columns(NamedTuple):
    """Rows to index, and the number of codes of each code column, in their order."""

    frame: pl.DataFrame
    codes_per_column: dict[str, int]


def m3_columns(
    tokens: pl.DataFrame, collisions: pl.DataFrame, *, sizes: Mapping[str, Sequence[int]], disambiguators: int
) -> M3Columns:
    """The columns of the catalog; `sizes` are the codes of each level by modality, in the order of the tokens.

    Raises ValueError for tokens of another number of levels, and for collisions among tokens of other codebooks.
    """
    if collisions.join(tokens, on=["track_id", "codebook_hash"], how="anti").height:
        raise ValueError("collisions are of other codebooks than the tokens; materialize tokens/m3_collisions again")
    for modality, levels in sizes.items():
        strangers = tokens.filter(pl.col(modality).list.len() != len(levels))
        if strangers.height:
            track_id, codes = strangers.select("track_id", modality).row(0)
            raise ValueError(
                f"track {track_id}: codes {codes} of {modality}, wanted {len(levels)} levels; "
                "materialize tokens/m3_tokens again"
            )
    columns = [
        pl.col(modality).list.get(level).alias(f"{modality}{level + 1}")
        for modality, levels in sizes.items()
        for level in range(len(levels))
    ]
    frame = tokens.select("track_id", *columns, "codebook_hash")
    codes = [size for levels in sizes.values() for size in levels]
    per_column = dict(zip((column.meta.output_name() for column in columns), codes, strict=True))
    if not disambiguators:
        return M3Columns(frame, per_column)
    numbered = frame.join(collisions.select("track_id", NUMBER), on="track_id", how="left", maintain_order="left")
    return M3Columns(numbered.with_columns(pl.col(NUMBER).fill_null(0)), {**per_column, NUMBER: disambiguators})
