"""Intra-list diversity: how different the items of a list are from each other.

Ziegler et al., "Improving recommendation lists through topic diversification" (2005).
"""

import numpy as np

from base.arrays import Float32s
from training.metrics.hits import Lists, PerQuery


def diversity(lists: Lists, vectors: Float32s) -> PerQuery:
    """float64 [n]: mean of 1 − cosine over all pairs in a list, 0 for fewer than two items.

    vectors: float32 [items, d], unit or zero rows.
    """
    shown = (lists >= 0).astype(np.float64)
    rows = vectors[np.maximum(lists, 0)].astype(np.float64) * shown[:, :, None]
    # The sum of all pairwise products is the square of the sum minus the sum of the squares.
    total = rows.sum(axis=1)
    similar = (total**2).sum(axis=1) - (rows**2).sum(axis=(1, 2))
    length = shown.sum(axis=1)
    pairs = length * (length - 1)
    return np.where(pairs > 0, 1.0 - similar / np.maximum(pairs, 1.0), 0.0)
