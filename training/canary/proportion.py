"""Always-valid bounds of a share of requests.

Robbins, "Statistical methods related to the law of the iterated logarithm" (1970): the likelihood
of p, mixed over all p with equal weights and divided by that of the true p, is a martingale. The
shares at which it stays below 1 / alpha form an interval.
"""

import math
from collections.abc import Callable


def bounds(successes: float, trials: float, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the share, which hold at all looks together."""
    if trials <= 0:
        return 0.0, 1.0
    share = successes / trials
    mixed = (
        math.lgamma(successes + 1)
        + math.lgamma(trials - successes + 1)
        - math.lgamma(trials + 2)
        + math.log(alpha)
    )

    def likely(p: float) -> bool:
        return _log_likelihood(successes, trials, p) > mixed

    return _edge(likely, share, 0.0), _edge(likely, share, 1.0)


def _log_likelihood(successes: float, trials: float, p: float) -> float:
    """Without the binomial coefficient, which cancels."""
    parts = ((successes, p), (trials - successes, 1 - p))
    if any(count > 0 and part <= 0 for count, part in parts):
        return -math.inf
    return sum(count * math.log(part) for count, part in parts if count > 0)


def _edge(likely: Callable[[float], bool], inside: float, end: float) -> float:
    """The last likely share on the way from `inside` to `end`."""
    if likely(end):
        return end
    for _ in range(40):
        middle = (inside + end) / 2
        inside, end = (middle, end) if likely(middle) else (inside, middle)
    return end
