import polars as pl

from assets.conversations.tables import HUMAN_TURNS, STATISTICS, TURNS
from sql import select

NAME = "conversations/statistics"


def counted(rows: list[tuple], human: list[tuple] = ()) -> pl.DataFrame:
    """The statistics of turns given as (conversation, turn, playlist, query, track, response, is_rejection, split).

    People's are rows of conversations/human_turns.
    """
    names = ["conversation_id", "turn", "playlist_id", "query", "track_id", "response", "is_rejection", "split"]
    schema = TURNS.empty().schema
    frame = pl.DataFrame(rows, schema={name: schema[name] for name in names}, orient="row")
    turns = TURNS.checked(frame.with_columns(modality=pl.lit("audio"), is_repaired=pl.lit(False)))
    human = HUMAN_TURNS.checked(pl.DataFrame(list(human), schema=HUMAN_TURNS.empty().schema, orient="row"))
    return STATISTICS.checked(select(NAME, {"conversations.turns": turns, "conversations.human_turns": human}))


def test_statistics_are_counted_by_hand():
    """Two conversations of one playlist: 3 turns, 2 tracks; words fold case and lose punctuation at their ends."""
    rows = [
        ("1/0", 0, 1, "Play rock!", "a", "Here: rock.", False, "train"),
        ("1/0", 1, 1, "No - slower, please", "b", "(Don't stop)", True, "train"),
        ("1/1", 0, 1, "ROCK", "a", "¡Añoranza! 🎧", False, "train"),
    ]
    train = counted(rows).filter(split="train").row(0, named=True)
    assert train == {
        "split": "train",
        "playlists": 1,
        "conversations": 2,
        "tracks": 2,
        # play, rock, no, slower, please, here, don't, stop, añoranza
        "vocabulary": 9,
        "mean_turns": 3 / 2,
        "mean_query_words": (2 + 3 + 1) / 3,
        "mean_response_words": (2 + 2 + 1) / 3,
        "rejections": 1,
        "broken_share": 0.0,
    }


def test_people_are_counted_beside_them():
    """A conversation of people is a playlist of its own; tracks are all that were shown, rejections turns with
    disliked ones.
    """
    human = [
        ("x", 0, "Play rock!", "Here: rock.", ["a", "b"], ["c"], None),
        ("x", 1, "more", "", ["a"], [], "too_short"),
        ("y", 0, "Jazz for me", "Of course", [], ["c"], None),
    ]
    train = [("1/0", 0, 1, "Play rock!", "z", "Here: rock.", False, "train")]
    row = counted(train, human).filter(split="human").row(0, named=True)
    assert row == {
        "split": "human",
        "playlists": 2,
        "conversations": 2,
        "tracks": 3,
        # play, rock, here, more, jazz, for, me, of, course
        "vocabulary": 9,
        "mean_turns": 3 / 2,
        "mean_query_words": (2 + 1 + 3) / 3,
        "mean_response_words": (2 + 0 + 2) / 3,
        "rejections": 2,
        "broken_share": 1 / 3,
    }


def test_a_split_without_turns_has_a_row_of_zeros():
    """Both splits and people are always there; means of nothing are null."""
    all_three = counted([])
    assert all_three["split"].to_list() == ["human", "test", "train"]
    assert all_three["conversations"].to_list() == [0, 0, 0]
    assert all_three["mean_turns"].null_count() == all_three["broken_share"].null_count() == 3


def test_row_order_does_not_count():
    """The same turns in another order give the same statistics."""
    rows = [(f"{n}/0", 0, n, f"word{n} again", f"t{n}", "yes of course", n % 2 == 1, "train") for n in range(20)]
    assert counted(rows).equals(counted(rows[::-1]))
