"""Small pictures for the UI: one size, the same bytes for the same drawing, as Markdown."""

import base64
import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SIZE_INCHES = (5.0, 2.6)
DOTS_PER_INCH = 100
FRAME = (0.16, 0.19, 0.81, 0.69)  # fixed: a layout found by drawing would draw each picture three times


def new_axes() -> Axes:
    """Empty axes to draw in, with room for labels and a title."""
    return Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH).add_axes(FRAME)


def png_of(axes: Axes) -> bytes:
    """The axes' figure as a PNG."""
    png = io.BytesIO()
    canvas = FigureCanvasAgg(axes.get_figure(root=True))
    canvas.print_png(png, metadata={"Software": None})  # no version: the same drawing gives the same bytes
    return png.getvalue()


def markdown_of(png: bytes, *, title: str) -> str:
    """A Markdown image that holds the PNG itself."""
    return f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
