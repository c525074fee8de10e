"""A share of the words is learned in a step."""

import numpy as np

from assets.shards.packing import IGNORED_LABEL, RowBlock
from assets.training.fewer_words import with_fewer_words


def block(rows: int = 50) -> RowBlock:
    """Words (below 20) and music tokens, half of them labelled."""
    ids_BC = np.random.default_rng(1).integers(0, 30, (rows, 40)).astype(np.int32)
    labels_BC = np.where(np.arange(40) % 2 == 0, ids_BC, IGNORED_LABEL).astype(np.int32)
    return RowBlock(ids_BC, labels_BC, np.tile(np.arange(40, dtype=np.int32), (rows, 1)))


def test_music_is_learned_whole_and_words_in_part() -> None:
    """About a quarter of the words keep their labels, all music tokens do, and nothing unlabelled gains one."""
    before, after = block(), with_fewer_words(block(), 20, share=0.25, seed=[3, 1])
    is_label, is_word = before.labels != IGNORED_LABEL, before.input_ids < 20
    kept = after.labels != IGNORED_LABEL
    assert 0.2 < kept[is_label & is_word].mean() < 0.3
    assert kept[is_label & ~is_word].all()
    assert not kept[~is_label].any()
    assert np.array_equal(after.labels[kept], before.labels[kept])
    assert np.array_equal(after.input_ids, before.input_ids)


def test_the_draw_is_the_seeds() -> None:
    """Equal seeds keep the same labels, others others; a share of 1 keeps all."""
    first, again, other = (with_fewer_words(block(), 20, share=0.5, seed=[3, step]).labels for step in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(with_fewer_words(block(), 20, share=1.0, seed=0).labels, block().labels)
