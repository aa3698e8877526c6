"""Recall: the share of the chosen items that the list contains."""

import numpy as np

from features.ragged import Ragged
from training.metrics.hits import Lists, PerQuery, hits, target_counts


def recall(lists: Lists, targets: Ragged) -> PerQuery:
    """float64 [n] in [0, 1]: hits divided by the number of targets (not capped at k)."""
    return np.asarray(hits(lists, targets).sum(axis=1) / target_counts(targets), dtype=np.float64)
