"""An estimate from the contributions of slates: interval clustered by user, or an abstention."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from base.arrays import Float64s, Int64s
from training.bootstrap import UNKNOWN, Interval


@dataclass(frozen=True)
class Estimate:
    """Value per slate. `reason` says why it abstains, empty if it does not."""

    interval: Interval
    effective: float
    reason: str = ""

    @property
    def abstains(self) -> bool:
        """Whether the value should not be used."""
        return bool(self.reason)


def effective_size(weights: Float64s) -> float:
    """Effective sample size of `weights` [n]: (sum)² / sum of squares (Kish, 1965)."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def clustered(contributions: Float64s, users: Int64s, confidence: float = 0.95) -> Interval:
    """Normal interval of the mean of `contributions` [n], with slates of a user dependent.

    For two releases on the same slates, pass the difference of their contributions. Fewer than
    two users give `UNKNOWN`.
    """
    names, inverse = np.unique(users, return_inverse=True)
    if len(names) < 2:
        return UNKNOWN
    mean = float(contributions.mean())
    sums = np.bincount(inverse, weights=contributions - mean)
    groups = len(names)
    error = math.sqrt(groups / (groups - 1) * float((sums**2).sum())) / len(users)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    return Interval(mean, mean - half, mean + half)


def estimate(
    contributions: Float64s,
    weights: Float64s,
    users: Int64s,
    least: float,
    confidence: float = 0.95,
) -> Estimate:
    """The value, abstaining if the effective size of `weights` [n] is below `least`."""
    effective = effective_size(weights)
    low = f"effective sample size {effective:.1f} is below {least:g}" if effective < least else ""
    return Estimate(clustered(contributions, users, confidence), effective, low)
