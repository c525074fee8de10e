"""Co-listening learns from training playlists and training sessions, and from nothing else."""

import datetime as dt
from importlib import import_module
from pathlib import Path

import dagster as dg
import polars as pl

from assets.catalog.tables import PLAYLIST_SPLITS, SESSION_SPLITS, SESSIONS
from assets.embeddings.tables import CO_LISTENING
from assets.partitions import LISTENER_BUCKETS, MPD_SLICES
from assets.sources.tables import PLAYLIST_TRACKS
from dagster_project.stages import STAGES
from resources.lake import WHOLE, Lake
from resources.profile import EMBEDDED
from resources.raw import RawFolder
from resources.tables import Table

START = dt.datetime(2006, 1, 1, tzinfo=dt.UTC)
MODULES = {stage: import_module(f"assets.{stage}.defs") for stage in STAGES}  # each needs those before it
Lists = dict[str, tuple[str, str]]  # of each playlist or session its side and its tracks, a letter each
PLAYLISTS: Lists = {"1": ("train", "abcd"), "2": ("train", "abce")}
HELD_OUT_PLAYLISTS: Lists = {"3": ("test", "apq"), "4": ("test", "aeb")}
LISTENED: Lists = {"ann/0": ("train", "afgh"), "bo/0": ("train", "ghf")}
HELD_OUT_SESSIONS: Lists = {"ann/1": ("test", "axy"), "bo/1": ("test", "fba")}


def write(lake: Lake, table: Table, rows: list[tuple[object, ...]], key: str = WHOLE) -> None:
    """Commits rows as a partition."""
    frame = pl.DataFrame(rows, schema=table.empty().schema, orient="row")
    lake.write(table, frame, partition=key, attempt=lake.claim(table, key))


def learnt(folder: Path, playlists: Lists, sessions: Lists) -> pl.DataFrame:
    """embeddings/co_listening as the asset makes it."""
    lake, instance = Lake(root=str(folder)), dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(str(MPD_SLICES.name), ["s"])
    write(lake, PLAYLIST_SPLITS, [(int(pid), "s", side) for pid, (side, _) in playlists.items()])
    positions = [
        (int(pid), at, letter, "s") for pid, (_, letters) in playlists.items() for at, letter in enumerate(letters)
    ]
    write(lake, PLAYLIST_TRACKS, positions, "s")
    for key in LISTENER_BUCKETS.get_partition_keys():
        held = sessions if key == LISTENER_BUCKETS.get_first_partition_key() else {}
        write(lake, SESSION_SPLITS, [(name, side) for name, (side, _) in held.items()], key)
        plays = [(name, at, "ann", letter) for name, (_, letters) in held.items() for at, letter in enumerate(letters)]
        write(lake, SESSIONS, [(*play, START + dt.timedelta(minutes=at), None) for at, play in enumerate(plays)], key)
    resources = {"lake": lake, "raw": RawFolder(root=str(folder)), "profile": EMBEDDED}
    assert dg.materialize([MODULES["embeddings"].co_listening], resources=resources, instance=instance).success
    return lake.read(CO_LISTENING)


def test_tracks_of_training_playlists_and_sessions_have_vectors(tmp_path: Path) -> None:
    """Those that only playlists hold, those that only sessions hold, and those of both; held-out ones have none."""
    vectors = learnt(tmp_path, PLAYLISTS | HELD_OUT_PLAYLISTS, LISTENED | HELD_OUT_SESSIONS)
    assert vectors["track_id"].to_list() == list("abcdefgh")


def test_nothing_held_out_changes_a_vector(tmp_path: Path) -> None:
    """With test playlists and test sessions of known tracks, or without any, the vectors are the same to the bit."""
    with_them = learnt(tmp_path / "with", PLAYLISTS | HELD_OUT_PLAYLISTS, LISTENED | HELD_OUT_SESSIONS)
    assert with_them.equals(learnt(tmp_path / "without", PLAYLISTS, LISTENED))


def test_sessions_do_change_vectors(tmp_path: Path) -> None:
    """A training session more is another table."""
    more: Lists = {"bo/1": ("train", "fba")}
    assert not learnt(tmp_path / "one", PLAYLISTS, LISTENED).equals(
        learnt(tmp_path / "two", PLAYLISTS, LISTENED | more)
    )


def test_without_a_log_or_playlists_there_are_no_vectors(tmp_path: Path) -> None:
    """An empty table, not a failure."""
    assert learnt(tmp_path, {}, {}).is_empty()
