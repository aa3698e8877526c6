"""Estimators of what two releases earn, side by side: the release that served, and another one."""

from typing import Final

import numpy as np

from base.arrays import Float64s
from training.value import item_position, pbm
from training.value.exposure import exposure
from training.value.logged import Logged
from training.value.ordering import Ordering
from training.value.paired import Shown, Target, earned
from training.value.position_bias import position_bias

#: Clips of the doubly robust estimator. Infinity: none.
CLIPS: Final = (5.0, 10.0, 20.0, float("inf"))

Pair = tuple[Float64s, Float64s]


def contributions(shown: Shown, other: Ordering, catalogue: int, clip: float) -> dict[str, Pair]:
    """By estimator: clicks of each slate for the release that served and for `other`.

    clip: of the gate.
    """
    found: dict[str, Pair] = {}
    own = _exposures(shown, shown.ordering, catalogue)
    theirs = _exposures(shown, other, catalogue)
    slots = np.arange(shown.items.shape[1])
    here, there = own[:, slots, slots], theirs[:, slots, slots]
    logged = Logged(shown.users, shown.clicks, shown.items >= 0, here, there)
    # What the release that serves would earn is what it did earn.
    clicks = shown.clicks.sum(axis=1)
    found["item-position"] = clicks, item_position.contributions(logged, here, there)
    ratios = pbm.weights(logged, own, theirs, position_bias(own, shown.clicks))
    found["position-based"] = clicks, (ratios * shown.clicks).sum(axis=1)
    found["position-based, clip 10"] = clicks, (np.minimum(ratios, 10.0) * shown.clicks).sum(axis=1)
    for each in sorted({*CLIPS, clip}):
        serves, rival = Target(shown.ordering, shown.policy), Target(other, shown.policy)
        result = earned(shown, serves, rival, catalogue, each)
        found[f"doubly robust, {_told(each)}"] = result.first, result.second
    return found


def _told(clip: float) -> str:
    return f"clip {clip:g}" if np.isfinite(clip) else "no clip"


def _exposures(shown: Shown, ordering: Ordering, catalogue: int) -> Float64s:
    """Probability that the item shown in the second axis' slot stands in the third axis' slot:
    float64 [n, k, k]."""
    count, size = shown.items.shape
    rows, slots = np.nonzero(shown.items >= 0)
    keys = rows.astype(np.int64) * catalogue + shown.items[rows, slots]
    ranks = ordering.index(catalogue).of(keys)
    result = np.zeros((count, size, size))
    pairs = np.stack([ordering.counts, shown.eligible], axis=1)
    distinct, group = np.unique(pairs, axis=0, return_inverse=True)
    group = group.reshape(-1)
    for number, (candidates, eligible) in enumerate(distinct.tolist()):
        policy = shown.policy
        table = exposure(candidates, eligible, size, policy.temperature, policy.epsilon)
        whole = np.vstack([table.ranked, table.explored])
        here = np.flatnonzero(group[rows] == number)
        result[rows[here], slots[here]] = whole[ranks[here]]
    return result
