"""3MToken's Table 1 as a person reads it: our figures with 95 % intervals, the paper's own in brackets after them.

As Markdown for the UI, and as aligned text for a terminal; with what each modality adds (the paper's Figure 2b).
"""

from collections.abc import Mapping, Sequence

import polars as pl

from assets.evaluation.published import GAIN_MULTIMODAL, GAIN_UNIMODAL, KS, WITHOUT_ONE
from assets.evaluation.table_text import LEGEND, Line, Row, aligned, cell, markdown, with_interval
from resources.m3_settings import M3_MODALITIES

PROTOCOLS = {"cp": "CP", "co": "CO"}
TITLES = {"cp": "test playlists (CP)", "co": "pairs of test sessions (CO)"}
MULTIMODAL = {
    "m3token": "3MToken",
    "kmeans": "K-means",
    "vqvae": "VQ-VAE",
    "m3token_counted": "3MToken, levels counted",
}
UNIMODAL = {f"m3token_{name}": name.upper() for name in ("tc", "st", "sc", "ac", "sf", "ab", "bm", "mc", "ri")}
BOUNDS = {"embeddings": "embeddings", "popularity": "popularity", "chance": "chance"}
PARTS = {"Multimodal": MULTIMODAL, "One modality": UNIMODAL, "No tokens": BOUNDS}
WITHOUT = {f"m3token_without_{name}": f"without {name.upper()}" for name in M3_MODALITIES}

Column = tuple[str, int]  # protocol and k
Rows = Mapping[tuple[str, str, int], Row]

_PUBLISHED = [(protocol, k) for k in KS for protocol in PROTOCOLS]
GAINS = {  # over the best of these systems; the paper's by column
    "vs. K-means, VQ-VAE": (("kmeans", "vqvae"), dict(zip(_PUBLISHED, GAIN_MULTIMODAL, strict=True))),
    "vs. one modality": (tuple(UNIMODAL), dict(zip(_PUBLISHED, GAIN_UNIMODAL, strict=True))),
}


def cbr_markdown(table: pl.DataFrame) -> str:
    """Rows of `evaluation/cbr` as a Markdown table with the paper's columns: each k on playlists and on pairs."""
    columns = _columns(table, PROTOCOLS)
    return markdown("Method", _heads(columns), _hit_lines(_by_place(table), columns))


def without_markdown(table: pl.DataFrame) -> str:
    """What leaving one modality out changes, as a Markdown table with the same columns."""
    columns = _columns(table, PROTOCOLS)
    return markdown("3MToken", _heads(columns), _without_lines(_by_place(table), columns))


def cbr_text(table: pl.DataFrame) -> str:
    """Rows of `evaluation/cbr` as aligned text, a block a protocol."""
    rows = _by_place(table)
    blocks = []
    for protocol, title in TITLES.items():
        cases = table.filter(pl.col("protocol") == protocol)["cases"]
        if cases.is_empty():
            blocks.append(f"CBR on {title}: no cases in this lake")
            continue
        columns = _columns(table, [protocol])
        lines = [Line("Hit@k", [f"k={k}" for _, k in columns]), *_hit_lines(rows, columns)]
        lines += [Line("Change of Hit@k, one left out"), *_without_lines(rows, columns)]
        blocks.append(f"CBR on {title}: {cases[0]:,} cases; {LEGEND}\n" + aligned(lines))
    return "\n\n".join(blocks)


def _columns(table: pl.DataFrame, protocols: Sequence[str] | Mapping[str, str]) -> list[Column]:
    ks = table["k"].unique().sort().to_list() or KS
    return [(protocol, k) for k in ks for protocol in protocols]


def _heads(columns: Sequence[Column]) -> list[str]:
    return [f"k={k} {PROTOCOLS[protocol]}" for protocol, k in columns]


def _by_place(table: pl.DataFrame) -> Rows:
    rows = table.filter(pl.col("metric") == "hit").iter_rows(named=True)
    return {(row["system"], row["protocol"], row["k"]): row for row in rows}


def _hit_lines(rows: Rows, columns: Sequence[Column]) -> list[Line]:
    lines = []
    for part, systems in PARTS.items():
        lines.append(Line(part))
        lines += [
            Line(name, [cell(rows.get((system, *column))) for column in columns]) for system, name in systems.items()
        ]
    lines.append(Line("3MToken"))
    lines += [Line(name, [_gain(rows, name, column) for column in columns]) for name in GAINS]
    return lines


def _without_lines(rows: Rows, columns: Sequence[Column]) -> list[Line]:
    lines = [
        Line(name, [_change(rows.get((system, *column))) for column in columns]) for system, name in WITHOUT.items()
    ]
    ours = [rows.get(("m3token", *column)) for column in columns]
    without = [[rows.get((system, *column)) for system in WITHOUT] for column in columns]
    means = [_mean_change(own, others) for own, others in zip(ours, without, strict=True)]
    return [*lines, Line("mean change", [f"{mean} ({WITHOUT_ONE:+.1%})" for mean in means])]


def _change(row: Row | None) -> str:
    if row is None:
        return "-"
    change, low, high = (-(row[name] or 0.0) for name in ("behind", "behind_high", "behind_low"))
    return with_interval(change, low, high, sign="+")


def _gain(rows: Rows, name: str, column: Column) -> str:
    systems, published = GAINS[name]
    ours = (rows.get(("m3token", *column)) or {}).get("value")
    best = max((rows[system, *column]["value"] or 0.0 for system in systems if (system, *column) in rows), default=0.0)
    gain = f"{ours / best - 1:+.0%}" if ours is not None and best else "-"
    return f"{gain} ({published[column]:+.0%})" if column in published else gain


def _mean_change(ours: Row | None, others: Sequence[Row | None]) -> str:
    if not ours or not ours["value"]:
        return "-"
    changes = [-(row["behind"] or 0.0) / ours["value"] for row in others if row]
    return f"{sum(changes) / len(changes):+.1%}" if changes else "-"
