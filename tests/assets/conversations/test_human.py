import json
from pathlib import Path

import pytest

from assets.conversations.human import REASONS, human_turns
from assets.conversations.rules import TEXT_REASONS
from assets.conversations.tables import HUMAN_TURNS, REFUSED, STATISTICS, TURNS
from sql import select

CPCD = Path(__file__).parents[4] / "shared" / "data" / "cpcd"
TRACKS = [
    {"track_id": "a", "track_uri": "x", "title": "Copper Ship", "artists": ["The Weavers"], "release": "Pier"},
    {"track_id": "b", "track_uri": "y", "title": "Tin Boat", "artists": [], "release": ""},
]


def turn(query, response="How do you like these?", liked=(), disliked=()) -> dict:
    """A turn as published."""
    fields = {"user_query": query, "system_response": response}
    return fields | {"liked_results": list(liked), "disliked_results": list(disliked)}


def written(folder: Path, *lines: str | dict) -> Path:
    """The folder with these lines of conversations, and the tracks."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "conversations.jsonl").write_text("\n".join(texts))
    (folder / "tracks.jsonl").write_text("".join(f"{json.dumps(track)}\n" for track in TRACKS))
    return folder


def test_turns_keep_their_words_and_their_tracks(tmp_path):
    """One row a turn, numbered from 0; fields that are not ours are passed over."""
    lines = {"id": "one", "turns": [turn("Some folk please", liked=["a"]), turn("And more folk")], "goal_playlist": []}
    human = human_turns(written(tmp_path, lines))
    assert HUMAN_TURNS.checked(human.turns).rows() == [
        ("one", 0, "Some folk please", "How do you like these?", ["a"], [], None),
        ("one", 1, "And more folk", "How do you like these?", [], [], None),
    ]
    assert REFUSED.checked(human.refused).is_empty()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (turn("perfect"), "too_short"),
        (turn("Some folk please", response=""), None),
        (turn("Some folk please", response=" "), None),
        (turn("Some folk please", response="Sure"), "too_short"),
        (turn("Some <b>folk</b> please"), "special_token"),
        (turn("Some **folk** please"), "markup"),
        (turn("la la " * 101), "too_long"),
        (turn("Сыграй мне что-нибудь народное"), "wrong_script"),
        (turn("Play me Copper Ship", liked=["a"]), "leaked_title"),
        (turn("Play me Copper Ship", disliked=["a"]), None),
        (turn("Play me Copper Ship", liked=["b", "gone"]), None),
    ],
)
def test_people_are_held_to_our_rules(tmp_path, said, reason):
    """A turn that breaks a rule is kept with it; only titles that were liked count as given away."""
    human = human_turns(written(tmp_path, {"id": "one", "turns": [said]}))
    assert human.turns["broken"].to_list() == [reason]
    assert reason is None or reason in TEXT_REASONS


def test_lines_that_cannot_be_read_are_refused(tmp_path):
    """Broken JSON, missing or wrong fields and repeated ids are counted with their line; the others stay."""
    good = {"id": "one", "turns": [turn("Some folk please")]}
    wrong = {"id": "two", "turns": [turn("Some folk please") | {"liked_results": "a"}]}
    human = human_turns(written(tmp_path, good, "{", "", {"id": "two"}, wrong, good, {"id": "3", "turns": []}))
    assert human.turns["conversation_id"].to_list() == ["one"]
    refused = REFUSED.checked(human.refused)
    assert refused["source"].unique().to_list() == [f"{tmp_path.name}/conversations.jsonl"]
    assert refused.select("location", "reason").rows() == [
        ("line 2", "broken_json"),
        ("line 4", "bad_field"),
        ("line 5", "bad_field"),
        ("line 6", "duplicate"),
        ("line 7", "bad_field"),
    ]
    assert set(refused["reason"]) == set(REASONS)
    assert refused["detail"][2] == "turns.0.liked_results: Input should be a valid array"


def test_no_folder_no_rows(tmp_path):
    """The data are optional."""
    human = human_turns(tmp_path / "cpcd")
    assert HUMAN_TURNS.checked(human.turns).is_empty()
    assert human.refused.is_empty()


@pytest.mark.skipif(not CPCD.is_dir(), reason=f"no {CPCD.name} folder in shared/data")
def test_the_published_conversations_are_read_whole():
    """450 conversations of 2,416 turns, about 5.4 a conversation; most break no rule, and none is unreadable."""
    human = human_turns(CPCD)
    assert human.refused.is_empty()
    table = select(
        "conversations/statistics", {"conversations.turns": TURNS.empty(), "conversations.human_turns": human.turns}
    )
    row = STATISTICS.checked(table).filter(split="human").row(0, named=True)
    assert (row["conversations"], human.turns.height, row["tracks"]) == (450, 2416, 8371)
    assert row["mean_turns"] == 2416 / 450
    assert 8 < row["mean_response_words"] < row["mean_query_words"] < 12
    assert row["broken_share"] < 0.25
    assert set(human.turns["broken"].drop_nulls()) == {"too_short", "leaked_title"}
