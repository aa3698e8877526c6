"""Cascade doubly robust: reward interaction with a model of the reward that is still to come.

Kiyohara et al., "Doubly robust off-policy evaluation for ranking policies under the cascade
behavior model" (2022). With one slot it is the doubly robust estimator of Dudík et al. (2014).
"""

import numpy as np

from base.arrays import Float64s
from training.value import reward_interaction
from training.value.logged import Logged


def contributions(logged: Logged, predicted: Float64s, expected: Float64s) -> Float64s:
    """What each slate says of the target's reward per slate [n].

    `predicted` [n, k] is the predicted reward from each slot on, given its item and those above;
    `expected` [n, k] its mean over the target policy's items for that slot, given those above.
    """
    logged.check("predicted", predicted)
    logged.check("expected", expected)
    weights = reward_interaction.weights(logged)
    above = np.hstack([np.ones((len(weights), 1)), weights[:, :-1]])
    missed = logged.earned(logged.rewards - predicted)
    total: Float64s = (weights * missed + above * logged.earned(expected)).sum(axis=1)
    return total
