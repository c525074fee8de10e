"""Cases from conversations between people."""

import json
from pathlib import Path

import polars as pl
import pytest

from assets.evaluation.turn_cases import ChatTurn, Prompt, TurnCases
from assets.evaluation.turn_humans import human_cases, published_tracks

CPCD = Path(__file__).parents[4] / "shared" / "data" / "cpcd"
CATALOG = pl.DataFrame({"track_id": ["z", "warm1", "warm2", "cold1", "cold2"], "is_warm": [True] * 3 + [False] * 2})
PUBLISHED = pl.DataFrame(
    {"published_id": ["w1", "w2", "c1", "c2", "gone"], "track_uri": ["warm1", "warm2", "cold1", "cold2", "elsewhere"]}
)


def turns(*said: tuple[str, int, list[str], list[str]]) -> pl.DataFrame:
    """Turns of people: conversation, turn, liked, disliked."""
    rows = [(cid, turn, f"query {turn}", f"response {turn}", *tracks) for cid, turn, *tracks in said]
    text = pl.List(pl.String)
    schema = {"conversation_id": pl.String, "turn": pl.Int32, "query": pl.String, "response": pl.String}
    return pl.DataFrame(rows, schema={**schema, "liked": text, "disliked": text}, orient="row")


def lists(cases: TurnCases) -> list[tuple]:
    """Targets, seen, turn, group and warmth of each case."""
    rows = [[numbers.tolist() for numbers in column] for column in (cases.targets, cases.seen)]
    return list(zip(*rows, *(column.tolist() for column in cases[3:]), strict=True))


def test_liked_tracks_are_targets() -> None:
    """Of a turn, whatever their order; tracks of earlier turns, disliked ones too, are no candidates."""
    said = turns(("x", 0, ["w2", "w1"], ["c2"]), ("x", 1, ["c1"], ["gone"]))
    assert lists(human_cases(said, PUBLISHED, CATALOG, leaked=[]).cases) == [
        ([1, 2], [], 1, 0, True),
        ([3], [1, 2, 4], 2, 0, False),
    ]


def test_warm_and_cold_targets_are_two_cases() -> None:
    """The targets of one are no candidates of the other."""
    assert lists(human_cases(turns(("x", 0, ["c1", "w1"], [])), PUBLISHED, CATALOG, leaked=[]).cases) == [
        ([1], [3], 1, 0, True),
        ([3], [1], 1, 0, False),
    ]


def test_a_turn_without_a_target_is_counted_and_said() -> None:
    """Nothing was liked, or nothing that the catalog has; the chat of the turns after it keeps its words."""
    said = turns(("x", 0, [], ["w1"]), ("x", 1, ["gone"], []), ("x", 2, ["gone", "c1", "w2"], []), ("x", 3, ["c2"], []))
    human = human_cases(said, PUBLISHED, CATALOG, leaked=[])
    assert human.left_out == {"nothing_liked": 1, "not_in_catalog": 1, "in_training": 0}
    assert human.cases.prompts[-1] == Prompt(
        (
            ChatTurn("query 0", -1, "response 0"),
            ChatTurn("query 1", -1, "response 1"),
            ChatTurn("query 2", 3, "response 2"),
        ),
        "query 3",
    )


def test_a_track_that_was_shown_before_is_no_target() -> None:
    """It could not be recommended."""
    human = human_cases(turns(("x", 0, ["w1"], []), ("x", 1, ["w1"], [])), PUBLISHED, CATALOG, leaked=[])
    assert lists(human.cases) == [([1], [], 1, 0, True)]
    assert human.left_out["not_in_catalog"] == 1


def test_leaked_conversations_are_left_out() -> None:
    """Their turns that would be cases are counted, one that would be two as one."""
    said = turns(("y", 0, ["w1"], []), ("x", 0, ["w1", "c1"], []), ("x", 1, [], []))
    human = human_cases(said, PUBLISHED, CATALOG, leaked=["x"])
    assert lists(human.cases) == [([1], [], 1, 1, True)]
    assert human.left_out == {"nothing_liked": 1, "not_in_catalog": 0, "in_training": 1}


def test_the_order_of_rows_changes_nothing() -> None:
    """Of turns and of published tracks."""
    said = turns(*((cid, turn, [track], []) for cid in "ab" for turn, track in enumerate(("w1", "c1", "w2"))))
    shuffled = human_cases(said.reverse(), PUBLISHED.reverse(), CATALOG, leaked=[]).cases
    assert lists(shuffled) == lists(human_cases(said, PUBLISHED, CATALOG, leaked=[]).cases)


def test_no_conversations_give_no_cases() -> None:
    """As where the data are absent."""
    human = human_cases(turns(), PUBLISHED.clear(), CATALOG, leaked=[])
    assert [len(column) for column in human.cases] == [0] * 6


def test_lines_that_are_no_tracks_are_refused(tmp_path: Path) -> None:
    """With their numbers; the first line of an id counts; other fields are passed over."""
    good = {"track_id": "a", "track_uri": "spotify:track:1", "title": "Copper Ship"}
    lines = [
        json.dumps(good),
        "",
        "{",
        json.dumps({"track_id": "b"}),
        json.dumps(good | {"track_uri": 7}),
        json.dumps(good | {"track_uri": "spotify:track:2"}),
    ]
    path = tmp_path / "tracks.jsonl"
    path.write_bytes("\n".join(lines).encode() + b"\n\xff")
    published = published_tracks(path)
    assert published.tracks.rows() == [("a", "spotify:track:1")]
    assert published.refused.select("location", "reason").rows() == [
        ("line 3", "broken_json"),
        ("line 4", "bad_field"),
        ("line 5", "bad_field"),
        ("line 6", "duplicate"),
        ("line 7", "broken_json"),
    ]


def test_an_absent_file_has_no_tracks(tmp_path: Path) -> None:
    """No rows, nothing refused."""
    published = published_tracks(tmp_path / "tracks.jsonl")
    assert (published.tracks.height, published.refused.height) == (0, 0)


@pytest.mark.skipif(not CPCD.is_dir(), reason=f"{CPCD.name} is not in the folder of shared data")
def test_the_published_tracks_are_all_read() -> None:
    """8,371 of them, as their description says."""
    published = published_tracks(CPCD / "tracks.jsonl")
    assert (published.tracks.height, published.refused.height) == (8371, 0)
