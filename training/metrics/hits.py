"""Which recommended items were chosen. All accuracy metrics are computed from this."""

import numpy as np

from base.arrays import Bools, Float64s, Int32s
from features.ragged import Ragged

Lists = Int32s
PerQuery = Float64s


def hits(lists: Lists, targets: Ragged) -> Bools:
    """bool [n, k]: whether the item at this place is among the query's targets.

    Raises ValueError if the numbers of rows differ or a query has no target.
    """
    if len(lists) != len(targets):
        raise ValueError(f"{len(lists)} lists for {len(targets)} target sets")
    if (targets.lengths == 0).any():
        raise ValueError("every judged query needs at least one target")
    size = int(max(lists.max(initial=0), targets.items.max(initial=0))) + 1
    keys = np.arange(len(lists), dtype=np.int64)[:, None] * size + lists
    wanted = targets.rows * size + targets.items
    return np.isin(keys, wanted) & (lists >= 0)


def target_counts(targets: Ragged) -> Float64s:
    """Number of targets of each query, float64 [n]."""
    return targets.lengths.astype(np.float64)


def discounts(k: int) -> Float64s:
    """1 / log2(place + 1) for places 1 … k, float64 [k]."""
    places = np.arange(2, k + 2, dtype=np.float64)
    return np.asarray(1.0 / np.log2(places), dtype=np.float64)
