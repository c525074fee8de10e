"""TalkPlay's Table 2 and Figure 3 as a person reads them: our figures with intervals, the paper's own in brackets.

As Markdown for the UI, and as aligned text for a terminal. Models that were trained otherwise have parts of their own.
"""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from assets.evaluation.published import TURN_KS, TURNS
from assets.evaluation.table_text import LEGEND, Line, Row, aligned, cell, figure, markdown, with_interval
from assets.evaluation.talkplay import OURS, TURN
from resources.talkplay_settings import SEED

CHATS = {"turns": "test conversations", "human": "conversations of people (CPCD)"}
PROTOCOLS = {**CHATS, "queries": "lone queries"}
PARTS = {"all": "all tracks", "warm": "warm tracks", "cold": "cold tracks"}
SYSTEMS = {
    OURS: "TalkPlay, constrained",
    "talkplay_sampled": "TalkPlay, sampled",
    "bm25": "BM25",
    "bm25_last": "BM25, last query",
    "dense": "dense text",
    "dense_last": "dense text, last query",
    "clap": "CLAP",
    "id_only": "playlist vectors",
    "popularity": "popularity",
    "chance": "chance",
}
BEHIND = "MRR behind constrained"

Metric = tuple[str, int]  # and its k
Rows = Mapping[tuple[str, str, str, int], Row]  # of a protocol, by system, part, metric and k


def talkplay_markdown(table: pl.DataFrame) -> str:
    """Rows of `evaluation/talkplay` as a Markdown table with the paper's columns, a part for each kind of track."""
    metrics = _metrics(table)
    lines = []
    for protocol, title in PROTOCOLS.items():
        of_protocol = _metric_lines(table, protocol, metrics)
        lines += [Line(f"TalkPlay on {title}"), *of_protocol] if of_protocol else []
    return markdown("Method", _heads(metrics), lines)


def by_turn_markdown(table: pl.DataFrame) -> str:
    """MRR by turn of a chat with intervals, as a Markdown table."""
    turns = _turns(table)
    lines = []
    for protocol, title in CHATS.items():
        of_protocol = _turn_lines(table, protocol, turns, cell)
        lines += [Line(f"TalkPlay on {title}"), *of_protocol] if of_protocol else []
    return markdown("MRR by turn", _numbers(turns), lines)


def talkplay_text(table: pl.DataFrame) -> str:
    """Rows of `evaluation/talkplay` as aligned text, a block a protocol, and below those of chats MRR by turn."""
    metrics = _metrics(table)
    blocks = []
    for protocol, title in PROTOCOLS.items():
        of_protocol = table.filter(pl.col("protocol") == protocol)
        lines = _metric_lines(of_protocol, protocol, metrics)
        if not lines:
            blocks.append(f"TalkPlay on {title}: no cases in this lake")
            continue
        blocks.append(f"TalkPlay on {title}: {LEGEND}\n" + aligned([Line("", _heads(metrics)), *lines]))
        turns = _turns(of_protocol)
        by_turn = _turn_lines(of_protocol, protocol, turns, _value) if protocol in CHATS else []
        blocks += [aligned([Line("MRR by turn", _numbers(turns)), *by_turn])] if by_turn else []
    return "\n\n".join(blocks)


def _metrics(table: pl.DataFrame) -> list[Metric]:
    ks = table.filter(pl.col("metric") == "hit")["k"].unique().sort().to_list() or TURN_KS
    return [("mrr", 0), *(("hit", k) for k in ks), ("exact", 0)]


def _heads(metrics: Sequence[Metric]) -> list[str]:
    return [*({"mrr": "MRR", "hit": f"Hit@{k}", "exact": "exact"}[metric] for metric, k in metrics), BEHIND]


def _turns(table: pl.DataFrame) -> list[str]:
    return table.filter(pl.col("part").str.starts_with(TURN))["part"].unique().sort().to_list()


def _numbers(turns: Sequence[str]) -> list[str]:
    return [str(int(turn.removeprefix(TURN))) for turn in turns]


def _metric_lines(table: pl.DataFrame, protocol: str, metrics: Sequence[Metric]) -> list[Line]:
    rows = _by_place(table, protocol)
    cases = _cases(rows)
    found = {(system, part) for system, part, _, _ in rows}
    lines = []
    for kind, systems in (("On", SYSTEMS), ("Other trainings on", _other_trainings(table))):
        for part, tracks in PARTS.items():
            if not any((system, part) in found for system in systems):
                continue
            published = TURNS if (protocol, part) == ("turns", "all") else {}
            lines.append(Line(f"{kind} {tracks}: {cases[part]} turns"))
            lines += [
                Line(name, _figures(rows, system, part, metrics, published))
                for system, name in systems.items()
                if (system, part) in found or (system, *metrics[0]) in published
            ]
    return lines


def _by_place(table: pl.DataFrame, protocol: str) -> Rows:
    rows = table.filter(pl.col("protocol") == protocol).iter_rows(named=True)
    return {(row["system"], row["part"], row["metric"], row["k"]): row for row in rows}


def _cases(rows: Rows) -> dict[str, str]:
    return {part: f"{row['cases']:,}" for (_, part, _, _), row in rows.items()}


def _other_trainings(table: pl.DataFrame) -> dict[str, str]:
    """Names of the models but the full one: `without lyrics`, `full, seed 8`."""
    others = table.filter(~pl.col("system").is_in(list(SYSTEMS)))["system"].unique().sort()
    return {name: name.removeprefix("talkplay_").replace(SEED, ", seed ").replace("_", " ") for name in others}


def _figures(
    rows: Rows, system: str, part: str, metrics: Sequence[Metric], published: Mapping[tuple[str, str, int], float]
) -> list[str]:
    """The metrics of one system, the paper's alone where we have none; last how far it is behind."""
    cells = []
    for metric, k in metrics:
        row, of_paper = rows.get((system, part, metric, k)), published.get((system, metric, k))
        cells.append(cell(row) if row or of_paper is None else f"- ({figure(of_paper)})")
    row = rows.get((system, part, "mrr", 0))
    if system == OURS or row is None or row["behind"] is None:
        return [*cells, "-"]
    return [*cells, with_interval(row["behind"], row["behind_low"], row["behind_high"], sign="+")]


def _turn_lines(
    table: pl.DataFrame, protocol: str, turns: Sequence[str], shown: Callable[[Row | None], str]
) -> list[Line]:
    rows = _by_place(table, protocol)
    lines = []
    for system, name in SYSTEMS.items():
        of_turns = [rows.get((system, turn, "mrr", 0)) for turn in turns]
        lines += [Line(name, [shown(row) for row in of_turns])] if any(of_turns) else []
    cases = _cases(rows)
    return [Line("turns", [cases.get(turn, "-") for turn in turns]), *lines] if lines else []


def _value(row: Row | None) -> str:
    return figure(row["value"]) if row else "-"
