"""Answers without a release: by recency-popularity, or in an empty system the newest items."""

from typing import Literal

import numpy as np

from base.arrays import Bools, Int32s
from features.requests.requests import Requests
from features.schema import ITEM_FEATURES, POPULARITY_DAYS

WIDTH = 200
#: A value of `fallback` in answers: user features are unknown, and the history comes from the log.
NO_ONLINE_STORE = "no online store"
_WINDOWS = [ITEM_FEATURES.index(f"item_events_{days}d") for days in POPULARITY_DAYS]

Source = Literal["recency-popular", "catalogue"]


def rank(
    requests: Requests, eligible: Bools, created_at: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[Int32s, np.ndarray[tuple[int, int], np.dtype[np.float32]], Source]:
    """Candidates int32 [1, C], scores float32 [1, C] and the source used, for one request.

    Ranks by popularity in the shortest window that has any event; without events, the newest items
    come first. eligible: bool [1, catalogue]; created_at: int64 [catalogue], µs.
    """
    source: Source = "recency-popular"
    values = requests.item_features[requests.snapshot[0]][:, _WINDOWS]
    windows = np.nan_to_num(values, nan=0.0)
    busy = np.flatnonzero((windows > 0).sum(axis=0) >= 10)
    scores = windows[:, busy[0] if len(busy) else -1]
    if not (scores > 0).any():
        source = "catalogue"
        scores = np.argsort(np.argsort(created_at, kind="stable"), kind="stable")
    scores = scores.astype(np.float32)
    items = np.flatnonzero(eligible[0])
    best = items[np.argsort(-scores[items], kind="stable")[:WIDTH]]
    return best.astype(np.int32)[None], scores[best][None], source
