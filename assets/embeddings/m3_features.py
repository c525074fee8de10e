"""3MToken's MC and RI (section 2.1): tempo and key, and the date of release, as numbers by binning.

MC is 220 tempo bins and 25 keys, RI 18 numbers of a normalised year, cyclic month and day, and decades: so far the
paper. Ours: where the bins lie, that the 25th key is the unknown one, and that 18 = 1 + 4 + 13. Neither is scaled.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.embeddings.vectors import Vectors, assembled
from assets.sources.stated import with_track_facts

# N tracks

TONICS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
KEYS = tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in TONICS)  # as content/rhythm writes them
UNKNOWN_KEY = len(KEYS)
FIRST_YEAR = 1900
DECADES = 13  # 1900s to 2020s
LAST_YEAR = FIRST_YEAR + 10 * DECADES - 1
MONTHS, DAYS = 12, 31


def musical_vectors(rhythm: pl.DataFrame, *, tempo_bins: int, slowest_bpm: float, tempo_bin_bpm: float) -> Vectors:
    """MC of each row of content/rhythm: a 1 for its tempo bin and a 1 for its key, the last bin for an unknown one.

    A tempo out of range is in the bin at that end; an unknown one is in none. Null where neither is known.
    Raises ValueError for a key of another name.
    """
    ordered = rhythm.select("track_id", "tempo_bpm", "key").sort("track_id")
    tempi_N, keys_N = ordered["tempo_bpm"].to_numpy(), _key_bins(ordered["key"])
    has_tempo_N, has_key_N = ~np.isnan(tempi_N), keys_N != UNKNOWN_KEY
    features_NF = np.zeros((ordered.height, tempo_bins + len(KEYS) + 1), dtype=np.float32)
    bins_N = np.clip((tempi_N[has_tempo_N] - slowest_bpm) // tempo_bin_bpm, 0, tempo_bins - 1).astype(np.intp)
    features_NF[has_tempo_N, bins_N] = 1
    known_N = np.flatnonzero(has_tempo_N | has_key_N)
    features_NF[known_N, tempo_bins + keys_N[known_N]] = 1
    encoder = f"{tempo_bins} tempo bins of {tempo_bin_bpm:g} bpm from {slowest_bpm:g}, {UNKNOWN_KEY + 1} keys"
    return assembled(ordered["track_id"], features_NF, [], encoder=encoder)


def release_vectors(tracks: pl.DataFrame, release_facts: pl.DataFrame) -> Vectors:
    """RI of each track: its year from 0 (1900) to 1 (2029), month and day as sine and cosine, and a 1 for its decade.

    An earlier year counts as 1900, a later one as 2029. Month and day are zeros where only the year is known; null
    where not even that is.
    """
    dated = with_track_facts(
        tracks.select("track_id", "track_uri", "artist", "title"),
        release_facts.drop_nulls("release_year"),
        *("release_year", "released_at"),
    ).sort("track_id")
    features_NF = np.zeros((dated.height, 1 + 4 + DECADES), dtype=np.float32)
    rows_N = np.flatnonzero(dated["release_year"].is_not_null().to_numpy())
    years_N = np.clip(dated["release_year"].drop_nulls().to_numpy(), FIRST_YEAR, LAST_YEAR)
    features_NF[rows_N, 0] = (years_N - FIRST_YEAR) / (LAST_YEAR - FIRST_YEAR)
    features_NF[:, 1:3] = _cyclic(dated["released_at"].dt.month(), MONTHS)
    features_NF[:, 3:5] = _cyclic(dated["released_at"].dt.day(), DAYS)
    features_NF[rows_N, 5 + (years_N - FIRST_YEAR) // 10] = 1
    return assembled(dated["track_id"], features_NF, [], encoder="year, cyclic month and day, 13 decades from 1900")


def _key_bins(keys: pl.Series) -> npt.NDArray[np.int64]:
    unknown = set(keys.drop_nulls().unique()) - set(KEYS)
    if unknown:
        raise ValueError(f"content/rhythm: key {min(unknown)!r}; expected a tonic and mode, as in {KEYS[6]!r}")
    bins = keys.replace_strict(KEYS, range(len(KEYS)), return_dtype=pl.Int64).fill_null(UNKNOWN_KEY)
    return bins.to_numpy()


def _cyclic(places: pl.Series, period: int) -> npt.NDArray[np.floating]:
    """Sine and cosine of places 1..period on a circle that starts at the first, [N, 2]; zeros where there is none."""
    angle = (places.cast(pl.Float64) - 1) * (2 * np.pi / period)
    return pl.DataFrame([angle.sin().alias("sine"), angle.cos().alias("cosine")]).fill_null(0).to_numpy()
