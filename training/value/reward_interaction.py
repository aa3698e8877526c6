"""Reward interaction (RIPS): a slot's reward depends on its item and those above.

McInerney et al., "Counterfactual evaluation of slate recommendations with sequential reward
interactions" (2020), without self-normalisation.
"""

from base.arrays import Float64s
from training.value.logged import Logged


def weights(logged: Logged) -> Float64s:
    """Ratio of the probabilities of the slate down to each slot [n, k]."""
    product: Float64s = logged.ratios().cumprod(axis=1)
    return product


def contributions(logged: Logged) -> Float64s:
    """What each slate says of the target's reward per slate [n]."""
    total: Float64s = (weights(logged) * logged.earned(logged.rewards)).sum(axis=1)
    return total
