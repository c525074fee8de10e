"""Hit@k by system as a picture, a panel a protocol."""

import polars as pl

from assets.evaluation.cbr_table import BOUNDS, MULTIMODAL, TITLES
from assets.evaluation.panels import Panel, plot_panels


def plot_cbr(table: pl.DataFrame) -> bytes:
    """PNG of the value of each multimodal system and bound by k, with intervals."""
    by_k = table.rename({"k": "x"})
    panels = [Panel(title, by_k.filter(pl.col("protocol") == protocol)) for protocol, title in TITLES.items()]
    return plot_panels(panels, {**MULTIMODAL, **BOUNDS}, x_label="k", y_label="Hit@k")
