"""Reciprocal rank of the first hit. Voorhees, "The TREC-8 question answering track" (1999)."""

import numpy as np

from features.ragged import Ragged
from training.metrics.hits import Lists, PerQuery, hits


def mrr(lists: Lists, targets: Ragged) -> PerQuery:
    """float64 [n] in [0, 1]: 1 / place of the first hit, or 0 without a hit."""
    found = hits(lists, targets)
    return np.where(found.any(axis=1), 1.0 / (found.argmax(axis=1) + 1.0), 0.0)
