"""Normalised discounted cumulative gain with binary relevance.

Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (2002).
"""

import numpy as np

from features.ragged import Ragged
from training.metrics.hits import Lists, PerQuery, discounts, hits, target_counts


def ndcg(lists: Lists, targets: Ragged) -> PerQuery:
    """float64 [n] in [0, 1]; the ideal list holds min(k, number of targets) targets."""
    k = lists.shape[1]
    weights = discounts(k)
    gained = hits(lists, targets) @ weights
    ideal = np.cumsum(weights)[np.minimum(target_counts(targets).astype(np.int64), k) - 1]
    return np.asarray(gained / ideal, dtype=np.float64)
