"""Releases whose scores are blended with the truth, so that they earn more or less as wanted."""

import numpy as np

from base.arrays import Bools, Float32s, Float64s, Scores
from training.recommender import Ranked
from training.value.ordering import Ordering

#: Attraction below this counts as this.
_LEAST = 1e-6


def blended(ranked: Ranked, attraction: Float32s, weight: float) -> Ordering:
    """Candidates in the order of `mixed` scores."""
    return Ordering.of(mixed(ranked, attraction, weight), ranked.candidates)


def mixed(ranked: Ranked, attraction: Float32s, weight: float) -> Scores:
    """Standardised scores plus `weight` times the standardised truth, float32 [n, C].

    attraction: float32 [n, catalogue]. A weight below 0 makes a release worse, and 0 leaves it as
    it is.
    """
    if not weight:
        return ranked.scores
    alive = (ranked.candidates >= 0) & np.isfinite(ranked.scores)
    wanted = np.take_along_axis(attraction, np.maximum(ranked.candidates, 0), axis=1)
    wanted = np.clip(wanted.astype(np.float64), _LEAST, 1.0 - _LEAST)
    truth = np.log(wanted / (1.0 - wanted))
    total = _standard(ranked.scores.astype(np.float64), alive) + weight * _standard(truth, alive)
    return np.where(alive, total, -np.inf).astype(np.float32)


def _standard(values: Float64s, alive: Bools) -> Float64s:
    """Values with mean 0 and deviation 1 in each row, counting those alive."""
    count = np.maximum(alive.sum(axis=1, keepdims=True), 1)
    kept = np.where(alive, values, 0.0)
    mean = kept.sum(axis=1, keepdims=True) / count
    squares = (np.where(alive, values - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / count
    result: Float64s = (np.where(alive, values, mean) - mean) / np.sqrt(np.maximum(squares, 1e-12))
    return result
