"""Judge any system in the same way: from lists and what users chose to metrics by query."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from base.arrays import Bools, Float64s, Int64s, Scores
from base.params import Float, Int
from features.items.catalogue import Catalogue
from features.requests.requests import Queries, Requests
from training.bootstrap import Interval, interval, paired_interval
from training.metrics.coverage import coverage
from training.metrics.diversity import diversity
from training.metrics.hits import Lists
from training.metrics.lists import against_ties, top_lists
from training.metrics.map import average_precision
from training.metrics.mrr import mrr
from training.metrics.ndcg import ndcg
from training.metrics.novelty import novelty
from training.metrics.precision import precision
from training.metrics.recall import recall

#: Scores (queries × items) held in memory at a time: 32 MB, plus copies.
CHUNK_SCORES: Final = 2**23

ACCURACY = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "mrr": mrr,
    "map": average_precision,
}


@dataclass(frozen=True)
class EvaluateParams:
    """Section `evaluate`: how systems are judged, by the stage and again by the gate."""

    k: Int = 10
    """Length of the judged lists."""

    seed: Int = 1
    """Seed of the bootstrap."""

    confidence: Float = 0.9
    """Two-sided level of the intervals of differences. The gate uses one bound at a time."""


@dataclass(frozen=True)
class Judged:
    """The results of one system on a set of queries.

    users: int64 [n]; lists: int32 [n, k]; metrics: name (`ndcg@10`, …) to float64 [n].
    """

    users: Int64s
    lists: Lists
    metrics: dict[str, Float64s]

    def interval(self, metric: str, seed: int, rows: Bools | None = None) -> Interval:
        """Interval of the user-averaged `metric` over `rows` (bool [n]; all if None)."""
        chosen = slice(None) if rows is None else rows
        return interval(self.metrics[metric][chosen], self.users[chosen], seed)

    def minus(
        self,
        other: "Judged",
        metric: str,
        seed: int,
        rows: Bools | None = None,
        confidence: float = 0.95,
    ) -> Interval:
        """Interval of the user-averaged difference to `other`, paired on the same queries."""
        if not np.array_equal(self.users, other.users):
            raise ValueError("the two systems were not judged on the same queries")
        chosen = slice(None) if rows is None else rows
        return paired_interval(
            self.metrics[metric][chosen],
            other.metrics[metric][chosen],
            self.users[chosen],
            seed,
            confidence=confidence,
        )


def judge(queries: Queries, lists: Lists) -> Judged:
    """Judge `lists`, int32 [n, k], against the targets of `queries`."""
    k = lists.shape[1]
    metrics = {f"{name}@{k}": of(lists, queries.targets) for name, of in ACCURACY.items()}
    return Judged(queries.users, lists, metrics)


def judge_scores(queries: Queries, scores: Scores, k: int, items: Lists | None = None) -> Judged:
    """Judge scores [n, m] (see `top_lists`). Ties count against the model."""
    return judge(queries, top_lists(against_ties(scores, queries.targets, items), k, items))


def judge_by(
    queries: Queries, score: Callable[[Requests], Scores], k: int, catalogue_size: int
) -> Judged:
    """Judge the scores [n, catalogue] that `score` returns, about CHUNK_SCORES at a time."""
    size = max(1, CHUNK_SCORES // max(catalogue_size, 1))
    parts = [
        queries.select(np.arange(first, min(first + size, len(queries))))
        for first in range(0, len(queries), size)
    ]
    lists = [top_lists(against_ties(score(part.requests), part.targets), k) for part in parts]
    return judge(queries, np.concatenate([np.zeros((0, k), dtype=np.int32), *lists]))


def beyond_accuracy(lists: Lists, catalogue: Catalogue, counts: Float64s) -> dict[str, float]:
    """Coverage, novelty and diversity of a system's lists. counts: past events by item."""
    k = lists.shape[1]
    return {
        f"coverage@{k}": coverage(lists, len(catalogue)),
        f"novelty@{k}": float(novelty(lists, counts).mean()),
        f"diversity@{k}": float(diversity(lists, catalogue.text).mean()),
    }
