"""Training rows in which some tracks hide the modality that cold tracks lack, so that a model learns to say those too.

A track that no playlist holds has the missing token of the playlist modality. Every track of a training row has a code
there, so a model that sees the rows as they are never writes the missing token, and no cold track can be recommended.
"""

import numpy as np
import numpy.typing as npt

from assets.shards.packing import IGNORED_LABEL, RowBlock
from assets.training.losses import Blank

# B rows, C context length


def with_unseen(block: RowBlock, hidden: Blank | None, *, share: float, seed: npt.ArrayLike) -> RowBlock:
    """The block with the missing token, as input and as label, in place of a share of the modality's, drawn by seed."""
    if hidden is None or not share:
        return block
    is_of_modality_BC = (block.input_ids >= hidden.first) & (block.input_ids < hidden.stop)
    draws = np.random.default_rng(np.asarray(seed, np.uint64)).random(np.count_nonzero(is_of_modality_BC))
    is_hidden_BC = np.zeros(block.input_ids.shape, np.bool_)
    is_hidden_BC[is_of_modality_BC] = draws < share
    missing, is_label_BC = np.int32(hidden.missing), block.labels != IGNORED_LABEL
    return block._replace(
        input_ids=np.where(is_hidden_BC, missing, block.input_ids),
        labels=np.where(is_hidden_BC & is_label_BC, missing, block.labels),
    )
