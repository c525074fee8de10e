"""The texts of tracks and chats."""

import polars as pl

from assets.evaluation.turn_cases import NO_TRACK, ChatTurn, Prompt
from assets.evaluation.turn_texts import chat_texts, documents, last_queries

CATALOG = pl.DataFrame(
    [
        ("Copper Ship", "The Pelthows", "Pier", ["folk", "sea"], 1998),
        ("Tin Boat", "", None, None, None),
        (" ", "The Pelthows", " ", [], 2001),
    ],
    schema={
        "title": pl.String,
        "artist": pl.String,
        "album": pl.String,
        "tags": pl.List(pl.String),
        "release_year": pl.Int32,
    },
    orient="row",
)
PROMPT = Prompt((ChatTurn("Folk, please", 0, "Have this."), ChatTurn("More", NO_TRACK, "")), "Now boats")


def test_a_document_is_the_papers_template() -> None:
    """Missing, empty and blank parts are left out with the word before them."""
    assert documents(CATALOG) == [
        "Copper Ship by The Pelthows from Pier folk, sea 1998",
        "Tin Boat",
        "by The Pelthows 2001",
    ]


def test_a_chat_is_all_that_was_said_newest_first() -> None:
    """Queries, titles, responses; a turn without a track or a response says less."""
    texts = chat_texts([PROMPT, Prompt((), "Hello")], CATALOG["title"].to_list())
    assert texts == ["Now boats\nMore\nFolk, please\nCopper Ship\nHave this.", "Hello"]


def test_the_last_query_stands_alone() -> None:
    """Nothing of the turns before it."""
    assert last_queries([PROMPT, Prompt((), "Hello")]) == ["Now boats", "Hello"]
