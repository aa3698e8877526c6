"""The recent history of each request as one sparse row of item weights."""

import numpy as np
from scipy import sparse

from base.arrays import Float32s
from features.ragged import Histories


def recency_weights(histories: Histories, half_life: float) -> Float32s:
    """float32 [tokens]: 1 for the newest entry of a history; it halves every `half_life`
    entries."""
    last = np.repeat(histories.offsets[1:] - 1, histories.lengths)
    age = last - np.arange(len(last))
    return np.power(0.5, age / half_life).astype(np.float32)


def recent_items(
    histories: Histories, count: int | None, half_life: float, catalogue_size: int
) -> sparse.csr_matrix:
    """float32 [n, catalogue]: recency weights of the last `count` items, with rows summing to 1.

    count: None uses the whole history.
    """
    recent = histories if count is None else histories.last(count)
    weights = recency_weights(recent, half_life)
    lengths = recent.lengths
    totals = np.bincount(recent.rows, weights=weights, minlength=len(recent))
    weights = (weights / np.repeat(totals, lengths)).astype(np.float32)
    return sparse.csr_matrix(
        (weights, recent.items, recent.offsets), shape=(len(recent), catalogue_size)
    )
