"""An estimate from the contributions of slates: interval clustered by user, or an abstention."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from base.arrays import Float64s, Int64s
from training.bootstrap import UNKNOWN, Interval
from training.value import by_user
from training.value.effective import effective_size

LEAST: Final = 200.0
"""Effective sample size, in users, below which to abstain.

In `benchmarks.ope.coverage`, 95 % intervals cover in 89 to 97 % from here on (94 on average), and
in as few as 55 % below. Weights by slot (item-position, pbm) cover well with a third of it.
"""


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


def clustered(contributions: Float64s, users: Int64s, confidence: float = 0.95) -> Interval:
    """Interval of the mean of `contributions` [n], with slates of a user dependent.

    Student's t of the users' sums with their skewness transformed away (Hall, "On the removal of
    skewness by transformation", 1992), as weighted rewards are skewed: a symmetric interval ends
    too low. For two releases on the same slates, pass the difference of their contributions. Fewer
    than two users give `UNKNOWN`. Raises ValueError for shapes that differ or unknown numbers.
    """
    if not len(users) or contributions.shape != users.shape or users.ndim != 1:
        raise ValueError(f"contributions {contributions.shape} of users {users.shape}")
    if not np.isfinite(contributions).all():
        raise ValueError("contributions have values that are not finite")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    mean = float(contributions.mean())
    sums = by_user.sums(contributions - mean, users)
    groups = len(sums)
    if groups < 2:
        return UNKNOWN
    spread = math.sqrt(float((sums**2).mean()))
    if spread == 0:
        return Interval(mean, mean, mean)
    error = math.sqrt(by_user.variance(float((sums**2).sum()), groups)) / len(users)
    skew = float(((sums / spread) ** 3).mean()) / math.sqrt(groups)
    bound = float(stats.t.ppf(0.5 + confidence / 2, groups - 1))
    low, high = _skewed(bound, skew), _skewed(-bound, skew)
    return Interval(mean, mean - low * error, mean - high * error)


def _skewed(normal: float, skew: float) -> float:
    """The t statistic of a mean whose transformed one is `normal`, for skewness over √n `skew`."""
    if abs(skew) < 1e-9:
        return normal
    return 3 / skew * (float(np.cbrt(1 + skew * (normal - skew / 6))) - 1)


def estimate(
    contributions: Float64s,
    weights: Float64s,
    users: Int64s,
    least: float = LEAST,
    confidence: float = 0.95,
) -> Estimate:
    """The value, abstaining if the effective size of `weights` [n] is below `least`.

    `weights` of slates, or of slots [n, k] by their mean. Slates of a user count as one, by the sum
    of their weights.
    """
    by_slate = weights if weights.ndim == 1 else weights.mean(axis=1)
    effective = effective_size(by_user.sums(by_slate, users))
    low = f"effective sample size {effective:.1f} is below {least:g}" if effective < least else ""
    return Estimate(clustered(contributions, users, confidence), effective, low)
