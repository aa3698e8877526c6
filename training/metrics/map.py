"""Average precision, cut off at k. Manning et al., "Introduction to IR" (2008), section 8.4."""

import numpy as np

from features.ragged import Ragged
from training.metrics.hits import Lists, PerQuery, hits, target_counts


def average_precision(lists: Lists, targets: Ragged) -> PerQuery:
    """float64 [n] in [0, 1]: precision at each hit, summed and divided by min(k, number of
    targets)."""
    found = hits(lists, targets)
    k = lists.shape[1]
    at_hit = np.cumsum(found, axis=1) / np.arange(1, k + 1) * found
    best = np.minimum(target_counts(targets), k)
    return np.asarray(at_hit.sum(axis=1) / best, dtype=np.float64)
