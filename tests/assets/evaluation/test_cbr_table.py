"""The table as a person reads it."""

import polars as pl

from assets.evaluation.cbr import SYSTEMS
from assets.evaluation.cbr_plot import plot_cbr
from assets.evaluation.cbr_table import cbr_markdown, cbr_text, without_markdown
from assets.evaluation.published import HITS
from assets.evaluation.tables import CBR

KS = (5, 10)
VALUES = {"m3token": 0.4, "kmeans": 0.3, "vqvae": 0.25, "m3token_tc": 0.2, "m3token_without_tc": 0.36}


def table(*protocols: str) -> pl.DataFrame:
    """Every system on these protocols, .1 where no value is given, .05 more at 10; intervals of .01 on each side."""
    rows = []
    for system in SYSTEMS:
        for protocol in protocols:
            for k in KS:
                value = VALUES.get(system, 0.1) + (0.05 if k == 10 else 0)
                behind = VALUES["m3token"] - VALUES.get(system, 0.1)
                figures = [value, value - 0.01, value + 0.01, behind, behind - 0.02, behind + 0.02]
                rows.append((system, protocol, "hit", k, *figures, 1234, HITS.get((system, protocol, k))))
    return CBR.checked(pl.DataFrame(rows, schema=CBR.empty().schema, orient="row"))


def cells(markdown: str, name: str) -> list[str]:
    """The cells of one line."""
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_the_columns_are_the_papers() -> None:
    """Each k, on playlists and on pairs."""
    assert cells(cbr_markdown(table("cp", "co")), "Method") == ["k=5 CP", "k=5 CO", "k=10 CP", "k=10 CO"]


def test_a_cell_is_value_interval_and_the_papers_figure() -> None:
    """No figure of the paper, no brackets; no row, a dash."""
    markdown = cbr_markdown(table("cp"))
    assert cells(markdown, "K-means") == [".300 [.290, .310] (.225)", "-", ".350 [.340, .360] (.293)", "-"]
    assert cells(markdown, "chance")[0] == ".100 [.090, .110]"


def test_the_last_lines_compare_with_the_best_of_the_others() -> None:
    """.4 against .3 is a third more; .45 against the .25 of TC is 80 % more; in brackets what the paper states."""
    markdown = cbr_markdown(table("cp"))
    assert cells(markdown, "vs. K-means, VQ-VAE")[0] == "+33% (+27%)"
    assert cells(markdown, "vs. one modality")[2] == "+80% (+133%)"


def test_what_is_left_out_shows_its_change() -> None:
    """.36 instead of .4 is -.04, with the paired interval turned round; the mean is over the nine modalities."""
    markdown = without_markdown(table("cp"))
    assert cells(markdown, "without TC")[0] == "-.040 [-.060, -.020]"
    mean = (-0.04 + 8 * -0.3) / 9 / 0.4
    assert cells(markdown, "mean change")[0] == f"{mean:+.1%} (-3.3%)"


def test_markdown_starts_as_a_table() -> None:
    """A note that starts with a bar is shown as Markdown; every line has the same number of bars."""
    for markdown in (cbr_markdown(table("cp", "co")), without_markdown(table("co")), cbr_markdown(CBR.empty())):
        assert markdown.startswith("|")
        assert len({line.count("|") for line in markdown.splitlines()}) == 1


def test_text_is_aligned() -> None:
    """A block a protocol; the columns of all lines begin where their heads do."""
    text = cbr_text(table("cp", "co"))
    first, second = text.split("\n\n")
    assert first.startswith("CBR on test playlists (CP): 1,234 cases")
    assert second.startswith("CBR on pairs of test sessions (CO): 1,234 cases")
    head, kmeans = (next(line for line in first.splitlines() if start in line) for start in ("Hit@k", "K-means "))
    assert head.index("k=10") == kmeans.index(".350 [")
    assert "  TC " in first
    assert "without TC" in first


def test_a_protocol_without_cases_says_so() -> None:
    """No log, no pairs."""
    assert cbr_text(table("cp")).endswith("CBR on pairs of test sessions (CO): no cases in this lake")


def test_the_plot_is_a_picture_and_the_same_each_time() -> None:
    """A PNG, of empty rows too."""
    rows = table("cp")
    assert plot_cbr(rows)[:4] == plot_cbr(CBR.empty())[:4] == b"\x89PNG"
    assert plot_cbr(rows) == plot_cbr(rows)
