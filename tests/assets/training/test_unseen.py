"""Some tracks of training rows hide a modality."""

import numpy as np

from assets.shards.packing import IGNORED_LABEL, RowBlock
from assets.training.losses import Blank
from assets.training.unseen import with_unseen

HIDDEN = Blank(first=10, stop=15, missing=14)


def block(rows: int = 50) -> RowBlock:
    """Rows of words (below 10), playlist codes (10 to 14) and others, half of them labelled."""
    ids_BC = np.random.default_rng(1).integers(0, 30, (rows, 40)).astype(np.int32)
    labels_BC = np.where(np.arange(40) % 2 == 0, ids_BC, IGNORED_LABEL).astype(np.int32)
    return RowBlock(ids_BC, labels_BC, np.tile(np.arange(40, dtype=np.int32), (rows, 1)))


def test_a_share_of_the_modality_is_missing_in_inputs_and_labels() -> None:
    """About a fifth of the codes; labels follow, nothing else changes, and what was not to be learned still is not."""
    before, after = block(), with_unseen(block(), HIDDEN, share=0.2, seed=[3, 1])
    is_code = (before.input_ids >= 10) & (before.input_ids < 14)
    changed = after.input_ids != before.input_ids
    assert 0.15 < changed[is_code].mean() < 0.25
    assert not changed[~is_code].any()
    assert (after.input_ids[changed] == 14).all()
    assert np.array_equal(after.labels, np.where(before.labels == IGNORED_LABEL, IGNORED_LABEL, after.input_ids))


def test_the_draw_is_the_seeds() -> None:
    """Equal seeds hide the same, others others; no share and no modality hide nothing."""
    first, again, other = (with_unseen(block(), HIDDEN, share=0.2, seed=[3, step]) for step in (1, 1, 2))
    assert np.array_equal(first.input_ids, again.input_ids)
    assert not np.array_equal(first.input_ids, other.input_ids)
    assert with_unseen(block(), HIDDEN, share=0.0, seed=0).input_ids.tolist() == block().input_ids.tolist()
    assert with_unseen(block(), None, share=0.2, seed=0).input_ids.tolist() == block().input_ids.tolist()
