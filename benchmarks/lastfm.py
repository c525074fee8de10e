"""The listening log to sessions and sequences: ours against the script that people write with pandas.

Both read the same TSV, cut sessions by the same rules, measure completion, and write sessions and one sequence per
listener to Parquet; their sequences must be equal to the last track. Ours takes the path of the pipeline, by way of
the plays of each bucket. The peak memory of 19 million plays, the log's real size, is that of a process of its own.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import polars as pl

from assets.catalog.log_tracks import count_tracks
from assets.catalog.sessions import SessionRules, cut_sessions, known_tracks
from assets.sources.identity import bucket_of, track_key
from assets.sources.interned import numbered
from assets.sources.lastfm import read_plays
from benchmarks.claims import Claim
from benchmarks.lastfm_log import made_catalog, write_log

LOG = "userid-timestamp-artid-artname-traid-traname.tsv"
PLAYS, FULL_PLAYS = 5_000_000, 19_150_868
TRACKS = 1_000_000
BUCKETS, FULL_BUCKETS = 2, 8
ROUNDS, PANDAS_ROUNDS = 3, 2
RULES = SessionRules()
LEAST_RATIO = 7.0
MOST_BYTES = 4 * 2**30
PEAK_OPTION = "--peak-of"


def measure() -> list[Claim]:
    """Time against pandas at 5 million plays, and the peak memory of 19 million."""
    with tempfile.TemporaryDirectory() as folder:
        return [_speed(Path(folder)), _memory(Path(folder))]


def _speed(folder: Path) -> Claim:
    log = _made_log(folder, PLAYS)
    tracks = pl.read_parquet(folder / "tracks.parquet")
    _cut_log(folder, log, tracks)  # compiles
    ours_s = _times_s(lambda: _cut_log(folder, log, tracks), rounds=ROUNDS)
    pandas_s = _times_s(lambda: _cut_log_with_pandas(folder, log, tracks.to_pandas()), rounds=PANDAS_ROUNDS)
    digest = _same_digest(folder, tracks)
    print(f"rounds, s: ours {ours_s}, pandas {pandas_s}; digest of the sequences {digest}")
    ratio = median(pandas_s) / median(ours_s)
    name = f"LastFM log to sessions and sequences, {PLAYS:,} plays, against pandas"
    return Claim(name, median(ours_s), median(pandas_s), ratio, f">= {LEAST_RATIO}x", ratio >= LEAST_RATIO, "s")


def _times_s(work: Callable[[], None], *, rounds: int) -> list[float]:
    times_s = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times_s.append(round(time.perf_counter() - started, 2))
    return times_s


def _memory(folder: Path) -> Claim:
    _made_log(folder, FULL_PLAYS)
    command = [sys.executable, "-m", "benchmarks.lastfm", PEAK_OPTION, str(folder)]
    peak_bytes = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    name = f"LastFM log to sessions, {FULL_PLAYS:,} plays, peak memory"
    return Claim(name, peak_bytes, MOST_BYTES, MOST_BYTES / peak_bytes, "< 4 GB", peak_bytes < MOST_BYTES, "bytes")


def _made_log(folder: Path, plays: int) -> Path:
    catalog = made_catalog(TRACKS, seed=0)
    write_log(folder / LOG, catalog, plays=plays, seed=1)
    names = catalog.tracks.select("artist", "title", "track_mbid").iter_rows()
    keys = [f"mbid:{mbid}" if mbid else track_key(artist, title) for artist, title, mbid in names]
    catalog.tracks.with_columns(pl.Series("track_id", keys)).write_parquet(folder / "tracks.parquet")
    return folder / LOG


def _cut_log(folder: Path, log: Path, tracks: pl.DataFrame) -> None:
    """From the log to Parquet, the plays of two buckets in memory."""
    names = [str(bucket) for bucket in range(BUCKETS)]
    read = read_plays([log], buckets=names, bucket_of=lambda id_: str(bucket_of(id_, BUCKETS)))
    plays = [bucket.plays for bucket in read]
    with ThreadPoolExecutor() as threads:
        logged = _plays_by_track([part["track_key"] for part in plays], threads)
        known = known_tracks(logged, tracks)
        sessions = pl.concat(threads.map(lambda part: cut_sessions(part, known, rules=RULES), plays))
        written = threads.submit(sessions.write_parquet, folder / "sessions.parquet", compression_level=1)
        sequences = sessions.group_by("listener_id").agg("track_id").sort("listener_id")
        sequences.write_parquet(folder / "sequences.parquet", compression_level=1)
        written.result()


def _plays_by_track(track_keys: list[pl.Series], threads: Executor) -> pl.DataFrame:
    """Only the counts of `count_tracks`, as the script of the other side counts them; no track is linked."""
    hashes = threads.map(lambda keys: keys.hash().to_numpy(), track_keys)
    codes, rows = numbered(np.concatenate(list(hashes)))
    keys = pl.concat(track_keys).gather(rows)
    return pl.DataFrame({"track_key": keys, "track_id": keys, "plays": np.bincount(codes)})


def _cut_log_with_pandas(folder: Path, log: Path, tracks: pd.DataFrame) -> None:
    """The same in the steps of the authors' script."""
    columns = ["listener", "at", "artist_mbid", "artist", "mbid", "title"]
    plays = pd.read_csv(log, sep="\t", header=None, names=columns, quoting=3, on_bad_lines="skip")
    plays["at"] = pd.to_datetime(plays["at"], format="%Y-%m-%dT%H:%M:%SZ", utc=True, errors="coerce")
    plays = plays.dropna(subset=["at"])
    plays["track"] = _pandas_keys(plays["mbid"], plays["artist"], plays["title"])
    plays = plays.sort_values(["listener", "at"], kind="stable").drop_duplicates(["listener", "at", "track"])

    tracks = tracks.assign(track=_pandas_keys(tracks["track_mbid"], tracks["artist"], tracks["title"]))
    duration_s = tracks.set_index("track")["duration_ms"] / 1000
    heard_s = -plays.groupby("listener")["at"].diff(-1).dt.total_seconds()
    share = (heard_s / plays["track"].map(duration_s)).clip(0, 1)
    plays["completion"] = share.where(heard_s <= RULES.gap_s)

    listener_plays = plays.groupby("listener")["at"].transform("size")
    track_plays = plays.groupby("track")["at"].transform("size")
    plays = plays[(listener_plays >= RULES.min_listener_plays) & (track_plays >= RULES.min_track_plays)]
    gap_s = plays.groupby("listener")["at"].diff().dt.total_seconds()
    plays = plays.assign(session=(gap_s > RULES.gap_s).groupby(plays["listener"]).cumsum())
    plays = plays.drop_duplicates(["listener", "session", "track"])
    by_session = plays.groupby(["listener", "session"])["track"]
    plays = plays.assign(position=by_session.cumcount(), tracks=by_session.transform("size"))
    plays = plays[(plays["tracks"] >= RULES.min_session_tracks) & (plays["position"] < RULES.max_session_tracks)]
    plays = plays[plays.groupby("listener")["session"].transform("nunique") >= RULES.min_listener_sessions]

    columns = ["listener", "session", "position", "track", "at", "completion"]
    plays[columns].to_parquet(folder / "pandas_sessions.parquet")
    plays.groupby("listener")["track"].agg(list).to_frame().to_parquet(folder / "pandas_sequences.parquet")


def _pandas_keys(mbid: "pd.Series[str]", artist: "pd.Series[str]", title: "pd.Series[str]") -> "pd.Series[str]":
    return ("mbid:" + mbid).where(mbid.notna(), "name:" + artist + "\x1f" + title)


def _same_digest(folder: Path, tracks: pl.DataFrame) -> str:
    """The digest of both results' sequences; an error where they or the completions differ."""
    ours = pl.read_parquet(folder / "sequences.parquet")
    theirs = pl.read_parquet(folder / "pandas_sequences.parquet").rename({"listener": "listener_id"})
    names = tracks.select(
        pl.coalesce("mbid:" + pl.col("track_mbid"), pl.format("name:{}\x1f{}", "artist", "title")).alias("track"),
        "track_id",
    )
    theirs = theirs.explode("track").join(names, on="track", how="left", maintain_order="left")
    theirs = theirs.group_by("listener_id", maintain_order=True).agg("track_id").sort("listener_id")
    digests = {_digest(sequences) for sequences in (ours, theirs)}
    completions = [
        pl.read_parquet(folder / "sessions.parquet").sort("listener_id", "played_at", "position"),
        pl.read_parquet(folder / "pandas_sessions.parquet").sort("listener", "at", "position"),
    ]
    left, right = (frame["completion"].to_numpy() for frame in completions)
    are_near = np.allclose(left, right, atol=1e-6, equal_nan=True)
    if len(digests) > 1 or not are_near:
        raise AssertionError(f"the two differ: sequences {digests}, completions near: {are_near}")
    return digests.pop()


def _digest(sequences: pl.DataFrame) -> str:
    lines = sequences.select(pl.format("{} {}", "listener_id", pl.col("track_id").list.join(" "))).to_series()
    return blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def _peak_bytes(folder: Path) -> int:
    """Peak memory of this process after the log became plays and sessions, the plays of each bucket by way of disk."""
    names = [str(bucket) for bucket in range(FULL_BUCKETS)]
    for bucket in read_plays([folder / LOG], buckets=names, bucket_of=lambda id_: str(bucket_of(id_, FULL_BUCKETS))):
        bucket.plays.write_parquet(folder / f"plays_{bucket.bucket}.parquet", compression_level=1)
    paths = [folder / f"plays_{name}.parquet" for name in names]
    logged = count_tracks(pl.read_parquet(path) for path in paths).with_columns(track_id="track_key")
    known = known_tracks(logged, pl.read_parquet(folder / "tracks.parquet", columns=["track_id", "duration_ms"]))
    for path in paths:
        cut_sessions(pl.read_parquet(path), known, rules=RULES).write_parquet(path.with_stem(f"sessions_{path.stem}"))
    # Not getrusage's: that begins with the peak of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def main() -> None:
    """Print the claims, or the peak memory on the log in a folder."""
    if sys.argv[1:2] == [PEAK_OPTION]:
        print(_peak_bytes(Path(sys.argv[2])))
        return
    for claim in measure():
        print(claim)


if __name__ == "__main__":
    main()
