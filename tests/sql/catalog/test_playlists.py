"""The SELECTs over all slices: which version of a playlist counts, the split, the tracks, TalkPlay's table."""

import datetime as dt
import json

import polars as pl
import pytest

import sql
from assets.catalog.tables import DATASET_TABLE, PLAYLIST_SPLITS, REFUSED
from assets.sources.mpd import Slice, slice_tables
from assets.sources.mpd_json import decode_strict

LAST_DAY = 1_509_494_400  # 2017-11-01
DAY_S = 86_400


def slice_of(name: str, *playlists: tuple[int, str, str, int | None]) -> Slice:
    """A slice of playlists given as pid, name, one letter a track, and seconds since 1970."""
    rows = [
        {
            "pid": pid,
            "name": title,
            "modified_at": modified_at,
            "tracks": [
                {"track_uri": f"t:{letter}", "track_name": f"{letter} of {name}", "artist_name": letter}
                for letter in letters
            ],
        }
        for pid, title, letters, modified_at in playlists
    ]
    return slice_tables(decode_strict(json.dumps(rows).encode(), name), slice_name=name)


def frames(*slices: Slice) -> dict[str, pl.DataFrame]:
    """The tables of `sources` over all slices."""
    return {
        "sources.playlists": pl.concat(part.playlists for part in slices),
        "sources.playlist_tracks": pl.concat(part.playlist_tracks for part in slices),
        "sources.slice_tracks": pl.concat(part.slice_tracks for part in slices),
    }


def split(tables: dict[str, pl.DataFrame], *, test_playlists: int = 1, seed: int = 0) -> pl.DataFrame:
    """catalog/playlist_splits, checked."""
    rows = sql.select("catalog/playlist_splits", tables, test_playlists=test_playlists, seed=seed)
    return PLAYLIST_SPLITS.checked(rows)


def drawn_pids(splits: pl.DataFrame) -> list[int]:
    """The pids on the test side."""
    return splits.filter(pl.col("split") == "test")["playlist_id"].to_list()


def with_splits(*slices: Slice, test_playlists: int = 1) -> dict[str, pl.DataFrame]:
    """The tables of `sources` and the splits made of them."""
    tables = frames(*slices)
    return tables | {"catalog.playlist_splits": split(tables, test_playlists=test_playlists)}


def test_test_playlists_come_from_the_last_day() -> None:
    """Only playlists of the last day are drawn, any hour of it; those without a day train."""
    old = [(pid, "N", "a", LAST_DAY - 1) for pid in range(5)]
    new = [(pid, "N", "a", LAST_DAY + 3600 * (pid - 5)) for pid in range(5, 15)]
    splits = split(frames(slice_of("mpd.slice.0-999", *old, *new, (20, "N", "a", None))), test_playlists=4)
    assert len(drawn_pids(splits)) == 4
    assert set(drawn_pids(splits)) <= set(range(5, 15))
    assert splits.height == 16


@pytest.mark.parametrize(("on_last_day", "wanted", "drawn"), [(10, 3, 3), (10, 8, 5), (5, 8, 2), (1, 1, 0), (4, 0, 0)])
def test_no_more_than_half_of_the_day_is_drawn(on_last_day: int, wanted: int, drawn: int) -> None:
    """The sample has the size asked for, but at most half of the day's playlists, rounded down."""
    tables = frames(slice_of("s", *((pid, "N", "a", LAST_DAY) for pid in range(on_last_day))))
    assert len(drawn_pids(split(tables, test_playlists=wanted))) == drawn


def test_sample_depends_on_seed_and_not_on_row_order() -> None:
    """Shuffled rows give the same sample, another seed another one, a larger sample holds the smaller."""
    tables = frames(slice_of("s", *((pid, "N", "a", LAST_DAY) for pid in range(100))))
    shuffled = {name: rows.sample(fraction=1, shuffle=True, seed=1) for name, rows in tables.items()}
    first = split(tables, test_playlists=20)
    assert first.equals(split(shuffled, test_playlists=20))
    assert drawn_pids(first) != drawn_pids(split(tables, test_playlists=20, seed=1))
    assert set(drawn_pids(first)) < set(drawn_pids(split(tables, test_playlists=30)))


def test_no_days_and_no_playlists_make_no_drawn_pids() -> None:
    """Without a single day everything trains; without playlists there is nothing."""
    assert split(frames(slice_of("s", (1, "N", "a", None), (2, "N", "a", None))))["split"].to_list() == ["train"] * 2
    assert split(frames(slice_of("s"))).is_empty()


def test_later_slice_by_number_counts() -> None:
    """Of a pid in several slices the one whose name starts at the largest number counts: 10000 after 9000."""
    names = ["mpd.slice.9000-9999", "mpd.slice.10000-10999", "mpd.slice.0-999", "other"]
    tables = with_splits(*(slice_of(name, (7, "N", "ab", LAST_DAY)) for name in names))
    assert tables["catalog.playlist_splits"]["slice"].to_list() == ["mpd.slice.10000-10999"]


def test_versions_that_do_not_count_are_refused() -> None:
    """The same name and track list is a duplicate; another name or order is a conflict; pids once are neither."""
    tables = with_splits(
        slice_of(
            "mpd.slice.0-9", (1, "N", "ab", 0), (2, "N", "ab", 0), (3, "N", "ab", 0), (4, "N", "", 0), (5, "N", "", 0)
        ),
        slice_of(
            "mpd.slice.5-14", (1, "N", "ab", 1), (2, "M", "ab", 0), (3, "N", "ba", 0), (4, "N", "", 0), (6, "N", "", 0)
        ),
    )
    refused = REFUSED.checked(sql.select("catalog/playlist_conflicts", tables))
    assert refused.select("source", "location", "reason").rows() == [
        ("mpd.slice.0-9", "pid 1", "duplicate_playlist"),
        ("mpd.slice.0-9", "pid 2", "pid_conflict"),
        ("mpd.slice.0-9", "pid 3", "pid_conflict"),
        ("mpd.slice.0-9", "pid 4", "duplicate_playlist"),
    ]
    assert set(refused["detail"]) == {"mpd.slice.5-14 counts"}


def test_tracks_are_described_by_the_first_slice() -> None:
    """One row a track uri, in order, titled as in the slice of the smallest number that holds it."""
    tables = with_splits(
        slice_of("mpd.slice.10000-10999", (2, "N", "ab", 0)), slice_of("mpd.slice.9000-9999", (1, "N", "bc", 0))
    )
    tracks = sql.select("catalog/mpd_tracks", tables)
    assert tracks.select("track_uri", "title").rows() == [
        ("t:a", "a of mpd.slice.10000-10999"),
        ("t:b", "b of mpd.slice.9000-9999"),
        ("t:c", "c of mpd.slice.9000-9999"),
    ]
    assert tracks.columns == [
        *("track_uri", "title", "artist", "album", "artist_uri", "duration_ms", "train_appearances", "is_warm")
    ]


def test_the_first_slice_that_states_an_artists_uri_counts() -> None:
    """9000 comes before 10000; a slice without one is passed over; where none has one there is none."""
    early, middle, late = "mpd.slice.0-999", "mpd.slice.9000-9999", "mpd.slice.10000-10999"
    tables = with_splits(*(slice_of(name, (pid, "N", "abc", 0)) for pid, name in enumerate((early, middle, late))))
    stated = pl.DataFrame(
        {
            "track_uri": ["t:a", "t:a", "t:b"],
            "slice": [middle, late, late],
            "stated": ["artist:middle", "artist:late", "artist:b"],
        }
    )
    described = tables["sources.slice_tracks"].join(stated, on=["track_uri", "slice"], how="left")
    described = described.with_columns(artist_uri="stated").drop("stated")
    for rows in (described, described.reverse()):
        tracks = sql.select("catalog/mpd_tracks", tables | {"sources.slice_tracks": rows})
        assert tracks.select("track_uri", "title", "artist_uri").rows() == [
            ("t:a", f"a of {early}", "artist:middle"),
            ("t:b", f"b of {early}", "artist:b"),
            ("t:c", f"c of {early}", None),
        ]


def test_only_counted_training_playlists_warm_a_track() -> None:
    """Appearances count positions, repeats too, of training playlists in the version that counts."""
    tables = with_splits(
        slice_of("mpd.slice.0-9", (1, "N", "aax", 0), (2, "N", "ab", LAST_DAY), (3, "N", "ab", LAST_DAY)),
        slice_of("mpd.slice.5-14", (1, "N", "aac", 0)),
    )
    (test_pid,) = drawn_pids(tables["catalog.playlist_splits"])
    assert test_pid in (2, 3)
    counts = sql.select("catalog/mpd_tracks", tables).select("track_uri", "train_appearances", "is_warm").rows()
    assert counts == [("t:a", 3, True), ("t:b", 1, True), ("t:c", 1, True), ("t:x", 0, False)]
    assert sql.select("catalog/mpd_tracks", tables)["train_appearances"].dtype == pl.Int32


def test_dataset_table_counts_by_hand() -> None:
    """Two sides of a tiny corpus, counted by hand."""
    tables = frames(
        slice_of("s", (1, "Rock & ROLL!", "aab", 0), (2, "rock_2017", "bc", 0), (3, "Roll / on", "cdde", LAST_DAY))
    )
    splits = pl.DataFrame({"playlist_id": [1, 2, 3], "slice": ["s"] * 3, "split": ["train", "train", "test"]})
    table = DATASET_TABLE.checked(sql.select("catalog/dataset_table", tables | {"catalog.playlist_splits": splits}))
    train, test = (table.row(by_predicate=pl.col("split") == side, named=True) for side in ("train", "test"))
    # Words: rock, &, roll, 2017; distinct pairs 1a 1b 2b 2c of 2 playlists x 3 tracks.
    assert train == {
        "split": "train",
        "playlists": 2,
        "mean_tracks": 5 / 2,
        "warm_tracks": 3,
        "cold_tracks": 0,
        "vocabulary": 4,
        "sparsity": 1 - 4 / (2 * 3),
    }
    # Words: roll, on; distinct pairs 3c 3d 3e of 1 playlist x 3 tracks; only c is trained on.
    assert test == {
        "split": "test",
        "playlists": 1,
        "mean_tracks": 4.0,
        "warm_tracks": 1,
        "cold_tracks": 2,
        "vocabulary": 2,
        "sparsity": 0.0,
    }


def test_dataset_table_of_nothing_has_both_sides() -> None:
    """Without playlists both sides are there with zeros, their means null."""
    table = DATASET_TABLE.checked(sql.select("catalog/dataset_table", with_splits(slice_of("s"))))
    assert table["playlists"].to_list() == [0, 0]
    assert table["mean_tracks"].to_list() == [None, None]


def test_days_are_those_of_utc() -> None:
    """23:59:59 and 0:00 UTC are two days, whatever the time zone of the machine."""
    tables = frames(slice_of("s", *((pid, "N", "a", LAST_DAY - 1 + pid % 2) for pid in range(8))))
    assert dt.datetime.fromtimestamp(LAST_DAY, tz=dt.UTC).hour == 0
    assert {pid % 2 for pid in drawn_pids(split(tables, test_playlists=8))} == {1}
