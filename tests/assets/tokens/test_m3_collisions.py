"""Tracks that no token of 3MToken tells apart."""

import polars as pl
import pytest

from assets.tokens.m3_collisions import find_collisions
from assets.tokens.tables import M3_COLLISIONS, M3_TOKENS
from resources.m3_settings import M3_MODALITIES

MISSING = [4, 3, 2]


def tokens_of(rows: dict[str, list[int]], *, last: dict[str, list[int]] | None = None) -> pl.DataFrame:
    """Tracks with the same codes in all nine modalities, or with other codes in the last."""
    columns = {name: list(rows.values()) for name in M3_MODALITIES}
    columns["tc"] = [(last or {}).get(track_id, codes) for track_id, codes in rows.items()]
    schema = {name: pl.List(pl.Int32) for name in M3_MODALITIES}
    frame = pl.DataFrame(columns, schema=schema).with_columns(
        pl.Series("track_id", list(rows), dtype=pl.String), codebook_hash=pl.lit("a" * 64)
    )
    return M3_TOKENS.checked(frame)


ROWS = {"a": [0, 1, 1], "b": [0, 0, 0], "c": [0, 1, 1], "d": [1, 0, 0], "e": [0, 1, 1], "f": [1, 0, 0]}


def test_equal_tracks_are_numbered_by_id() -> None:
    """Of six tracks a, c, e are equal and d, f are: numbers from 0 in order of id; b stands alone."""
    found = M3_COLLISIONS.checked(find_collisions(tokens_of(ROWS), disambiguators=0).frame)
    assert set(found["codebook_hash"]) == {"a" * 64}
    assert found.drop("codebook_hash").rows() == [("a", 0, 3), ("c", 1, 3), ("d", 0, 2), ("e", 2, 3), ("f", 1, 2)]


def test_the_order_of_rows_changes_nothing() -> None:
    """Shuffled tokens give the same rows and notes."""
    expected = find_collisions(tokens_of(ROWS), disambiguators=0)
    for seed in range(5):
        found = find_collisions(tokens_of(ROWS).sample(fraction=1, shuffle=True, seed=seed), disambiguators=0)
        assert found.frame.equals(expected.frame)
        assert found.notes == expected.notes


def test_one_code_is_enough_to_tell_apart() -> None:
    """Tracks that differ in one level of one modality don't collide."""
    assert find_collisions(
        tokens_of({"a": [0, 1, 1], "b": [0, 1, 1]}, last={"b": [0, 1, 0]}), disambiguators=0
    ).frame.is_empty()


def test_tracks_without_any_modality_collide() -> None:
    """Missing everywhere is equal to missing everywhere."""
    found = find_collisions(tokens_of({"a": MISSING, "b": MISSING}), disambiguators=0)
    assert found.frame["track_id"].to_list() == ["a", "b"]


def test_the_notes_count_tracks_and_groups() -> None:
    """Five of six tracks collide, in a group of three and one of two, beside one of one."""
    notes = find_collisions(tokens_of(ROWS), disambiguators=0).notes
    assert [notes["tracks"], notes["colliding tracks"], notes["share of colliding tracks"]] == [6, 5, 5 / 6]
    assert str(notes["groups by size"]).splitlines()[2:] == ["| 1 | 1 |", "| 2 | 1 |", "| 3 | 1 |"]


def test_more_equals_than_disambiguators_fail() -> None:
    """Three equal tracks have no place in two codes, and fit in three."""
    with pytest.raises(ValueError, match=r"1 groups .* up to 3 tracks.*m3_tokens\.disambiguators=2; raise it to 3"):
        find_collisions(tokens_of(ROWS), disambiguators=2)
    assert find_collisions(tokens_of(ROWS), disambiguators=3).frame["number"].max() == 2


def test_tokens_of_two_versions_are_not_compared() -> None:
    """Codes of an older codebook name other codewords, so equal ones mean nothing."""
    mixed = tokens_of(ROWS).with_columns(
        codebook_hash=pl.when(pl.col("track_id") == "a").then(pl.lit("b" * 64)).otherwise("codebook_hash")
    )
    with pytest.raises(ValueError, match="2 versions of the codebooks; materialize tokens/m3_tokens again"):
        find_collisions(mixed, disambiguators=0)


def test_an_empty_catalog_has_no_collisions() -> None:
    """No tracks, none collide."""
    found = find_collisions(tokens_of({}), disambiguators=4)
    assert M3_COLLISIONS.checked(found.frame).is_empty()
    assert found.notes["share of colliding tracks"] == 0
