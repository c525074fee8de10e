"""Listening sessions: plays of one listener without a long pause, as E4SRec's authors cut them for LastFM-1K.

Their order of rules: listeners with enough plays, tracks with enough plays, sessions by pauses, each track once a
session, sessions long enough and cut to their first tracks, listeners with enough sessions. Two departures. How much
of a track was heard is computed on the raw plays, before any rule removes the play that ended it: on the filtered log
a pause spans removed plays and completion saturates. A track's plays are counted over all listeners, so that a bucket
of them is enough to work on.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from assets.sources.interned import Hashes, Ints, Longs, numbered, rows_among

# P plays, S sessions
Flags = npt.NDArray[np.bool_]

US_PER_S = 1_000_000
US_PER_MS = 1_000


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What makes a session; the defaults are those of E4SRec's LastFM-1K preprocessing."""

    gap_s: int = 1200  # a longer pause starts a session; one as long does not
    min_listener_plays: int = 1000
    min_track_plays: int = 7
    min_session_tracks: int = 10
    max_session_tracks: int | None = 10
    min_listener_sessions: int = 50


class _Log(NamedTuple):
    """The plays by listener and time, as integers; a track's code is its first row among the tracks."""

    listener_codes_P: Ints
    times_us_P: Longs
    track_codes_P: Ints
    listener_ids: pl.Series


class _Placed(NamedTuple):
    """Session and position of each play; -1 for what no session holds."""

    sessions_P: Ints
    positions_P: Ints


class KnownTracks(NamedTuple):
    """The log's distinct tracks, a row each."""

    key_hashes: Hashes
    track_ids: pl.Series
    codes: Ints  # the first row of the same track_id
    plays: Longs  # of the track_id, whatever its keys
    durations_us: npt.NDArray[np.float64]  # NaN where unknown


def known_tracks(log_tracks: pl.DataFrame, tracks: pl.DataFrame) -> KnownTracks:
    """The tracks of all plays, for any number of calls of `cut_sessions`.

    log_tracks has track_key, track_id and plays; tracks has track_id and duration_ms. Texts are told apart by 64-bit
    hashes, with the chances that `count_tracks` states.
    """
    id_hashes = log_tracks["track_id"].hash().to_numpy()
    codes, firsts = numbered(id_hashes)
    plays = np.bincount(codes, weights=log_tracks["plays"].to_numpy()).astype(np.int64)
    durations_ms = tracks["duration_ms"].cast(pl.Float64).replace(0, None).fill_null(float("nan")).to_numpy()
    # One entry more, for the row -1 of ids that are missing.
    durations_ms = np.append(durations_ms, np.nan)[rows_among(id_hashes, tracks["track_id"].hash().to_numpy())]
    return KnownTracks(
        log_tracks["track_key"].hash().to_numpy(),
        log_tracks["track_id"],
        firsts[codes],
        plays[codes],
        durations_ms * US_PER_MS,
    )


def cut_sessions(plays: pl.DataFrame, known: KnownTracks, *, rules: SessionRules) -> pl.DataFrame:
    """The sessions of some listeners, all of whose plays are given, in any order.

    Returns columns of `catalog/sessions`; sessions are numbered from 0 among those of a listener, kept or not.
    """
    log = _as_integers(plays, known)
    completions_P = _completions(
        log.listener_codes_P, log.times_us_P, known.durations_us[log.track_codes_P], rules.gap_s
    )
    is_common_P = _is_common(log, known.plays, rules)
    placed = _Placed(*_place(*log[:3], is_common_P, rules.gap_s, len(known.codes)))

    listeners_S, numbers_S = _listeners_and_numbers(log, placed)
    is_long_S = np.bincount(placed.sessions_P[placed.sessions_P >= 0]) >= rules.min_session_tracks
    long_sessions = np.bincount(listeners_S[is_long_S], minlength=len(log.listener_ids))
    is_kept_S = is_long_S & (long_sessions >= rules.min_listener_sessions)[listeners_S]

    is_kept_P = (placed.sessions_P >= 0) & np.append(is_kept_S, False)[placed.sessions_P]
    if rules.max_session_tracks is not None:
        is_kept_P &= placed.positions_P < rules.max_session_tracks
    rows = np.flatnonzero(is_kept_P)
    names = pl.DataFrame({"listener_id": log.listener_ids.gather(listeners_S), "number": numbers_S})
    session_ids = names.select(pl.format("{}/{}", "listener_id", "number")).to_series()
    return pl.DataFrame(
        {
            "session_id": session_ids.gather(placed.sessions_P[rows]),
            "position": placed.positions_P[rows],
            "listener_id": log.listener_ids.gather(log.listener_codes_P[rows]),
            "track_id": known.track_ids.gather(log.track_codes_P[rows]),
            "played_at": pl.Series(log.times_us_P[rows]).cast(pl.Datetime("us", "UTC")),
            "completion": pl.Series(completions_P[rows]).fill_nan(None),
        }
    )


def _as_integers(plays: pl.DataFrame, known: KnownTracks) -> _Log:
    """The plays in order; a key that log_tracks lacks is an error."""
    rows_P = rows_among(plays["track_key"].hash().to_numpy(), known.key_hashes)
    if (rows_P < 0).any():
        unknown = plays["track_key"].filter(rows_P < 0)
        raise ValueError(f"log_tracks lacks {unknown.n_unique()} keys of the plays, the first being {unknown[0]}")
    runs = plays["listener_id"].rle().struct.unnest()
    listener_ids = runs["value"].unique().sort()
    codes = rows_among(runs["value"].hash().to_numpy(), listener_ids.hash().to_numpy())
    listener_codes_P = np.repeat(codes, runs["len"].to_numpy())
    track_codes_P = known.codes[rows_P]
    times_us_P = plays["played_at"].to_physical().to_numpy()
    keys_P = listener_codes_P.astype(np.int64) << 32 | plays["play_number"].to_numpy()
    if not (keys_P[1:] > keys_P[:-1]).all():
        order = np.argsort(keys_P, kind="stable")
        listener_codes_P, times_us_P, track_codes_P = listener_codes_P[order], times_us_P[order], track_codes_P[order]
    return _Log(listener_codes_P, times_us_P, track_codes_P, listener_ids)


@numba.njit(cache=True, nogil=True)
def _completions(listener_codes_P, times_us_P, durations_us_P, gap_s):  # type: ignore[no-untyped-def]
    """The share of each track heard before the next play; NaN before a pause and where the length is unknown."""
    completions_P = np.full(len(times_us_P), np.nan, np.float32)
    for play in range(len(times_us_P) - 1):
        heard_us = times_us_P[play + 1] - times_us_P[play]
        if listener_codes_P[play + 1] == listener_codes_P[play] and heard_us <= gap_s * US_PER_S:
            share = heard_us / durations_us_P[play]
            completions_P[play] = min(share, 1.0)
    return completions_P


def _is_common(log: _Log, track_plays: Longs, rules: SessionRules) -> Flags:
    listener_plays = np.bincount(log.listener_codes_P, minlength=len(log.listener_ids))
    is_common: Flags = (listener_plays >= rules.min_listener_plays)[log.listener_codes_P] & (
        track_plays >= rules.min_track_plays
    )[log.track_codes_P]
    return is_common


@numba.njit(cache=True, nogil=True)
def _place(listener_codes_P, times_us_P, track_codes_P, is_common_P, gap_s, tracks):  # type: ignore[no-untyped-def]
    """The session of each play, counted over all listeners, and its place there; -1 for what no session holds.

    A pause is measured between common plays, repeats of a track included; a repeat then has no place.
    """
    sessions_P, positions_P = np.full(len(times_us_P), -1, np.int32), np.full(len(times_us_P), -1, np.int32)
    last_session_of = np.full(tracks, -1, np.int32)
    session, position, last = -1, 0, -1
    for play in range(len(times_us_P)):
        if not is_common_P[play]:
            continue
        is_same_listener = last >= 0 and listener_codes_P[play] == listener_codes_P[last]
        if not is_same_listener or times_us_P[play] - times_us_P[last] > gap_s * US_PER_S:
            session, position = session + 1, 0
        last = play
        if last_session_of[track_codes_P[play]] != session:
            last_session_of[track_codes_P[play]] = session
            sessions_P[play], positions_P[play] = session, position
            position += 1
    return sessions_P, positions_P


def _listeners_and_numbers(log: _Log, placed: _Placed) -> tuple[Ints, Longs]:
    """Of each session its listener, and its place from 0 among the listener's."""
    listeners_S = log.listener_codes_P[placed.positions_P == 0]
    starts = np.flatnonzero(np.diff(listeners_S, prepend=-1))
    lengths = np.diff(starts, append=len(listeners_S))
    return listeners_S, np.arange(len(listeners_S)) - np.repeat(starts, lengths)
