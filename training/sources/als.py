"""Collaborative filtering by alternating least squares (ALS) on implicit feedback.

Users and items get vectors whose products tell chosen items from all others (Hu, Koren and
Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008). A release keeps the
items' vectors only. A user's vector is computed at each request from the history that it came with,
so a choice counts from the next request on, for users unknown in training too. As a DVC stage:
`python -m training.sources.als data/split data/features data/sources/als`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
from scipy import sparse

from base.arrays import Float32s, Float64s, Int64s, Scores
from base.params import Float, Int
from features.items.catalogue import Catalogue
from features.requests.requests import Requests
from features.schema import DAY
from training.sources.asked import Asked, ItemTables
from training.sources.choosing import best
from training.sources.log import Log
from training.sources.source import MEMORY, Attached, Source
from training.sources.stage import run

#: Lengths of a vector among which a fit chooses.
FACTORS: Final = (8, 16, 32, 64)
#: Numbers of history entries times factors that are processed together: a bound of memory.
_CELLS: Final = 4_000_000
#: A smaller pull could leave a user without a solution.
_LEAST_REG: Final = 1e-6


@dataclass(frozen=True)
class AlsParams:
    """Section `als`."""

    factors: Int | None = None
    """Length of a vector. None: the one of FACTORS that ranks the rank window best."""

    confidence: Float = 10.0
    """How much more a choice of today counts than an item that was not chosen."""

    reg: Float = 10.0
    """Pull of all vectors towards 0."""

    half_life_days: Float = 14.0
    """Age, in days, at which the confidence in a choice halves."""

    sweeps: Int = 15
    seed: Int = 1


@dataclass(frozen=True)
class Als(Source):
    """What ALS learned of the items.

    vectors: float32 [trained, factors], 0 for items that nobody had chosen; confidence, reg,
    half_life_days: as in AlsParams.
    """

    vectors: Float32s
    confidence: float
    reg: float
    half_life_days: float

    name = "als"
    params = AlsParams
    stage = "als"
    tuned = True
    silent_at_zero = True
    scores_new_users = False
    scores_new_items = False
    judged = True

    @classmethod
    def fit(cls, log: Log, until: int, params: AlsParams, memory: int = MEMORY) -> Self:
        events = log.events(until)
        weights = _weights(until - events.timestamps, params.half_life_days)
        chosen = sparse.csr_matrix(
            (weights, (events.users, events.items)),
            shape=(int(events.users.max(initial=-1)) + 1, events.known_items),
        )
        if params.factors is not None:
            return cls._fitted(chosen, params, params.factors)
        queries, catalogue = log.choices()
        tables = ItemTables(catalogue)
        made = {size: cls._fitted(chosen, params, size) for size in FACTORS}

        def scorer(size: int) -> Callable[[Requests], Scores]:
            attached = made[size].attach(catalogue)
            return lambda requests: attached.scores(Asked(requests, tables, 1, 1.0))

        return made[best(FACTORS, scorer, queries, catalogue)]

    @classmethod
    def _fitted(cls, chosen: sparse.csr_matrix, params: AlsParams, factors: int) -> Self:
        """chosen: float64 [users, items], the weights of all choices."""
        # The service, which only scores, is installed without these.
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        vectors = np.zeros((chosen.shape[1], factors), dtype=np.float32)
        if chosen.nnz:
            confidence = chosen.astype(np.float32)
            confidence.data = 1.0 + params.confidence * confidence.data
            # Its own threads divide the work, and BLAS should not divide it again.
            with threadpool_limits(1, "blas"):
                model = AlternatingLeastSquares(
                    factors, params.reg, 1.0, iterations=params.sweeps, random_state=params.seed
                )
                model.fit(confidence, show_progress=False)
            vectors = np.asarray(model.item_factors)
        return cls(vectors, params.confidence, params.reg, params.half_life_days)

    def attach(self, catalogue: Catalogue) -> Attached:
        return AttachedAls(self, len(catalogue))


@dataclass(frozen=True)
class AttachedAls:
    """ALS attached to one catalogue."""

    als: Als
    catalogue_size: int

    @cached_property
    def _everything(self) -> Float64s:
        """What items that were not chosen say of a user's vector, float64 [factors, factors]."""
        vectors = self.als.vectors
        pull = max(self.als.reg, _LEAST_REG) * np.eye(vectors.shape[1])
        return np.asarray((vectors.T @ vectors).astype(np.float64) + pull)

    def scores(self, asked: Asked) -> Scores:
        scores = np.zeros((len(asked.requests), self.catalogue_size), dtype=np.float32)
        users = self._users(asked).astype(np.float32)
        np.matmul(users, self.als.vectors.T, out=scores[:, : len(self.als.vectors)])
        return scores

    def _users(self, asked: Asked) -> Float64s:
        """The vector of each request's user, float64 [n, factors]; 0 without a known choice."""
        histories, vectors = asked.requests.histories, self.als.vectors
        ages = asked.requests.timestamps[histories.rows] - histories.timestamps
        weights = _weights(ages, self.als.half_life_days)
        known = histories.items < len(vectors)
        chosen = sparse.csr_matrix(
            (weights[known], (histories.rows[known], histories.items[known])),
            shape=(len(histories), len(vectors)),
        )
        chosen.data *= self.als.confidence
        lengths = np.diff(chosen.indptr)
        users = np.zeros((len(histories), vectors.shape[1]))
        longest = max(int(lengths.max(initial=0)), vectors.shape[1])
        step = max(_CELLS // max(longest * vectors.shape[1], 1), 1)
        for start in range(0, len(users), step):
            users[start : start + step] = self._solved(chosen[start : start + step])
        return users

    def _solved(self, chosen: sparse.csr_matrix) -> Float64s:
        """The vectors that explain best what each row chose, float64 [n, factors].

        chosen: float64 [n, trained], how much more each choice counts than an item not chosen.
        """
        lengths = np.diff(chosen.indptr)
        places = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
        items = np.zeros(places.shape, dtype=np.int64)
        more, confidence = np.zeros(places.shape), np.zeros(places.shape)
        items[places], more[places] = chosen.indices, chosen.data
        confidence[places] = 1.0 + chosen.data
        vectors = self.als.vectors[items].astype(np.float64)
        products = (vectors * more[:, :, None]).transpose(0, 2, 1) @ vectors
        wanted = (vectors * confidence[:, :, None]).sum(axis=1)
        found = np.linalg.solve(self._everything + products, wanted[:, :, None])
        return np.asarray(found[:, :, 0])


def _weights(ages: Int64s, half_life_days: float) -> Float64s:
    """Weight of choices, float64: 1 now; it halves every `half_life_days`. ages: µs, at least 0."""
    return np.asarray(np.power(0.5, np.maximum(ages, 0) / (half_life_days * DAY)))


if __name__ == "__main__":
    run(Als)
