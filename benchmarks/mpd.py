"""Slices of the Million Playlist Dataset to Parquet: ours against the script people write, on one core and on two.

Both read the same file and write playlists, playlist tracks and distinct tracks as zstd Parquet through pyarrow. Ours
also refuses, normalises and counts. The slices are full-size: 1,000 playlists of about 66 tracks out of 100,000.
Times are CPU seconds of one-threaded processes bound to a core each, which neighbours on the machine disturb least; of
two cores, those of the slower half while both run.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet

from benchmarks.claims import Claim

PLAYLISTS = 1000
TRACKS = 100_000
SLICES = 4
ROUNDS = 5
MEMORY_SLICES = (5, 20)


def measure() -> list[Claim]:
    """One core, two cores, and peak memory over 5 and 20 slices. Every worker is a process bound to one core."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_slice(Path(folder), number) for number in range(SLICES)]
        with worker(core=0) as first, worker(core=1) as second:
            one, two, script = [], [], []
            for _ in range(ROUNDS):
                script.append(first.submit(timed, "script", paths).result())
                one.append(first.submit(timed, "ours", paths).result())
                halves = [first.submit(timed, "ours", paths[::2]), second.submit(timed, "ours", paths[1::2])]
                two.append(max(half.result() for half in halves))
        script_s, one_s, two_s = (statistics.median(times[1:]) / SLICES for times in (script, one, two))
        few, many = (peak_mb(paths, slices) for slices in MEMORY_SLICES)
    return [
        Claim("mpd slice, one core", one_s, script_s, script_s / one_s, ">= 2.5x", script_s / one_s >= 2.5, "s/slice"),
        Claim("mpd slice, two cores", two_s, script_s, script_s / two_s, ">= 4.5x", script_s / two_s >= 4.5, "s/slice"),
        Claim("mpd peak memory, 20 slices against 5", many, few, few / many, "< 500 MB", many < 500, "MB"),
    ]


def ours(path: Path, folder: Path) -> None:
    """One slice as the asset reads it and the lake writes it."""
    from assets.sources.mpd import mapped, read_slice
    from assets.sources.tables import PLAYLIST_TRACKS, PLAYLISTS, REFUSED, SLICE_TRACKS
    from resources.files import write_parquet

    tables = read_slice(mapped(path), slice_name=path.stem)
    for table in (PLAYLISTS, PLAYLIST_TRACKS, SLICE_TRACKS, REFUSED):
        write_parquet(getattr(tables, table.name), folder / f"{path.stem}.{table.name}.parquet", key=table.key)


def script(path: Path, folder: Path) -> None:
    """One slice as people write it: json, loops over dicts, pandas."""
    import pandas as pd

    with path.open(encoding="utf-8") as file:
        content = json.load(file)
    playlist_rows, track_rows = [], []
    for playlist in content["playlists"]:
        playlist_rows.append({field: value for field, value in playlist.items() if field != "tracks"})
        for track in playlist["tracks"]:
            track_rows.append({"pid": playlist["pid"], **track})  # noqa: PERF401 - the loop people write
    playlists, tracks = pd.DataFrame(playlist_rows), pd.DataFrame(track_rows)
    playlists["modified_at"] = pd.to_datetime(playlists["modified_at"], unit="s", utc=True)
    appearances = tracks.groupby("track_uri", sort=False).size().rename("appearances").reset_index()
    distinct = tracks.drop_duplicates("track_uri").drop(columns=["pid", "pos"]).merge(appearances, on="track_uri")
    tables = {"playlists": playlists, "playlist_tracks": tracks[["pid", "pos", "track_uri"]], "slice_tracks": distinct}
    for name, rows in tables.items():
        rows.to_parquet(folder / f"{path.stem}.{name}.parquet", compression="zstd", index=False)


def timed(method: str, paths: list[Path]) -> float:
    """CPU seconds that the slices take, one after the other, in this process."""
    convert = {"ours": ours, "script": script}[method]
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        for path in paths:
            convert(path, Path(folder))
        return time.process_time() - started


def worker(*, core: int) -> ProcessPoolExecutor:
    """One process bound to one core, its thread pools of one thread."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=bind, initargs=(core,))


def bind(core: int) -> None:
    """Binds this process to one core, before polars and pyarrow size their thread pools."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    pyarrow.set_cpu_count(1)


def peak_mb(paths: list[Path], slices: int) -> float:
    """Peak resident memory of a fresh process that converts so many slices, one after the other."""
    program = (
        "import resource, sys; from pathlib import Path; from benchmarks.mpd import timed; "
        "timed('ours', [Path(path) for path in sys.argv[1:]]); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    repeated = [str(paths[number % len(paths)]) for number in range(slices)]
    done = subprocess.run([sys.executable, "-c", program, *repeated], check=True, capture_output=True, text=True)
    return float(done.stdout)


def write_slice(folder: Path, number: int) -> Path:
    """A made-up slice of about 33 MB in the published layout, indented as published."""
    rng = np.random.default_rng(number)
    first = number * PLAYLISTS
    sizes = np.clip(rng.lognormal(3.95, 0.85, PLAYLISTS).astype(int), 5, 250)
    drawn = [(TRACKS * rng.random(size) ** 3).astype(int) for size in sizes]
    playlists = [
        {
            "name": f"Evening mix {pid % 92}",
            "collaborative": "false",
            "pid": pid,
            "modified_at": 1493424000 + 86400 * (pid % 180),
            "num_tracks": len(tracks),
            "num_albums": len(tracks),
            "num_followers": 1,
            "tracks": [track_fields(place, int(track)) for place, track in enumerate(tracks)],
            "num_edits": 2,
            "duration_ms": 200_000 * len(tracks),
            "num_artists": len(tracks),
        }
        for pid, tracks in enumerate(drawn, start=first)
    ]
    name = f"{first}-{first + PLAYLISTS - 1}"
    content = {"info": {"generated_on": "2017-12-03", "slice": name, "version": "v1"}, "playlists": playlists}
    path = folder / f"mpd.slice.{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=4))
    return path


def track_fields(place: int, track: int) -> dict[str, object]:
    """The fields of one track; one in 25 has letters beyond ASCII in its names."""
    letters = "é" if track // 8 % 25 == 0 else "e"
    return {
        "pos": place,
        "artist_name": f"Th{letters} Artist {track // 8}",
        "track_uri": f"spotify:track:{track * 7919 % 10**9:022d}",
        "artist_uri": f"spotify:artist:{track // 8:022d}",
        "track_name": f"A Track Nam{letters} (feat. Somebody) {track}",
        "album_uri": f"spotify:album:{track // 5:022d}",
        "duration_ms": 120_000 + track % 200_000,
        "album_name": f"Album of the Year {track // 5}",
    }


if __name__ == "__main__":
    for claim in measure():
        print(claim)
