"""A picture of figures with intervals: a panel beside the other, a line a system."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SIZE_INCHES = (9.0, 3.2)
DOTS_PER_INCH = 100


class Panel(NamedTuple):
    """Rows of an evaluation table, with the place along the panel as `x`."""

    title: str
    rows: pl.DataFrame


def plot_panels(panels: Sequence[Panel], systems: Mapping[str, str], *, x_label: str, y_label: str) -> bytes:
    """PNG of each named system's values with intervals; a system has one colour in all panels."""
    drawing = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(drawing)
    all_axes = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    shown = {}
    for axes, panel in zip(all_axes, panels, strict=True):
        for number, (system, name) in enumerate(systems.items()):
            rows = panel.rows.filter(pl.col("system") == system).sort("x")
            if rows.is_empty():
                continue
            beyond = rows.select(pl.col("value") - pl.col("low"), pl.col("high") - pl.col("value"))
            errors = [column.clip(0).to_list() for column in beyond.get_columns()]
            places, values = rows["x"].to_list(), rows["value"].to_list()
            shown[name] = axes.errorbar(places, values, yerr=errors, color=f"C{number}", linewidth=1, capsize=2)
        axes.set_title(panel.title, fontsize=9)
        axes.set_xlabel(x_label)
        axes.locator_params(axis="x", integer=True)
    all_axes[0].set_ylim(0)  # once all is drawn: the top stays what it is then
    all_axes[0].set_ylabel(y_label)
    drawing.legend(list(shown.values()), list(shown), loc="outside right center", frameon=False, fontsize=7)

    png = io.BytesIO()
    canvas.print_png(png, metadata={"Software": None})  # no version: the same rows give the same bytes
    return png.getvalue()
