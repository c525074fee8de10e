"""A listening log of any size in LastFM-1K's format: Zipf-like tracks, favourites, evenings of play, newest first."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Longs = npt.NDArray[np.int64]

LISTENERS = 992
SHARE_WITH_MBID = 0.887  # the real log's share of plays whose track has a MusicBrainz id
LAST_PLAY_S = 1_245_000_000  # June 2009
PAUSE_SHARE = 0.06
FAVOURITES = 400
PIECE_PLAYS = 1_000_000
SYLLABLES = ("ba", "chor", "dim", "el", "fa", "gru", "hei", "ivo", "ja", "kar", "lo", "me", "nu", "or", "pli", "qua")


class Catalog(NamedTuple):
    """The made-up tracks: what follows the timestamp in a line, MBID (null where missing), names, and length."""

    suffixes: pl.Series
    tracks: pl.DataFrame


def made_catalog(tracks: int, *, seed: int) -> Catalog:
    """Tracks 0..N-1, most played first; a fifth as many artists."""
    rng = np.random.default_rng(seed)
    artists = max(1, tracks // 5)
    words = np.array([a + b + c for a in SYLLABLES for b in SYLLABLES for c in ("", *SYLLABLES, "né")])
    artist_names = pl.Series(words[rng.integers(len(words), size=artists)]).str.to_titlecase()
    artist_names = artist_names + " " + pl.Series(np.arange(artists)).cast(pl.String)
    by_N = (rng.random(tracks) ** 2 * artists).astype(np.int64)
    first, second = (pl.Series(words[rng.integers(len(words), size=tracks)]) for _ in range(2))
    titles = first + " of " + second + " " + pl.Series(np.arange(tracks)).cast(pl.String)
    frame = pl.DataFrame(
        {
            "artist_mbid": pl.Series(_mbids(rng, artists)).gather(by_N),
            "artist": artist_names.gather(by_N),
            "track_mbid": pl.Series(_mbids(rng, tracks)),
            "title": titles,
            "has_mbid": rng.random(tracks) < SHARE_WITH_MBID,
            "is_quoted": rng.random(tracks) < 0.01,
            "duration_ms": rng.integers(90_000, 420_000, size=tracks).astype(np.int32),
        }
    ).with_columns(
        pl.when("has_mbid").then("track_mbid").alias("track_mbid"),
        pl.when("is_quoted").then('"' + pl.col("title")).otherwise("title").alias("title"),
    )
    suffix = pl.concat_str("artist_mbid", "artist", pl.col("track_mbid").fill_null(""), "title", separator="\t")
    return Catalog(frame.select(suffix).to_series(), frame.drop("has_mbid", "is_quoted"))


def write_log(path: Path, catalog: Catalog, *, plays: int, seed: int) -> None:
    """Write about `plays` lines, listener after listener, a million at a time."""
    rng = np.random.default_rng(seed)
    shares_L = rng.lognormal(0, 1, LISTENERS)
    counts_L = np.maximum(1, (shares_L / shares_L.sum() * plays).astype(np.int64))
    pieces_L = counts_L.cumsum() // PIECE_PLAYS
    with path.open("wb") as file:
        for piece in range(int(pieces_L[-1]) + 1):
            _piece(rng, catalog, np.flatnonzero(pieces_L == piece), counts_L).write_csv(
                file, include_header=False, separator="\t", quote_style="never"
            )


def _piece(rng: np.random.Generator, catalog: Catalog, listeners: Longs, counts_L: Longs) -> pl.DataFrame:
    codes, times, tracks = [], [], []
    for listener in listeners:
        plays = int(counts_L[listener])
        gaps_s = rng.integers(100, 420, size=plays)
        is_pause = rng.random(plays) < PAUSE_SHARE
        gaps_s[is_pause] = rng.integers(1_000, 6_000, size=int(is_pause.sum()))
        favourites = _popular(rng, len(catalog.suffixes), FAVOURITES)
        drawn = np.where(
            rng.random(plays) < 0.6,
            favourites[_log_uniform(rng, FAVOURITES, plays)],
            _popular(rng, len(catalog.suffixes), plays),
        )
        codes.append(np.full(plays, listener))
        times.append(LAST_PLAY_S - gaps_s.cumsum())
        tracks.append(drawn)
    names = pl.Series([f"user_{code + 1:06d}" for code in range(len(counts_L))])
    return pl.DataFrame(
        {
            "listener": names.gather(np.concatenate(codes)),
            "at": pl.from_epoch(pl.Series(np.concatenate(times))).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "suffix": catalog.suffixes.gather(np.concatenate(tracks)),
        }
    )


def _popular(rng: np.random.Generator, high: int, size: int) -> Longs:
    """Ranks 0..high-1 with chances like rank ** -0.6: the head of a real log is flatter than Zipf's."""
    ranks: Longs = np.minimum(rng.random(size) ** 2.5 * high, high - 1).astype(np.int64)
    return ranks


def _log_uniform(rng: np.random.Generator, high: int, size: int) -> Longs:
    """Ranks 0..high-1 with chances like 1 / rank: Zipf's law with exponent 1."""
    ranks: Longs = np.minimum(np.exp(rng.random(size) * np.log(high)).astype(np.int64), high) - 1
    return ranks


def _mbids(rng: np.random.Generator, size: int) -> list[str]:
    digits = rng.bytes(16 * size).hex()
    halves = (digits[32 * place : 32 * place + 32] for place in range(size))
    return [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in halves]
