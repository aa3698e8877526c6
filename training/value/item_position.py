"""Item-position (exposure-weighted): a slot's reward depends only on its own item and position.

Li et al., "Offline evaluation of ranking policies with click models" (2018).
"""

import numpy as np

from base.arrays import Float64s
from training.value.logged import Logged, check_propensities


def contributions(logged: Logged, exposure: Float64s, target: Float64s) -> Float64s:
    """What each slate says of the target's reward per slate [n].

    `exposure` and `target` [n, k] are the probabilities that the shown item is in its slot,
    whatever is above, under the logging and target policy. Raises ValueError outside (0, 1] and
    [0, 1].
    """
    check_propensities(logged, "exposure", exposure, target)
    ratios = np.divide(target, exposure, out=np.ones_like(target), where=logged.present)
    total: Float64s = (ratios * logged.earned(logged.rewards)).sum(axis=1)
    return total
