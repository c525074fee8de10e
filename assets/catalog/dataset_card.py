"""TalkPlay's Table 1 (upper half) as a person reads it: this corpus beside the paper's figures."""

from collections.abc import Callable

import polars as pl

# TalkPlay Table 1, Million Playlist Dataset: training, evaluation.
PAPER = {
    "playlists": (999_000, 1_000),
    "mean_tracks": (63.73, 59.41),
    "warm_tracks": (1_714_772, 37_114),
    "cold_tracks": (None, 2_357),
    "vocabulary": (24_129, 713),
    "sparsity": (0.99996, 0.99850),
}
NAMES = {
    "playlists": "playlists",
    "mean_tracks": "mean track list",
    "warm_tracks": "warm tracks",
    "cold_tracks": "cold tracks",
    "vocabulary": "vocabulary of names",
    "sparsity": "sparsity",
}


def dataset_markdown(table: pl.DataFrame) -> str:
    """A Markdown table of rows of `catalog/dataset_table`, one column a split, and the paper's beside them."""
    sides = {row["split"]: row for row in table.iter_rows(named=True)}
    lines = ["| | train | test | paper: train | paper: test |", "| --- | ---: | ---: | ---: | ---: |"]
    for column, name in NAMES.items():
        figures = [sides.get(split, {}).get(column) for split in ("train", "test")]
        cells = [_shown(column)(figure) for figure in (*figures, *PAPER[column])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(column: str) -> Callable[[float | None], str]:
    decimals = {"mean_tracks": 2, "sparsity": 5}.get(column, 0)
    return lambda figure: "-" if figure is None else f"{figure:,.{decimals}f}"
