"""What the rivals know of the tracks, and which conversations of people the training data give away."""

import polars as pl
import pytest

import sql

TRACKS = pl.DataFrame(
    [(f"t{n}", f"s{n % 2}", f"Title {n}", "Artist", None, 1990 + n, n < 3, 3 - n) for n in range(4)],
    schema=["track_id", "shard", "title", "artist", "album", "release_year", "is_warm", "train_appearances"],
    orient="row",
)
TAGS = pl.DataFrame({"track_id": ["t1", "t0"], "tags": [["folk", "calm"], None]})


def leaked(liked: list[list[str]], *playlists: list[str], split: str = "train") -> list[str]:
    """The conversations of one person with these liked tracks a turn, beside playlists of one split."""
    turns = pl.DataFrame(
        {"conversation_id": ["x"] * len(liked), "liked": liked},
        schema={"conversation_id": pl.String, "liked": pl.List(pl.String)},
    )
    rows = [(pid, place, uri, "s1") for pid, uris in enumerate(playlists) for place, uri in enumerate(uris)]
    schema = {"playlist_id": pl.Int64, "position": pl.Int32, "track_uri": pl.String, "slice": pl.String}
    splits = [(pid, "s1", split) for pid in range(len(playlists))]
    tables = {
        "conversations.human_turns": turns,
        "evaluation.published_tracks": pl.DataFrame(
            {"published_id": [*"abcde"], "track_uri": ["t0", "t1", "t2", "t3", "elsewhere"]}
        ),
        "catalog.tracks": TRACKS,
        "sources.playlist_tracks": pl.DataFrame(rows, schema=schema, orient="row"),
        "catalog.playlist_splits": pl.DataFrame(
            splits, schema={"playlist_id": pl.Int64, "slice": pl.String, "split": pl.String}, orient="row"
        ),
    }
    return sql.select("evaluation/leaked_conversations", tables)["conversation_id"].to_list()


def test_tracks_come_in_order_of_shard_and_id() -> None:
    """With their tags, null where there are none, whatever the order of the rows."""
    for order in (1, -1):
        tables = {"catalog.tracks": TRACKS[::order], "content.tags": TAGS[::order]}
        rows = sql.select("evaluation/turn_catalog", tables)
        assert rows["track_id"].to_list() == ["t0", "t2", "t1", "t3"]
        assert rows["tags"].to_list() == [None, None, ["folk", "calm"], None]
        assert rows.row(1, named=True) == TRACKS.row(2, named=True) | {"tags": None}


@pytest.mark.parametrize(
    ("liked", "playlists", "is_leaked"),
    [
        ([["a", "b"], ["c"]], [["t0", "t1"]], True),  # 2 of 3
        ([["a", "b"], ["c"]], [["t0"], ["t1"]], False),  # 1 of 3 twice
        ([["a", "b"], ["c", "d"]], [["t0", "t1"]], False),  # 2 of 4: half
        ([["a", "b"], ["c", "e"]], [["t0", "t1"]], True),  # 2 of the 3 that the catalog has
        ([["a"]], [["t0"]], False),  # one track is no playlist
        ([["a", "b", "c"], ["a"]], [["t0", "t0", "t1"]], True),  # distinct tracks: 2 of 3
        ([["a", "b", "c"]], [["t0", "t0", "t0"]], False),  # 1 of 3
        ([[], ["e"]], [["t0"]], False),
        ([["a", "b"]], [["t0", "t1"], ["t1", "t0"]], True),  # once, though in two playlists
    ],
)
def test_a_playlist_gives_a_conversation_away(liked: list, playlists: list, is_leaked: bool) -> None:
    """If it holds more than half of the distinct liked tracks that the catalog has, and at least two."""
    assert leaked(liked, *playlists) == ["x"] * is_leaked


def test_test_playlists_give_nothing_away() -> None:
    """A conversation that made a held-out playlist is what the test is for."""
    assert leaked([["a", "b"]], ["t0", "t1"], split="test") == []
