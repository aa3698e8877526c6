"""Expected exposure: the probability that the policy shows an item in a slot, whatever is above it.

The policy's propensities are exact given the slots above. Without these, the probability is a sum
over all prefixes, which is estimated here in two steps.

1. Slots that follow the ranking are drawn by Plackett-Luce. This is a race: each candidate arrives
   after an exponential time with its weight as rate, and the j-th arrival takes the j-th draw
   (Luce, 1959). So the probability is one integral over the time of arrival, for which the
   trapezoid rule over log(time) is accurate to about ten digits.
2. Each slot explores with probability epsilon, so the number of draws above a slot is binomial.
   What is neglected is that an explored candidate no longer takes part in the race, which matters
   in small catalogues only. There, slates are drawn and their propensities averaged.

Weights depend only on ranks (docs/adr/0006), so one table holds for all requests with the same
numbers of candidates and eligible items. A policy with a diversity penalty has no such table
(`drawn_exposure`).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from base.arrays import Float64s

#: Nodes of the trapezoid rule, and its limits in units of the logarithm of time.
_NODES: Final = 240
_BEFORE, _AFTER = 1e-9, 40.0
#: Largest share of a probability that the second step may neglect.
_NEGLIGIBLE: Final = 0.005
#: Slates drawn in small catalogues.
_SAMPLES: Final = 50_000


@lru_cache(maxsize=512)
def draws(candidates: int, slots: int, temperature: float) -> Float64s:
    """Probability that the candidate of rank r is the j-th draw: float64 [candidates, slots].

    Ranks and draws count from 0. If there are fewer candidates than slots, the last draws have
    probability 0. The result must not be changed, since it is shared.
    """
    if not candidates:
        return np.zeros((0, slots))
    weights = np.arange(1.0, candidates + 1.0) ** (-1.0 / temperature)
    times = np.geomspace(_BEFORE / weights.sum(), _AFTER / weights[-1], _NODES)
    step = np.log(times[1] / times[0])
    arrived = -np.expm1(-np.outer(weights, times))
    # others[r, j]: probability that exactly j of the other candidates have arrived, by time.
    before = _prefixes(arrived, slots)
    after = _prefixes(arrived[::-1], slots)[::-1]
    table = np.empty((candidates, slots))
    for rank in range(candidates):
        density = weights[rank] * times * np.exp(-weights[rank] * times) * step
        others = _convolved(before[rank], after[rank])
        table[rank] = others @ density
    table[:, candidates:] = 0.0
    table.setflags(write=False)
    return table


def _prefixes(arrived: Float64s, slots: int) -> Float64s:
    """Distribution of the number of arrivals (below `slots`) among the candidates before each one,
    float64 [candidates, slots, times]."""
    result = np.empty((len(arrived), slots, arrived.shape[1]))
    state = np.zeros((slots, arrived.shape[1]))
    state[0] = 1.0
    for rank, chance in enumerate(arrived):
        result[rank] = state
        moved = state[:-1] * chance
        state = state * (1.0 - chance)
        state[1:] += moved
    return result


def _convolved(first: Float64s, second: Float64s) -> Float64s:
    """Distribution of the sum of two numbers below [slots, times]."""
    total = np.zeros_like(first)
    for count, chance in enumerate(first):
        total[count:] += chance * second[: len(second) - count]
    return total


@dataclass(frozen=True)
class Exposure:
    """Expected exposure of one request's items, whose rows must not be changed.

    ranked: float64 [candidates, slots], by rank of the candidate; explored: float64 [slots], of any
    other eligible item.
    """

    ranked: Float64s
    explored: Float64s


@lru_cache(maxsize=2048)
def exposure(
    candidates: int, eligible: int, slots: int, temperature: float, epsilon: float
) -> Exposure:
    """The exposure under the policy of `serving.policy` without a diversity penalty.

    candidates: number of eligible candidates with a score; eligible: number of eligible items, at
    least as many. Slots beyond the number of eligible items have exposure 0.
    """
    if candidates > eligible:
        raise ValueError(f"{candidates} candidates, but only {eligible} eligible items")
    slots_filled = min(slots, eligible)
    ranked, explored = np.zeros((candidates, slots)), np.zeros(slots)
    if epsilon * slots > _NEGLIGIBLE * max(eligible - slots, 1):
        return _sampled(candidates, eligible, slots, temperature, epsilon)
    table = draws(candidates, slots_filled, temperature)
    drawn = np.zeros(slots_filled + 1)
    drawn[0] = 1.0  # distribution of the number of draws by rank in the slots above
    shown, other = np.zeros(candidates), 0.0
    for slot in range(slots_filled):
        # Once all candidates are drawn, only exploration is left.
        possible = np.arange(slots_filled) < candidates
        chance = np.where(possible, 1.0 - epsilon, 0.0) * drawn[:-1]
        exploring = 1.0 - chance.sum()
        left = eligible - slot
        if epsilon == 0.0 and slot < candidates:
            exploring = 0.0  # not the rounding error of a sum
        ranked[:, slot] = table @ chance * (1.0 - explored[:slot].sum())
        ranked[:, slot] += exploring * (1.0 - shown) / left
        explored[slot] = exploring * (1.0 - other) / left
        total = ranked[:, slot].sum() + (eligible - candidates) * explored[slot]
        ranked[:, slot] /= total
        explored[slot] /= total
        shown += ranked[:, slot]
        other += explored[slot]
        drawn[1:] += chance - np.append(chance[1:], 0.0)
        drawn[0] -= chance[0]
    ranked.setflags(write=False)
    explored.setflags(write=False)
    return Exposure(ranked, explored)


def _sampled(
    candidates: int, eligible: int, slots: int, temperature: float, epsilon: float
) -> Exposure:
    """The same by drawing slates and averaging the propensities of all items in each slot."""
    weights = np.zeros((_SAMPLES, eligible))
    weights[:, :candidates] = np.arange(1.0, candidates + 1.0) ** (-1.0 / temperature)
    left = np.ones((_SAMPLES, eligible), dtype=np.bool_)
    uniforms = np.random.default_rng(0).random((_SAMPLES, slots))
    shown = np.zeros((eligible, slots))
    for slot in range(min(slots, eligible)):
        total = weights.sum(axis=1, keepdims=True)
        exploit = np.where(total > 0, 1.0 - epsilon, 0.0)
        chances = exploit * weights / np.where(total > 0, total, 1.0)
        chances += (1.0 - exploit) * left / left.sum(axis=1, keepdims=True)
        shown[:, slot] = chances.mean(axis=0)
        running = np.cumsum(chances, axis=1)
        below = running <= (uniforms[:, slot] * running[:, -1])[:, None]
        taken = np.minimum(below.sum(axis=1), eligible - 1)
        left[np.arange(_SAMPLES), taken] = False
        weights[np.arange(_SAMPLES), taken] = 0.0
    ranked = shown[:candidates]
    explored = shown[candidates:].mean(axis=0) if eligible > candidates else np.zeros(slots)
    ranked.setflags(write=False)
    explored.setflags(write=False)
    return Exposure(ranked, explored)
