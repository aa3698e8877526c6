"""Which recommended items were chosen: the one thing all accuracy metrics look at."""

import numpy as np
import numpy.typing as npt

from features.ragged import Ragged

Lists = npt.NDArray[np.int32]
PerQuery = npt.NDArray[np.float64]


def hits(lists: Lists, targets: Ragged) -> npt.NDArray[np.bool_]:
    """bool [n, k]: is the item at this place among the query's targets?

    Raises ValueError when the number of rows differs or a query has no target.
    """
    if len(lists) != len(targets):
        raise ValueError(f"{len(lists)} lists for {len(targets)} target sets")
    if (targets.lengths == 0).any():
        raise ValueError("every judged query needs at least one target")
    size = int(max(lists.max(initial=0), targets.items.max(initial=0))) + 1
    keys = np.arange(len(lists), dtype=np.int64)[:, None] * size + lists
    wanted = targets.rows * size + targets.items
    return np.isin(keys, wanted) & (lists >= 0)


def target_counts(targets: Ragged) -> npt.NDArray[np.float64]:
    """Number of targets of each query, float64 [n]."""
    return targets.lengths.astype(np.float64)


def discounts(k: int) -> npt.NDArray[np.float64]:
    """1 / log2(place + 1) for places 1 … k, float64 [k]."""
    places = np.arange(2, k + 2, dtype=np.float64)
    return np.asarray(1.0 / np.log2(places), dtype=np.float64)
