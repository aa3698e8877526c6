"""Recency-popularity: events of the last days, the baseline that every gate includes."""

import numpy as np
import numpy.typing as npt

from features.requests.requests import Requests
from features.schema import ITEM_FEATURES, POPULARITY_DAYS


def popularity_scores(requests: Requests, days: int) -> npt.NDArray[np.float32]:
    """float32 [n, catalogue]: events in the last `days`, ties broken by the longest window.

    An item without features counts as one with no events.
    """
    size = requests.item_features.shape[1]
    scores = np.empty((len(requests), size), dtype=np.float32)
    for snapshot in np.unique(requests.snapshot):
        table = requests.item_features[snapshot]
        events, longest = (
            np.nan_to_num(table[:, ITEM_FEATURES.index(f"item_events_{window}d")])
            for window in (days, max(POPULARITY_DAYS))
        )
        scores[requests.snapshot == snapshot] = events + longest / (1.0 + longest) * 0.5
    return scores
