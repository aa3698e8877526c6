"""How often the items of many requests are shown and looked at, by their rank in a release."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy import sparse

from base.arrays import Float32s, Float64s, Int64s
from training.value.drawn_exposure import drawn_exposure
from training.value.exposure import exposure
from training.value.ordering import Ordering


@dataclass(frozen=True)
class Policy:
    """The policy that draws from an ordering (section `policy` of `params.yaml`)."""

    temperature: float
    epsilon: float
    diversity: float = 0.0


@dataclass(frozen=True)
class Looks:
    """Expected looks by rank of many requests.

    values: float64, the tables of all distinct requests, one after the other; start: int64 [n], of
    each request's; unranked: float64 [n], of an item that is no candidate.
    """

    values: Float64s
    start: Int64s
    unranked: Float64s

    def of(self, rows: Int64s, ranks: Int64s) -> Float64s:
        """Expected looks of items of requests `rows` with these ranks (−1: no candidate)."""
        found = self.values[self.start[rows] + np.maximum(ranks, 0)]
        return np.where(ranks >= 0, found, self.unranked[rows])


class Exposures(Protocol):
    """The expected exposure of the items of n requests under a policy."""

    def by_slot(self, rows: Int64s, ranks: Int64s) -> Float64s:
        """Exposure in each slot of items of requests `rows` with these ranks (−1: no candidate):
        float64 [m, slots]."""

    def looks(self, by_slot: Float64s) -> Looks:
        """Expected looks, if slots are looked at so often, float64 [slots]."""


def exposures(
    ordering: Ordering,
    eligible: Int64s,
    slots: int,
    policy: Policy,
    categories: sparse.csr_matrix | None = None,
) -> Exposures:
    """The exposures under a policy.

    eligible: int64 [n], number of eligible items; categories: multi-hot [catalogue, categories],
    needed if the policy has a diversity penalty (ValueError).
    """
    counts = ordering.counts
    eligible = np.maximum(eligible, counts)
    if policy.diversity <= 0:
        return _Tabled(counts, eligible, slots, policy)
    if categories is None:
        raise ValueError("the policy has a diversity penalty: categories are needed")
    drawn = drawn_exposure(
        ordering, eligible, slots, policy.temperature, policy.epsilon, policy.diversity, categories
    )
    return _Drawn(drawn)


@dataclass(frozen=True)
class _Tabled:
    """Without a penalty, requests with the same numbers of items share a table."""

    counts: Int64s
    eligible: Int64s
    slots: int
    policy: Policy

    def by_slot(self, rows: Int64s, ranks: Int64s) -> Float64s:
        pairs, group = self._groups(rows)
        temperature, epsilon = self.policy.temperature, self.policy.epsilon
        tables = [exposure(*pair, self.slots, temperature, epsilon) for pair in pairs]
        lengths = np.array([len(table.ranked) for table in tables])
        ranked = np.concatenate([np.zeros((0, self.slots)), *(table.ranked for table in tables)])
        explored = np.array([table.explored for table in tables]).reshape(-1, self.slots)
        result = explored[group]
        known = ranks >= 0
        result[known] = ranked[((np.cumsum(lengths) - lengths)[group] + ranks)[known]]
        return result

    def looks(self, by_slot: Float64s) -> Looks:
        pairs, group = self._groups(np.arange(len(self.counts)))
        shape = tuple(by_slot.tolist())
        tables = [
            _table(count, eligible, self.policy.temperature, self.policy.epsilon, shape)
            for count, eligible in pairs
        ]
        lengths = np.array([len(ranked) + 1 for ranked, _ in tables])
        starts = np.cumsum(lengths) - lengths
        values = np.concatenate([np.append(ranked, 0.0) for ranked, _ in tables])
        unranked = np.array([explored for _, explored in tables])
        return Looks(values, starts[group], unranked[group])

    def _groups(self, rows: Int64s) -> tuple[list[tuple[int, int]], Int64s]:
        """The distinct pairs of numbers, and which of them each of `rows` has."""
        both = np.stack([self.counts[rows], self.eligible[rows]], axis=1)
        pairs, group = np.unique(both, axis=0, return_inverse=True)
        return [(int(c), int(e)) for c, e in pairs], group.reshape(-1)


@dataclass(frozen=True)
class _Drawn:
    """With a penalty, each request has a table of its own, float32 [n, C + 1, slots]."""

    table: Float32s

    def by_slot(self, rows: Int64s, ranks: Int64s) -> Float64s:
        return self.table[rows, ranks].astype(np.float64)

    def looks(self, by_slot: Float64s) -> Looks:
        count, width, _ = self.table.shape
        values: Float64s = self.table @ by_slot
        return Looks(values.reshape(-1), np.arange(count) * width, values[:, -1])


@lru_cache(maxsize=16384)
def _table(
    candidates: int, eligible: int, temperature: float, epsilon: float, looks: tuple[float, ...]
) -> tuple[Float64s, float]:
    table = exposure(candidates, eligible, len(looks), temperature, epsilon)
    return table.ranked @ np.array(looks), float(table.explored @ np.array(looks))
