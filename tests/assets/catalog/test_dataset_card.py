"""TalkPlay's Table 1 as Markdown."""

import polars as pl

from assets.catalog.dataset_card import dataset_markdown
from assets.catalog.tables import DATASET_TABLE

ROWS = {
    "split": ["train", "test"],
    "playlists": [1200, 30],
    "mean_tracks": [63.728, None],
    "warm_tracks": [5000, 40],
    "cold_tracks": [0, 3],
    "vocabulary": [900, 25],
    "sparsity": [0.987654321, None],
}


def lines(table: pl.DataFrame) -> list[list[str]]:
    """The cells of each line."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in dataset_markdown(table).splitlines()]


def table(rows: dict[str, list[object]]) -> pl.DataFrame:
    """Rows of catalog/dataset_table, checked."""
    return DATASET_TABLE.checked(pl.DataFrame(rows, schema=DATASET_TABLE.empty().schema))


def test_this_corpus_stands_beside_the_papers_figures() -> None:
    """One line a figure: this corpus's train and test, then the paper's; what is null is a dash."""
    assert lines(table(ROWS))[2:] == [
        ["playlists", "1,200", "30", "999,000", "1,000"],
        ["mean track list", "63.73", "-", "63.73", "59.41"],
        ["warm tracks", "5,000", "40", "1,714,772", "37,114"],
        ["cold tracks", "0", "3", "-", "2,357"],
        ["vocabulary of names", "900", "25", "24,129", "713"],
        ["sparsity", "0.98765", "-", "0.99996", "0.99850"],
    ]


def test_it_is_a_table_that_markdown_shows() -> None:
    """A heading, a rule of as many cells, and as many cells in every line."""
    cells = lines(table(ROWS))
    assert cells[0] == ["", "train", "test", "paper: train", "paper: test"]
    assert set(cells[1]) == {"---", "---:"}
    assert {len(line) for line in cells} == {5}


def test_the_order_of_rows_changes_nothing() -> None:
    """A side is found by its name, not by its place."""
    assert dataset_markdown(table(ROWS)) == dataset_markdown(table(ROWS).reverse())


def test_an_empty_corpus_has_dashes() -> None:
    """Without rows the paper's figures stand alone."""
    assert [line[1:3] for line in lines(DATASET_TABLE.empty())[2:]] == [["-", "-"]] * 6
