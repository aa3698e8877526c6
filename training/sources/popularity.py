"""Recency-popularity: the number of events in the last days. Every gate compares with this
baseline.

As a DVC stage: `python -m training.sources.popularity data/split data/features
data/sources/popularity`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from base.arrays import Scores
from features.items.catalogue import Catalogue
from features.requests.requests import Queries, Requests
from features.schema import ITEM_FEATURES, POPULARITY_DAYS
from training.sources.asked import Asked
from training.sources.choosing import best
from training.sources.log import Log
from training.sources.source import MEMORY, Attached, Source
from training.sources.stage import run


@dataclass(frozen=True)
class Popularity(Source):
    """The same order for everybody.

    The counts come from the features of a request, so only the length of the window is stored.
    """

    days: int

    name = "popularity"
    stage = "popularity"
    tuned = True
    judged = True

    @classmethod
    def fit(cls, log: Log, until: int, params: Any, memory: int = MEMORY) -> Self:
        return cls(best_popularity(*log.choices()))

    def attach(self, catalogue: Catalogue) -> Attached:
        return self

    def scores(self, asked: Asked) -> Scores:
        return popularity_scores(asked.requests, self.days)


def popularity_scores(requests: Requests, days: int) -> Scores:
    """float32 [n, catalogue]: events in the last `days`. The longest window breaks ties.

    An item without features counts as one without events.
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


def best_popularity(queries: Queries, catalogue: Catalogue) -> int:
    """The window of POPULARITY_DAYS that ranks `queries` best; the shortest in a tie."""

    def scorer(days: int) -> Callable[[Requests], Scores]:
        return lambda requests: popularity_scores(requests, days)

    return best(POPULARITY_DAYS, scorer, queries, catalogue)


if __name__ == "__main__":
    run(Popularity)
