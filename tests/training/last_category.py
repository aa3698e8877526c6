"""A source as a user might add it: the popular items of the last item's category."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import sparse

from base.arrays import Float32s, Int32s, Scores
from features.items.catalogue import Catalogue
from training.sources.asked import Asked
from training.sources.log import Log
from training.sources.source import MEMORY, Attached, Source
from training.sources.stage import run


@dataclass(frozen=True)
class LastCategory(Source):
    """events: int32 [trained], how often each item was chosen."""

    events: Int32s

    name = "last_category"
    stage = "last_category"
    silent_at_zero = True
    scores_new_users = False
    scores_new_items = False

    @classmethod
    def fit(cls, log: Log, until: int, params: Any, memory: int = MEMORY) -> Self:  # noqa: ARG003
        return cls(np.bincount(log.events(until).items).astype(np.int32))

    def attach(self, catalogue: Catalogue) -> Attached:
        weight = np.zeros(len(catalogue), dtype=np.float32)
        weight[: len(self.events)] = np.log1p(self.events)
        return AttachedLastCategory(catalogue.categories, weight)


@dataclass(frozen=True)
class AttachedLastCategory:
    """categories: float32 sparse [catalogue, categories]; weight: float32 [catalogue]."""

    categories: sparse.csr_matrix
    weight: Float32s

    def scores(self, asked: Asked) -> Scores:
        histories = asked.requests.histories
        known = np.flatnonzero(histories.lengths)
        last = histories.items[histories.offsets[known + 1] - 1]
        scores = np.zeros((len(asked.requests), len(self.weight)), dtype=np.float32)
        scores[known] = (self.categories[last] @ self.categories.T).toarray() * self.weight
        return scores


if __name__ == "__main__":
    run(LastCategory)
