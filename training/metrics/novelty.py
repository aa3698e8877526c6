"""Novelty: how surprising the listed items are, measured as self-information.

Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems" (2010).
"""

import numpy as np

from base.arrays import Float64s
from training.metrics.hits import Lists, PerQuery


def novelty(lists: Lists, counts: Float64s) -> PerQuery:
    """float64 [n], bits: mean of −log2 of each item's share of past events. An empty list has 0.

    counts: float64 [items]. One event is added to every item, so that new items have a finite
    value.
    """
    share = (counts + 1.0) / (counts + 1.0).sum()
    shown = lists >= 0
    bits = np.where(shown, -np.log2(share)[np.maximum(lists, 0)], 0.0)
    return np.asarray(bits.sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)
