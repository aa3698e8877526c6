"""Inverse propensity scores of whole slates: unbiased however people look at a slate.

Horvitz and Thompson (1952); for slates, Swaminathan et al. (2017).
"""

from base.arrays import Float64s
from training.value.logged import Logged


def weights(logged: Logged) -> Float64s:
    """Ratio of the probabilities of the whole slate [n]."""
    product: Float64s = logged.ratios().prod(axis=1)
    return product


def contributions(logged: Logged) -> Float64s:
    """What each slate says of the target's reward per slate [n]."""
    total: Float64s = weights(logged) * logged.earned(logged.rewards).sum(axis=1)
    return total
