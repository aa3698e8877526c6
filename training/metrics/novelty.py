"""Novelty: how surprising the listed items are, as self-information.

Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems" (2010).
"""

import numpy as np

from base.arrays import Float64s
from training.metrics.hits import Lists, PerQuery


def novelty(lists: Lists, counts: Float64s) -> PerQuery:
    """float64 [n], bits: mean of −log2 of an item's share of past events, `counts` [items].

    One event is added to every item so that a new one has a finite value. An empty list is 0.
    """
    share = (counts + 1.0) / (counts + 1.0).sum()
    shown = lists >= 0
    bits = np.where(shown, -np.log2(share)[np.maximum(lists, 0)], 0.0)
    return np.asarray(bits.sum(axis=1) / np.maximum(shown.sum(axis=1), 1), dtype=np.float64)
