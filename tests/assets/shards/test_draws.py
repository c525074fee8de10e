"""Which playlists are held out for validation."""

import polars as pl

from assets.shards.draws import with_validation


def test_validation_takes_whole_playlists_of_training_only() -> None:
    """Of 10,000 training playlists about the share is chosen, by id and seed, and none of the test playlists."""
    ids = pl.int_range(20_000, eager=True)
    splits = pl.Series("split", ["train", "test"]).gather(ids % 2)
    rows = pl.DataFrame({"playlist_id": ids, "split": splits})

    def chosen(rows: pl.DataFrame, seed: int) -> list[int]:
        with_split = with_validation(rows, share=0.1, seed=seed)
        return sorted(with_split.filter(pl.col("split") == "validation")["playlist_id"])

    validation = chosen(rows, 3)
    assert 900 < len(validation) < 1100
    assert all(playlist_id % 2 == 0 for playlist_id in validation)
    assert chosen(pl.concat([rows, rows]).sample(fraction=1.0, shuffle=True, seed=1), 3) == sorted(2 * validation)
    assert chosen(rows, 4) != validation
