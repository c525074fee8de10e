"""The track ids of a matcher: rows in their order, so that of equal scores the lower id comes first."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def ascending_ids(track_ids: Any) -> Any:
    """The ids, a sequence of strings or a pyarrow array, as one pyarrow array.

    Raises ValueError for the first that is null, repeated or out of order.
    """
    ids = track_ids if isinstance(track_ids, pa.Array | pa.ChunkedArray) else pa.array(track_ids, type=pa.string())
    ids = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    is_ascending = pc.fill_null(pc.less(ids[:-1], ids[1:]), False)
    if ids.null_count or not pc.all(is_ascending, min_count=0).as_py():
        row = pc.index(is_ascending, False).as_py() + 1
        raise ValueError(f"row {row}: track id {ids[row]} is null, repeated or out of order; sort by track_id first")
    return ids
