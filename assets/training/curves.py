"""Losses of a training: rows of `training/talkplay_curves`, a picture like TalkPlay's Figure 2, TensorBoard's files."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tensorboardX import SummaryWriter

Split = Literal["train", "validation"]
SIZE_INCHES = (8.0, 6.4)
DOTS_PER_INCH = 100
MOST_POINTS = 2000  # of a line: a training of millions of steps would take minutes and fill a disk
SMOOTHED_SHARE = 50  # a line of training steps is a moving mean over one of so many parts of it: our choice
EVENTS = "events.out.tfevents.0.talkplay"  # TensorBoard's own would hold the time and the machine's name
SCALARS = ("conversations", "playlists", "self_similarity", "loss", "learning_rate", "gradient_norm")
COLUMNS = {"split": pl.String, "step": pl.Int64, **dict.fromkeys(SCALARS, pl.Float64)}


class Point(NamedTuple):
    """A row of the curves: cross-entropies in nats a labelled token, null where there was none."""

    split: Split
    step: int
    conversations: float | None
    playlists: float | None
    self_similarity: float
    loss: float
    learning_rate: float | None
    gradient_norm: float | None


def curves_frame(points: Iterable[Point]) -> pl.DataFrame:
    """The points in their order."""
    return pl.DataFrame(list(points), schema=COLUMNS, orient="row")


def plot_curves(curves: pl.DataFrame) -> bytes:
    """PNG of rows of `training/talkplay_curves`: cross-entropy by step above, self-similarity below.

    A colour a variant, at most MOST_POINTS points a line; the line of validation is drawn through, that of training is
    a pale moving mean.
    """
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    entropy = pl.sum_horizontal("conversations", "playlists")
    variants = curves["variant"].unique(maintain_order=True).to_list()
    for place, variant in enumerate(variants):
        rows = curves.filter(pl.col("variant") == variant).sort("step").with_columns(entropy=entropy)
        for axes, column in ((above, "entropy"), (below, "self_similarity")):
            _draw(axes, rows, column, label=str(variant), colour=f"C{place % 10}")
    above.set_ylabel("cross-entropy, nats a token\n(conversations + playlists)")
    below.set_ylabel("self-similarity loss")
    below.set_xlabel("step; solid: validation, pale: training (moving mean)")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    if above.get_legend_handles_labels()[0]:
        above.legend()
    png = io.BytesIO()
    canvas.print_png(png, metadata={"Software": None})
    return png.getvalue()


def write_events(folder: Path, curves: pl.DataFrame) -> None:
    """TensorBoard's files: a run for training and one for validation, in a folder a variant where there are variants.

    A run has every n-th row, at most MOST_POINTS. No time is in them but that of the writing, in each file's first
    record.
    """
    keys = [name for name in ("variant", "split") if name in curves.columns]
    for names, rows in curves.sort("step").group_by(keys, maintain_order=True):
        run = folder.joinpath(*map(str, names))
        run.mkdir(parents=True, exist_ok=True)
        before = set(run.iterdir())
        with SummaryWriter(logdir=str(run), write_to_disk=True) as writer:
            for row in _thinned(rows).iter_rows(named=True):
                for name in SCALARS:
                    if row[name] is not None:
                        writer.add_scalar(name, row[name], row["step"], walltime=0.0)
        for path in set(run.iterdir()) - before:
            path.replace(run / EVENTS)


def _draw(axes: Axes, rows: pl.DataFrame, column: str, *, label: str, colour: str) -> None:
    """The lines of one variant; training's is smoothed, for a step's loss is one of few rows."""
    for split, alpha in (("train", 0.35), ("validation", 1.0)):
        line = rows.filter(pl.col("split") == split)
        if line.is_empty():
            continue
        window = max(1, len(line) // SMOOTHED_SHARE) if split == "train" else 1
        line = _thinned(line.with_columns(pl.col(column).rolling_mean(window, min_samples=1)))
        axes.plot(
            line["step"],
            line[column],
            color=colour,
            alpha=alpha,
            label=label if split == "validation" else None,
            linewidth=1.5,
        )


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.gather_every(max(1, -(-len(rows) // MOST_POINTS)))
