"""MRR by turn as a picture, like TalkPlay's Figure 3: a panel for each kind of chat."""

import polars as pl

from assets.evaluation.panels import Panel, plot_panels
from assets.evaluation.talkplay import TURN
from assets.evaluation.talkplay_table import CHATS, SYSTEMS


def plot_by_turn(table: pl.DataFrame) -> bytes:
    """PNG of each system's MRR by turn, with intervals, without models that were trained otherwise."""
    turns = table.filter((pl.col("metric") == "mrr") & pl.col("part").str.starts_with(TURN))
    by_turn = turns.with_columns(x=pl.col("part").str.strip_prefix(TURN).cast(pl.Int64))
    panels = [Panel(title, by_turn.filter(pl.col("protocol") == protocol)) for protocol, title in CHATS.items()]
    return plot_panels(panels, SYSTEMS, x_label="turn", y_label="MRR")
