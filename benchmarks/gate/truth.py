"""The true value of a release on contexts: expected exposure times true probabilities."""

from functools import lru_cache

import numpy as np

from base.arrays import Float32s, Float64s, Int64s
from simulation import behaviour
from simulation.world_params import WorldParams
from training.value.exposure import exposure
from training.value.exposures import Policy
from training.value.ordering import Ordering


def true_rewards(
    ordering: Ordering,
    eligible: Int64s,
    attraction: Float32s,
    appeal: Float64s,
    policy: Policy,
    world: WorldParams,
) -> tuple[Float64s, Float64s]:
    """Expected clicks, and expected wanted items that are looked at, of each request: float64 [n].

    eligible: int64 [n], number of eligible items; attraction: float32 [n, catalogue]; appeal:
    float64 [n], its sum over all eligible items.
    """
    looks = behaviour.examination(world.slate_size, world.examination)
    trust = behaviour.trust(world.slate_size, world.trust)
    looked, trusted = (
        _by_rank(ordering, eligible, policy, tuple(weights.tolist()))
        for weights in (looks, looks * trust)
    )
    wanted = np.take_along_axis(attraction, np.maximum(ordering.items, 0), axis=1)
    wanted = np.where(ordering.items >= 0, wanted, 0.0).astype(np.float64)
    others, left = appeal - wanted.sum(axis=1), eligible - ordering.counts
    reward = (looked[:, :-1] * wanted).sum(axis=1) + looked[:, -1] * others
    unwanted = np.where(ordering.items >= 0, 1.0 - wanted, 0.0)
    mistaken = (trusted[:, :-1] * unwanted).sum(axis=1) + trusted[:, -1] * (left - others)
    return reward + mistaken, reward


def _by_rank(
    ordering: Ordering, eligible: Int64s, policy: Policy, weights: tuple[float, ...]
) -> Float64s:
    """Expected weight of the slot of each candidate, float64 [n, C + 1]; the last column is that of
    any other eligible item."""
    width = ordering.items.shape[1]
    pairs = np.stack([ordering.counts, eligible], axis=1)
    distinct, group = np.unique(pairs, axis=0, return_inverse=True)
    tables = [_table(width, int(count), int(total), policy, weights) for count, total in distinct]
    result: Float64s = np.stack(tables)[group.reshape(-1)]
    return result


@lru_cache(maxsize=65536)
def _table(
    width: int, count: int, eligible: int, policy: Policy, weights: tuple[float, ...]
) -> Float64s:
    table = exposure(count, eligible, len(weights), policy.temperature, policy.epsilon)
    values = np.zeros(width + 1)
    values[:count] = table.ranked @ np.array(weights)
    values[-1] = table.explored @ np.array(weights)
    return values
