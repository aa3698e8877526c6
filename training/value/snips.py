"""Self-normalised inverse propensity scores of whole slates (Swaminathan and Joachims, 2015)."""

from base.arrays import Float64s
from training.value import ips
from training.value.logged import Logged


def contributions(logged: Logged) -> Float64s:
    """Contributions [n] whose mean is the estimate and whose spread is that of the ratio.

    Raises ValueError if all weights are 0.
    """
    weights = ips.weights(logged)
    if not weights.any():
        raise ValueError("the target policy shows none of the logged slates")
    rewards = logged.earned(logged.rewards).sum(axis=1)
    estimate = (weights * rewards).sum() / weights.sum()
    total: Float64s = estimate + weights * (rewards - estimate) / weights.mean()
    return total
