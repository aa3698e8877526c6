"""Confidence sequences of bounded values that hold for any number of units, not only for many.

Predictable plug-in empirical Bernstein: Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting" (JRSS B, 2024), theorem 2. Wider than the asymptotic ones of
`training.value.confidence_sequence`; for guards on rare events and first looks.
"""

import math

import numpy as np

from base.arrays import Float64s
from training.value.confidence_sequence import Bounds

_TRUNCATION = 0.5


def of_values(values: Float64s, alpha: float = 0.05) -> Bounds:
    """Bounds after each of `values` [n], in [0, 1], that all hold together with 1 - `alpha`.

    Values may depend on earlier ones as long as their mean given these is the same. Scale other
    ranges first. Raises ValueError for values outside [0, 1].
    """
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("values are not one number in [0, 1] for each unit")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    mean = np.cumsum(values, dtype=float) / np.arange(1, len(values) + 1)
    return Bounds(mean, _low(values, alpha / 2), 1 - _low(1 - values, alpha / 2))


def _low(values: Float64s, alpha: float) -> Float64s:
    """Lower bound, by bets that depend on earlier values only."""
    n = np.arange(1.0, len(values) + 1)
    mean = np.cumsum(values) / n
    before = np.append(0.0, mean[:-1])
    # Prior: one unit of mean 1/2 and variance 1/4.
    prior_mean = (0.5 + np.cumsum(values)) / (n + 1)
    variance = (0.25 + np.cumsum((values - prior_mean) ** 2)) / (n + 1)
    variance = np.append(0.25, variance[:-1])
    bets = np.sqrt(2 * math.log(1 / alpha) / (n * np.log1p(n) * variance))
    bets = np.minimum(bets, _TRUNCATION)
    cost = np.cumsum((values - before) ** 2 * (-np.log1p(-bets) - bets))
    low = (np.cumsum(bets * values) - math.log(1 / alpha) - cost) / np.cumsum(bets)
    bounds: Float64s = np.maximum(low, 0.0)
    return bounds
