"""Tables of figures as a person reads them: Markdown for the UI, aligned text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

LEGEND = "95 % intervals, (the paper's figures, on its own data)"

Row = Mapping[str, float | None]  # of an evaluation table


class Line(NamedTuple):
    """A line of the table; a heading has no cells."""

    name: str
    cells: Sequence[str] = ()


def figure(value: float | None, *, sign: str = "") -> str:
    """Three decimals without the leading 0, as the papers write them."""
    return f"{value or 0.0:{sign}.3f}".replace("0.", ".", 1)


def with_interval(value: float | None, low: float | None, high: float | None, *, sign: str = "") -> str:
    """A figure and where its interval begins and ends."""
    return f"{figure(value, sign=sign)} [{figure(low, sign=sign)}, {figure(high, sign=sign)}]"


def cell(row: Row | None) -> str:
    """The value with its interval, the paper's figure in brackets after them; a dash for no row."""
    if row is None:
        return "-"
    published = "" if row["published"] is None else f" ({figure(row['published'])})"
    return with_interval(row["value"], row["low"], row["high"]) + published


def markdown(corner: str, heads: Sequence[str], lines: Sequence[Line]) -> str:
    """A Markdown table; headings are in italics."""
    shown = [f"| {' | '.join([corner, *heads])} |", "| --- |" + " ---: |" * len(heads)]
    for name, cells in lines:
        shown.append(f"| {name} | {' | '.join(cells)} |" if cells else f"| *{name}* |" + " |" * len(heads))
    return "\n".join(shown)


def aligned(lines: Sequence[Line]) -> str:
    """Text whose columns begin below each other; lines below the first are indented, but for headings."""
    name_width = max(len(line.name) for line in lines if line.cells) + 4
    width = max(len(text) for line in lines for text in line.cells) + 2
    shown = []
    for number, (name, cells) in enumerate(lines):
        indented = name if number == 0 or not cells else f"  {name}"
        shown.append((f"{indented:<{name_width}}" + "".join(f"{text:<{width}}" for text in cells)).rstrip())
    return "\n".join(shown)
