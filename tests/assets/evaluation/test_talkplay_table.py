"""TalkPlay's table as a person reads it."""

import polars as pl

from assets.evaluation.published import TURNS
from assets.evaluation.tables import TALKPLAY
from assets.evaluation.talkplay_plot import plot_by_turn
from assets.evaluation.talkplay_table import by_turn_markdown, talkplay_markdown, talkplay_text

METRICS = [("mrr", 0), ("hit", 1), ("hit", 10)]
CASES = {"all": 1200, "warm": 1000, "cold": 200, "turn_01": 700, "turn_02": 500}
VALUES = {
    "talkplay_constrained": 0.4,
    "talkplay_sampled": 0.3,
    "bm25": 0.2,
    "popularity": 0.1,
    "talkplay_without_lyrics": 0.35,
    "talkplay_full-seed8": 0.38,
}


def table(*protocols: str) -> pl.DataFrame:
    """Some systems on these protocols, .05 less in turn 2; intervals of .01 on each side, of .02 for differences."""
    rows = []
    for system, first in VALUES.items():
        for protocol in protocols:
            for part, cases in CASES.items():
                value = first - (0.05 if part == "turn_02" else 0)
                behind = VALUES["talkplay_constrained"] - first
                figures = [value, value - 0.01, value + 0.01, behind, behind - 0.02, behind + 0.02, cases]
                of_paper = TURNS if (protocol, part) == ("turns", "all") else {}
                rows += [(system, protocol, part, *m, *figures, of_paper.get((system, *m))) for m in METRICS]
    rows.append(("talkplay_sampled", "turns", "all", "exact", 0, 0.5, 0.49, 0.51, None, None, None, 1200, 0.497))
    kept = [row for row in rows if row[1] in protocols]
    return TALKPLAY.checked(pl.DataFrame(kept, schema=TALKPLAY.empty().schema, orient="row"))


def lines_of(markdown: str, name: str) -> list[list[str]]:
    """The cells of every line of this name."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    return [cells for head, *cells in lines if head == name]


def headings(markdown: str) -> list[str]:
    """The lines in italics."""
    return [line.split("*")[1] for line in markdown.splitlines() if "*" in line]


def test_the_columns_are_the_papers() -> None:
    """MRR and each k of the table, the share of exact matches, and how far behind constrained decoding."""
    heads = lines_of(talkplay_markdown(table("turns")), "Method")
    assert heads == [["MRR", "Hit@1", "Hit@10", "exact", "MRR behind constrained"]]


def test_a_cell_is_value_interval_and_the_papers_figure() -> None:
    """No figure of the paper, no brackets: so for warm and cold tracks, which it does not tell apart."""
    everything, warm, cold = lines_of(talkplay_markdown(table("turns")), "TalkPlay, sampled")
    assert everything[0] == ".300 [.290, .310] (.023)"
    assert everything[3] == ".500 [.490, .510] (.497)"
    assert warm == cold == [*[".300 [.290, .310]"] * 3, "-", "+.100 [+.080, +.120]"]


def test_our_own_line_is_not_behind_itself() -> None:
    """The others are compared with constrained decoding."""
    assert {cells[-1] for cells in lines_of(talkplay_markdown(table("turns")), "TalkPlay, constrained")} == {"-"}


def test_the_papers_systems_are_shown_even_where_we_have_none() -> None:
    """CLAP needs audio; the paper's figures stand alone, and only once."""
    assert lines_of(talkplay_markdown(table("turns", "human")), "CLAP") == [
        ["- (.000)", "- (.000)", "- (.000)", "-", "-"]
    ]
    assert not lines_of(talkplay_markdown(table("turns")), "playlist vectors")


def test_other_trainings_have_parts_of_their_own() -> None:
    """Below all systems, for each kind of track, with how much the full model is ahead."""
    markdown = talkplay_markdown(table("turns"))
    assert headings(markdown) == [
        "TalkPlay on test conversations",
        *("On all tracks: 1,200 turns", "On warm tracks: 1,000 turns", "On cold tracks: 200 turns"),
        *(f"Other trainings on {kind}" for kind in ("all tracks: 1,200 turns", "warm tracks: 1,000 turns")),
        "Other trainings on cold tracks: 200 turns",
    ]
    own_part = markdown[markdown.index("Other trainings on all") :]
    assert "popularity" not in own_part
    assert lines_of(own_part, "without lyrics")[0][-1] == "+.050 [+.030, +.070]"
    assert lines_of(own_part, "full, seed 8")[0][0] == ".380 [.370, .390]"


def test_turns_are_columns() -> None:
    """By number, with the turns that each counts."""
    markdown = by_turn_markdown(table("turns", "human"))
    assert lines_of(markdown, "MRR by turn") == [["1", "2"]]
    assert lines_of(markdown, "turns") == [["700", "500"]] * 2
    assert lines_of(markdown, "BM25") == [[".200 [.190, .210]", ".150 [.140, .160]"]] * 2
    assert headings(markdown) == ["TalkPlay on test conversations", "TalkPlay on conversations of people (CPCD)"]


def test_markdown_starts_as_a_table() -> None:
    """A note that starts with a bar is shown as Markdown; every line has the same number of bars."""
    for rows in (table("turns", "human"), table("human"), TALKPLAY.empty()):
        for markdown in (talkplay_markdown(rows), by_turn_markdown(rows)):
            assert markdown.startswith("|")
            assert len({line.count("|") for line in markdown.splitlines()}) == 1


def test_text_is_aligned() -> None:
    """A block a protocol, and one by turn a chat; the columns of all lines begin where their heads do."""
    figures, by_turn, *others = talkplay_text(table("turns", "human")).split("\n\n")
    assert figures.startswith("TalkPlay on test conversations: 95 % intervals")
    _, heads, _, ours, *_ = figures.splitlines()
    assert heads.index("Hit@1") == ours.index(".400", ours.index("]"))
    heads, turns, ours, *_ = by_turn.splitlines()
    assert heads.index("2") == turns.index("500") == ours.index(".350")
    assert [block.split("\n")[0].split(":")[0].split("  ")[0] for block in others] == [
        "TalkPlay on conversations of people (CPCD)",
        "MRR by turn",
        "TalkPlay on lone queries",
    ]


def test_a_protocol_without_cases_says_so() -> None:
    """No conversations of people among the published data."""
    text = talkplay_text(table("turns", "queries"))
    assert "TalkPlay on conversations of people (CPCD): no cases in this lake\n" in text
    assert talkplay_text(TALKPLAY.empty()).count("no cases in this lake") == 3


def test_lone_queries_have_figures_and_no_turns() -> None:
    """A block of their own; each is the first turn of nothing."""
    rows = table("queries")
    text = talkplay_text(rows)
    assert "TalkPlay on lone queries: 95 % intervals" in text
    assert "MRR by turn" not in text
    assert headings(talkplay_markdown(rows))[0] == "TalkPlay on lone queries"
    assert headings(by_turn_markdown(rows)) == []


def test_the_plot_is_a_picture_and_the_same_each_time() -> None:
    """A PNG, of empty rows too."""
    rows = table("turns", "human")
    assert plot_by_turn(rows)[:4] == plot_by_turn(TALKPLAY.empty())[:4] == b"\x89PNG"
    assert plot_by_turn(rows) == plot_by_turn(rows)


def test_the_plot_shows_turns_and_no_other_trainings() -> None:
    """Neither rows of other parts and metrics nor models that were trained otherwise change it."""
    rows = table("turns")
    is_shown = pl.col("part").str.starts_with("turn_") & (pl.col("metric") == "mrr")
    few = rows.filter(is_shown & ~pl.col("system").str.contains("without|seed"))
    assert plot_by_turn(few) == plot_by_turn(rows) != plot_by_turn(few.head(1))
