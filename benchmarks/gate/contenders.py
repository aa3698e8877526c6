"""Releases that earn a chosen share more or less than the one that serves."""

from collections.abc import Sequence

import numpy as np

from base.errors import InputError
from benchmarks.gate.looks import Look, Stage
from training.recommender import Ranked

#: Weights of the truth that are tried, and how many times they may double.
_WEIGHTS = np.linspace(-0.06, 0.12, 7)
_DOUBLINGS = 4


def weights(
    stage: Stage,
    looks: Sequence[Look],
    rankings: Sequence[list[Ranked]],
    lifts: Sequence[float],
) -> list[float]:
    """The weights with which a release truly earns each of `lifts` more clicks on `looks` than the
    release that served them.

    rankings: what it makes of each look. Raises InputError if no weight does.
    """
    served = sum(float(stage.truth(look.shown.ordering, look)[0].sum()) for look in looks)

    def change(weight: float) -> float:
        earned = 0.0
        for ranked, look in zip(rankings, looks, strict=True):
            earned += float(stage.truth(stage.ordering(ranked, look, weight), look)[0].sum())
        return earned / served - 1.0

    tried = {float(weight): change(float(weight)) for weight in _WEIGHTS}
    for _ in range(_DOUBLINGS):
        if max(tried.values()) < max(lifts):
            tried[2.0 * max(tried)] = change(2.0 * max(tried))
        if min(tried.values()) > min(lifts):
            tried[2.0 * min(tried)] = change(2.0 * min(tried))
    points = np.array(sorted(tried))
    changes = np.maximum.accumulate([tried[weight] for weight in points])
    if not changes[0] <= min(lifts) <= max(lifts) <= changes[-1]:
        raise InputError(f"no weight gives {min(lifts):+.0%} to {max(lifts):+.0%}")
    return [float(np.interp(lift, changes, points)) for lift in lifts]
