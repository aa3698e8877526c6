"""Item-position (exposure-weighted): a slot's reward depends only on its own item and position.

Li et al., "Offline evaluation of ranking policies with click models" (2018). McInerney et al.
(2020) and the Open Bandit Pipeline call it independent (IIPS).
"""

import numpy as np

from base.arrays import Float64s
from training.value.logged import Logged, check_propensities


def weights(logged: Logged, exposure: Float64s, target: Float64s) -> Float64s:
    """Ratio of the probabilities that the shown item is in its slot [n, k], 1 in absent slots.

    `exposure` and `target` [n, k] are these probabilities, whatever is above, under the logging and
    target policy. Raises ValueError outside (0, 1] and [0, 1].
    """
    check_propensities(logged, "exposure", exposure, target)
    return np.divide(target, exposure, out=np.ones_like(target), where=logged.present)


def contributions(logged: Logged, exposure: Float64s, target: Float64s) -> Float64s:
    """What each slate says of the target's reward per slate [n]. Arguments as for `weights`."""
    ratios = weights(logged, exposure, target)
    total: Float64s = (ratios * logged.earned(logged.rewards)).sum(axis=1)
    return total
