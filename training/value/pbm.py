"""Position-based: a slot is looked at as its position is, and then rewards as its item does.

So a shown item counts by how much more the target policy would have had it looked at, in any slot:
Li et al., "Offline evaluation of ranking policies with click models" (2018). The looks are given,
or estimated by `training.value.position_bias`.
"""

import numpy as np

from base.arrays import Float64s
from training.value.logged import Logged


def ratio(target: Float64s, logging: Float64s) -> Float64s:
    """Weights of shown items: their expected looks under the target policy, over those under the
    logging policy."""
    found: Float64s = target / logging
    return found


def weights(logged: Logged, exposure: Float64s, target: Float64s, looks: Float64s) -> Float64s:
    """Ratio of the expected looks at each shown item [n, k], 1 in absent slots.

    `exposure` and `target` [n, k, k] are the probabilities that the item shown in the second axis'
    slot stands in the third axis' slot, under the logging and target policy; `looks` [k] is
    proportional to how often a slot is looked at. Raises ValueError unless the logging policy had
    each shown item looked at and all numbers are finite and at least 0.
    """
    size = logged.rewards.shape[1]
    for name, values, shape in (
        ("exposure", exposure, (*logged.rewards.shape, size)),
        ("target exposure", target, (*logged.rewards.shape, size)),
        ("looks", looks, (size,)),
    ):
        if values.shape != shape:
            raise ValueError(f"{name} has shape {values.shape}, not {shape}")
        if not (np.isfinite(values).all() and (values >= 0).all()):
            raise ValueError(f"{name} has values that are negative or not finite")
    seen, wanted = exposure @ looks, target @ looks
    if (seen[logged.present] <= 0).any():
        raise ValueError("exposure: the logging policy never had a shown item looked at")
    found = np.ones_like(seen)
    found[logged.present] = ratio(wanted[logged.present], seen[logged.present])
    return found
