"""Turn scores into the lists that are judged."""

import numpy as np

from base.arrays import Int64s, Scores
from features.ragged import Ragged
from training.metrics.hits import Lists, hits


def top_lists(scores: Scores, k: int, items: Lists | None = None) -> Lists:
    """The k best of each row, int32 [n, k], -1 where there are fewer. Equal scores keep their
    order.

    scores: float32 [n, m], -inf for entries that may not be shown; items: int32 [n, m], the item of
    each entry (its column number if None). Raises ValueError on NaN or +inf, so that the output of
    a broken model is never ranked.
    """
    if np.isnan(scores).any() or np.isposinf(scores).any():
        raise ValueError("scores hold NaN or infinity")
    order = best_columns(scores, k)
    best = np.take_along_axis(scores, order, axis=1)
    chosen = order if items is None else np.take_along_axis(items, order, axis=1)
    lists = np.where(np.isneginf(best), -1, chosen).astype(np.int32)
    short = k - lists.shape[1]
    return np.pad(lists, ((0, 0), (0, max(short, 0))), constant_values=-1)


def against_ties(scores: Scores, targets: Ragged, items: Lists | None = None) -> Scores:
    """Lower the score of every target to the next smaller float, so that ties count against the
    model."""
    n, m = scores.shape
    columns = items if items is not None else np.broadcast_to(np.arange(m, dtype=np.int32), (n, m))
    lower = np.nextafter(scores, np.float32(-np.inf), dtype=np.float32)
    return np.where(hits(columns, targets) & np.isfinite(scores), lower, scores)


def best_columns(scores: Scores, k: int) -> Int64s:
    """The columns of the k greatest values of each row, greatest first. Equal values keep their
    order.

    scores: float32 [n, m], without NaN. Returns int64 [n, min(k, m)].

    A value and its column are put into one integer, so that no two are equal. `np.partition` is
    fifteen times as slow on rows that are mostly zeros, as those of most sources are (docs/log.md).
    """
    m = scores.shape[1]
    k = min(k, m)
    bits = (scores + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    # The bits of a negative float count downwards.
    keys = (bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))).astype(np.int64) << 32
    keys |= np.arange(m - 1, -1, -1, dtype=np.int64)
    if 0 < k < m:
        keys = np.partition(keys, m - k, axis=1)
    greatest = np.sort(keys[:, m - k :], axis=1)[:, ::-1]
    return np.asarray(m - 1 - (greatest & 0xFFFFFFFF))
