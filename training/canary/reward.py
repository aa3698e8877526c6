"""The reward of two arms: clicks per slate, compared as a ratio, clustered by user.

Each arm's rate is the mean over phases of clicks / slates, with the same weights for both arms, so
that days and shares do not mix (direct standardisation; weights of Cochran and of Mantel and
Haenszel: slates of both · slates of one / slates of all). The estimate is the logarithm of the
ratio of the two rates. Its variance is that of the users' influence (delta method), which counts
how the slates of a user go together, also across phases. The logarithm keeps small arms honest: an
arm that happens to hold few clicks has a large variance.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.canary.evidence import Evidence
from training.canary.params import CanaryParams
from training.value import by_user
from training.value.confidence_sequence import margin

#: Standard errors of the logarithm at which bounds are tightest: of thousands of users, and of the
#: hundred or so of a small shop, whose bounds would else be half as wide again.
BEST: Final = (0.05, 0.2)


@dataclass(frozen=True)
class Ratio:
    """Logarithm of canary's reward / control's, with bounds that hold at all looks together."""

    log: float
    variance: float
    low: float
    high: float


def ratio(evidence: Evidence, params: CanaryParams) -> Ratio | None:
    """The comparison, or None with too few users or without clicks in an arm."""
    if evidence.by_arm().min() < params.min_users:
        return None
    sums = evidence.totals.reshape(-1, 2, 2)  # phase, arm, (slates, clicks)
    slates, clicks = sums[:, :, 0], sums[:, :, 1]
    known = slates.min(axis=1) > 0
    if not known.any():
        return None
    weights = np.zeros(len(sums))
    weights[known] = slates[known].prod(axis=1) / slates[known].sum(axis=1)
    weights /= weights.sum()
    rates = np.divide(clicks, slates, out=np.zeros(slates.shape), where=slates > 0)
    rate = weights @ rates
    if rate.min() <= 0:
        return None
    gradient = np.zeros(sums.shape)
    gradient[known, :, 1] = weights[known, None] / (slates[known] * rate)
    gradient[known, :, 0] = -gradient[known, :, 1] * rates[known]
    gradient[:, 0] *= -1
    flat = gradient.reshape(-1)
    least = float(evidence.by_arm().min())
    # As if both arms had as many users as the smaller one.
    variance = by_user.variance(float(flat @ evidence.products @ flat), least)
    if not variance > 0:
        return None
    log, half = math.log(rate[1] / rate[0]), half_width(variance, params.alpha)
    return Ratio(log, variance, log - half, log + half)


def half_width(variance: float, alpha: float) -> float:
    """Half width of the bounds of an estimate with this variance.

    The time of the confidence sequence is information, 1 / variance, instead of a number of users,
    since users differ in how much they tell. Each sequence of BEST has its part of alpha, so both
    hold, and the narrower bounds count.
    """
    known = np.array([1 / variance])
    return min(float(margin(known, 1 / best**2, alpha / len(BEST))[0]) for best in BEST)


def people_missing(found: Ratio, users: float, params: CanaryParams) -> float | None:
    """How many more users a success would take if the ratio stays as it is.

    users: of both arms so far. None if the canary is worse than the margin.
    """
    room = found.log - math.log1p(-params.margin)
    if room <= 0:
        return None
    low, high = 0.0, found.variance
    if half_width(high, params.alpha) <= room:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if half_width(middle, params.alpha) <= room else (low, middle)
    return users * (found.variance / low - 1) if low > 0 else None
