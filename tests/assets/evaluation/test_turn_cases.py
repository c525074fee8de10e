"""The cases of TalkPlay's turns."""

import polars as pl
import pytest

from assets.evaluation.turn_cases import ChatTurn, Prompt, TurnCases
from assets.evaluation.turn_cases import test_cases as cases_of

CATALOG = pl.DataFrame({"track_id": ["d", "a", "c", "b"], "is_warm": [True, True, False, True]})
TURNS = pl.DataFrame(
    [
        ("2/0", 0, 2, "calm", "a", "Here is A.", "test"),
        ("2/0", 1, 2, "loud", "b", "Here is B.", "test"),
        ("2/0", 2, 2, "odd", "c", "Here is C.", "test"),
        ("10/0", 0, 10, "calm", "b", "B again.", "test"),
        ("10/1", 0, 10, "calm", "d", "D.", "test"),
        ("3/0", 0, 3, "calm", "a", "A.", "train"),
    ],
    schema=["conversation_id", "turn", "playlist_id", "query", "track_id", "response", "split"],
    orient="row",
)


def lists(cases: TurnCases) -> list[tuple]:
    """Everything of each case, as plain values."""
    columns = [
        cases.prompts,
        [rows.tolist() for rows in cases.targets],
        [rows.tolist() for rows in cases.seen],
        *(numbers.tolist() for numbers in (cases.turn_C, cases.group_C, cases.is_warm_C)),
    ]
    return list(zip(*columns, strict=True))


def test_each_test_turn_is_a_case() -> None:
    """The chat before it, its query, its track's row; by playlist, conversation and turn; training turns are none."""
    first, second = ChatTurn("calm", 1, "Here is A."), ChatTurn("loud", 3, "Here is B.")
    assert lists(cases_of(TURNS, CATALOG)) == [
        (Prompt((), "calm"), [1], [], 1, 0, True),
        (Prompt((first,), "loud"), [3], [1], 2, 0, True),
        (Prompt((first, second), "odd"), [2], [1, 3], 3, 0, False),
        (Prompt((), "calm"), [3], [], 1, 1, True),
        (Prompt((), "calm"), [0], [], 1, 1, True),
    ]


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled turns give the same cases."""
    assert lists(cases_of(TURNS.sample(fraction=1, shuffle=True, seed=3), CATALOG)) == lists(cases_of(TURNS, CATALOG))


def test_a_track_that_comes_again_stays_a_candidate() -> None:
    """The target of a turn is never among the tracks that the chat has shown."""
    again = TURNS.filter(conversation_id="2/0").with_columns(track_id=pl.Series(["a", "b", "a"]))
    assert [rows.tolist() for rows in cases_of(again, CATALOG).seen] == [[], [1], [3]]


def test_an_unknown_track_is_an_error() -> None:
    """It names the first and what to do."""
    with pytest.raises(ValueError, match="2 test turns recommend tracks that are not in the catalog, b first"):
        cases_of(TURNS, CATALOG.filter(pl.col("track_id") != "b"))


def test_no_test_turns_give_no_cases() -> None:
    """Every column is empty."""
    assert [len(column) for column in cases_of(TURNS.filter(split="train"), CATALOG)] == [0] * 6


def test_a_part_keeps_its_cases() -> None:
    """The cases of a slice are those of the whole."""
    cases = cases_of(TURNS, CATALOG)
    assert lists(cases.part(slice(1, 3))) == lists(cases)[1:3]
