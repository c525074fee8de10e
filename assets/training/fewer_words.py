"""Training rows in which a share of the responses' words is learned in a step, drawn anew each time.

In eq. 1 every labelled token counts alike, so that most of a small model's steps go to wording. Learning a share of the
words gives the music tokens as much more weight, and the head, a large part of a small model's work, less to do.
"""

import numpy as np
import numpy.typing as npt

from assets.shards.packing import IGNORED_LABEL, RowBlock

# B rows, C context length


def with_fewer_words(block: RowBlock, first_id: int, *, share: float, seed: npt.ArrayLike) -> RowBlock:
    """The block with labels on all music tokens, which begin at `first_id`, and on a share of the others."""
    if share >= 1:
        return block
    draws_BC = np.random.default_rng(np.asarray(seed, np.uint64)).random(block.labels.shape)
    is_left_out_BC = (block.input_ids < first_id) & (draws_BC >= share)
    return block._replace(labels=np.where(is_left_out_BC, np.int32(IGNORED_LABEL), block.labels))
