"""From scores to the lists that are judged."""

import numpy as np

from base.arrays import Int64s, Scores
from features.ragged import Ragged
from training.metrics.hits import Lists, hits


def top_lists(scores: Scores, k: int, items: Lists | None = None) -> Lists:
    """The k best of each row, int32 [n, k], -1 where fewer are left; equal scores keep their order.

    scores: float32 [n, m], -inf where an entry may not be shown; items: int32 [n, m], what each
    entry is (its column number if None). Raises ValueError on NaN or +inf: a broken model must
    not be ranked, least of all first.
    """
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise ValueError("scores hold NaN or infinity")
    order = _best(scores, k)
    best = np.take_along_axis(scores, order, axis=1)
    chosen = order if items is None else np.take_along_axis(items, order, axis=1)
    lists = np.where(np.isneginf(best), -1, chosen).astype(np.int32)
    short = k - lists.shape[1]
    return np.pad(lists, ((0, 0), (0, max(short, 0))), constant_values=-1)


def against_ties(scores: Scores, targets: Ragged, items: Lists | None = None) -> Scores:
    """The same scores with every target one float below, so that a tie counts against the model."""
    n, m = scores.shape
    columns = items if items is not None else np.broadcast_to(np.arange(m, dtype=np.int32), (n, m))
    lower = np.nextafter(scores, np.float32(-np.inf), dtype=np.float32)
    return np.where(hits(columns, targets) & np.isfinite(scores), lower, scores)


def _best(scores: Scores, k: int) -> Int64s:
    """The columns of the k greatest of each row, greatest first; equal ones keep their order.

    Only what reaches the k-th greatest is sorted.
    """
    n, m = scores.shape
    negated = -scores
    if k >= m:
        return np.argsort(negated, axis=1, kind="stable")
    reached = negated <= np.partition(negated, k - 1, axis=1)[:, k - 1 : k]
    row, column = np.nonzero(reached)
    order = np.lexsort((negated[row, column], row))
    starts = np.searchsorted(row, np.arange(n))
    return np.asarray(column[order][starts[:, None] + np.arange(k)])
