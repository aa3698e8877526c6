"""Limited weights, and how much value the limit may hide.

A limit trades variance for bias. The bias is counted: weights are 1 on average, so what the limited
ones lack of 1 is the share of the target policy's looks that the log no longer answers for. It
holds between `least` and `most` of reward each: Bottou et al., "Counterfactual reasoning and
learning systems" (JMLR 2013), their outer confidence interval. That also counts items that the
logging policy never shows.
"""

import numpy as np

from base.arrays import Float64s, Int64s
from training.bootstrap import Interval
from training.value.estimate import clustered
from training.value.logged import Logged


def clipped(weights: Float64s, limit: float) -> Float64s:
    """Weights of at most `limit` (Ionides, 2008; pessimistic shrinkage of Su et al., 2020)."""
    return np.minimum(weights, _positive(limit))


def switched(weights: Float64s, limit: float) -> Float64s:
    """Weights above `limit` become 0: a reward model answers there (Wang et al., 2017)."""
    return np.where(weights <= _positive(limit), weights, 0.0)


def shrunk(weights: Float64s, limit: float) -> Float64s:
    """limit · w / (w² + limit): largest at w = √limit (optimistic shrinkage, Su et al., 2020)."""
    return _positive(limit) * weights / (weights**2 + limit)


def flattened(weights: Float64s, share: float) -> Float64s:
    """w / (1 - share + share · w), at most 1 / share (sub-Gaussian: Metelli et al., 2021)."""
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is outside [0, 1]")
    denominator = 1 - share + share * weights
    return np.divide(weights, denominator, out=np.zeros_like(weights), where=denominator > 0)


def missing(logged: Logged, weights: Float64s, looks: Float64s | None = None) -> Float64s:
    """Slots of a slate [n] that limited `weights` [n, k] leave out: at least 0 on average.

    For the weights of `pbm`, with the `looks` [k] of the slots, as those are 1 on average by looks.
    """
    logged.check("weights", weights)
    per_slot = np.ones(weights.shape[1]) if looks is None else looks
    total: Float64s = logged.earned(1 - weights) @ per_slot
    return total


def outer(
    contributions: Float64s,
    missing: Float64s,
    users: Int64s,
    least: float,
    most: float,
    confidence: float = 0.95,
) -> Interval:
    """Interval of the value that holds however the slots that are left out reward.

    `least` and `most` bound the reward of a slot; for doubly robust contributions, the reward minus
    the prediction. Its mean is that of `contributions`.
    """
    if not least <= 0 <= most:
        raise ValueError(f"bounds {least}, {most} of what is left out do not hold 0")
    low = clustered(contributions + least * missing, users, confidence)
    high = clustered(contributions + most * missing, users, confidence)
    inner = clustered(contributions, users, confidence)
    return Interval(inner.mean, min(low.low, inner.low), max(high.high, inner.high))


def _positive(limit: float) -> float:
    if not limit > 0:
        raise ValueError(f"limit {limit} is not above 0")
    return limit
