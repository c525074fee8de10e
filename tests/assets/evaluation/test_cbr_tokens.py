"""Token tables as the kernel reads them."""

import polars as pl
import pytest

from assets.evaluation.cbr_counts import CatalogCodes
from assets.evaluation.cbr_tokens import read_codes
from assets.tokens.codebooks import codebook_hash
from resources.m3_settings import M3, M3_MODALITIES

SETTINGS = M3(sizes=[4, 5], sizes_of={"tc": [6]}, kmeans_k=9, vqvae_k=8)
IDS = pl.Series(["b", "a"])
CODES = {"a": 1, "b": 2}
PRESENT = "present"


def tokens(base: int = 0, levels: int = 2, *, has_tc: bool = True) -> pl.DataFrame:
    """Rows of the present codebooks for both tracks: every code of `a` is 1 and of `b` 2, plus `base`."""
    rows = []
    for track_id, code in CODES.items():
        lists = {modality: [base + code] * levels for modality in M3_MODALITIES}
        rows.append({"track_id": track_id, **lists, "codebook_hash": PRESENT})
        if levels > 1 and has_tc:
            rows[-1]["tc"] = [base + code]
    return pl.DataFrame(rows)


def books(*counts: tuple[str, int, int]) -> pl.DataFrame:
    """Codebook rows: so many codes of a modality's level."""
    rows = [(modality, level, code, "h") for modality, level, codes in counts for code in range(codes)]
    columns = {"modality": pl.String, "level": pl.Int64, "code": pl.Int64, "codebook_hash": pl.String}
    return pl.DataFrame(rows, schema=columns, orient="row")


def read(m3: pl.DataFrame, codebooks: pl.DataFrame, kmeans: pl.DataFrame | None = None) -> CatalogCodes:
    """The codes with both baselines."""
    schemes = {"rqvae": codebooks, "kmeans": books() if kmeans is None else kmeans, "vqvae": books()}
    hashes = {scheme: codebook_hash(rows) for scheme, rows in schemes.items()}
    beside = pl.concat(
        tokens(base, 1).with_columns(scheme=pl.lit(scheme), codebook_hash=pl.lit(hashes[scheme]))
        for scheme, base in (("vqvae", 5), ("kmeans", 3))
    )
    ours = m3.with_columns(pl.col("codebook_hash").replace(PRESENT, hashes["rqvae"]))
    return read_codes(ours, beside, schemes, IDS, settings=SETTINGS)


def test_columns_are_levels_then_baselines_in_the_order_of_the_tracks() -> None:
    """Eight modalities of two levels and one of one; K-means and VQ-VAE with a column a modality."""
    codes = read(tokens(), books())
    assert codes.levels_M.tolist() == [2] * 8 + [1]
    assert codes.columns_QN.tolist() == [[2, 1]] * 17 + [[5, 4]] * 9 + [[7, 6]] * 9


def test_reserved_codes_come_from_the_codebooks() -> None:
    """A codebook that was capped has its own sizes, and a modality without one the profile's."""
    codes = read(tokens(), books(("ac", 1, 3), ("ac", 2, 2)), books(("bm", 0, 7)))
    assert codes.sizes_Q.tolist() == [3, 2, *[4, 5] * 7, 6, *[9, 7, 9, 9, 9, 9, 9, 9, 9], *[8] * 9]


def test_a_missing_modality_may_have_the_profiles_reserved_code() -> None:
    """With 3 codes where the profile has 4, a 3 and a 4 both mean missing; a 5 is of another version."""
    capped = books(("ac", 1, 3), ("ac", 2, 3))
    assert read(tokens(2), capped).columns_QN[0].tolist() == [3, 3]
    with pytest.raises(ValueError, match="rqvae: ac has codes beyond \\[4, 5\\]; materialize the tokens"):
        read(tokens(3), capped)


def test_a_track_without_tokens_is_named() -> None:
    """Tokens that were made before the track came are not evaluated."""
    with pytest.raises(ValueError, match="rqvae: track b lacks codes of ac, wanted 2; materialize the tokens"):
        read(tokens().filter(pl.col("track_id") == "a"), books())


def test_another_number_of_levels_is_refused() -> None:
    """Tokens of other levels than the codebooks have name the modality."""
    with pytest.raises(ValueError, match="lacks codes of tc, wanted 1"):
        read(tokens(has_tc=False), books())


@pytest.mark.parametrize("hashes", [[PRESENT, "older"], ["older", "older"]])
def test_tokens_of_older_codebooks_are_refused(hashes: list[str]) -> None:
    """Codes of codebooks that were refitted since are not evaluated, be it some tracks' or all."""
    stale = tokens().with_columns(codebook_hash=pl.Series(hashes))
    with pytest.raises(ValueError, match=r"rqvae: tokens of codebooks \['older'\], wanted .*; materialize the tokens"):
        read(stale, books())
