"""Precision: the share of the list that the user chose."""

import numpy as np

from features.ragged import Ragged
from training.metrics.hits import Lists, PerQuery, hits


def precision(lists: Lists, targets: Ragged) -> PerQuery:
    """float64 [n] in [0, 1]: hits divided by k, even if the list is shorter than k."""
    return np.asarray(hits(lists, targets).mean(axis=1), dtype=np.float64)
