"""Hit@k by system as a picture, a panel a protocol."""

import io

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from assets.evaluation.cbr_table import BOUNDS, MULTIMODAL, TITLES

SIZE_INCHES = (8.0, 3.2)
DOTS_PER_INCH = 100
SHOWN = {**MULTIMODAL, **BOUNDS}


def plot_cbr(table: pl.DataFrame) -> bytes:
    """PNG of the value of each multimodal system and bound by k, with intervals."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(TITLES), sharey=True)
    for axes, (protocol, title) in zip(panels, TITLES.items(), strict=True):
        for system, name in SHOWN.items():
            rows = table.filter((pl.col("system") == system) & (pl.col("protocol") == protocol)).sort("k")
            beyond = rows.select(pl.col("value") - pl.col("low"), pl.col("high") - pl.col("value"))
            errors = [column.clip(0).to_list() for column in beyond.get_columns()]
            axes.errorbar(rows["k"].to_list(), rows["value"].to_list(), yerr=errors, label=name, linewidth=1, capsize=2)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("k")
        axes.set_ylim(0)
    panels[0].set_ylabel("Hit@k")
    panels[-1].legend(frameon=False, fontsize=7)

    png = io.BytesIO()
    canvas.print_png(png, metadata={"Software": None})  # no version: the same rows give the same bytes
    return png.getvalue()
