"""Doubly robust: a reward model's value, corrected by what it missed on the log.

Dudík, Langford and Li, "Doubly robust policy evaluation and learning" (2011). Right if the weights
are, whatever the model says; a good model makes the error small. With one slot and `ips.weights`
it is their estimator. With the weights of `item_position` or `pbm` it corrects slot by slot, under
their assumption. With weights of `training.value.clipping` it is the estimator of Su et al. (2020).
"""

from base.arrays import Float64s
from training.value.logged import Logged, check_each


def contributions(
    logged: Logged, weights: Float64s, predicted: Float64s, expected: Float64s
) -> Float64s:
    """What each slate says of the target's reward per slate [n].

    `weights` and `predicted` [n, k] are the weight and predicted reward of each slot as shown;
    `expected` [n] is the predicted reward of a whole slate of the target policy: the sum over all
    items and slots of exposure times prediction. The model must not have been fitted to the same
    users.
    """
    logged.check("weights", weights)
    logged.check("predicted", predicted)
    check_each("expected", expected, len(logged.rewards))
    total: Float64s = expected + (weights * logged.earned(logged.rewards - predicted)).sum(axis=1)
    return total
