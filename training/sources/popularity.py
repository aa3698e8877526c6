"""Recency-popularity: the number of events in the last days. Every gate compares with this
baseline.

As a DVC stage: `python -m training.sources.popularity data/split data/features
data/sources/popularity`.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from base.arrays import Scores
from features.items.catalogue import Catalogue
from features.requests.requests import Queries, Requests
from features.schema import ITEM_FEATURES, POPULARITY_DAYS
from training.eligible import eligible_items, masked
from training.judging import judge_by
from training.sources.asked import Asked
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


def best_popularity(queries: Queries, catalogue: Catalogue, k: int = 10) -> int:
    """The window of POPULARITY_DAYS with the best NDCG on `queries`; the shortest one in a tie."""
    if len(queries) == 0:
        return POPULARITY_DAYS[len(POPULARITY_DAYS) // 2]

    def ndcg(days: int) -> float:
        def scores(requests: Requests) -> Scores:
            eligible = eligible_items(catalogue, requests, repeats=False)
            return masked(popularity_scores(requests, days), eligible)

        judged = judge_by(queries, scores, k, len(catalogue))
        return float(judged.metrics[f"ndcg@{k}"].mean())

    found = {days: ndcg(days) for days in POPULARITY_DAYS}
    return max(POPULARITY_DAYS, key=lambda days: (found[days], -days))


if __name__ == "__main__":
    run(Popularity)
