"""Self-normalised: weights divided by their mean, so that a shift of the rewards shifts the value.

Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning" (2015); slot
by slot as McInerney et al. (2020) do for reward interaction. Biased by about 1 / n. Takes the
weights of any estimator that has one for each slot.
"""

import numpy as np

from base.arrays import Float64s
from training.value.logged import Logged


def contributions(logged: Logged, weights: Float64s) -> Float64s:
    """Contributions [n] whose mean is the estimate and whose spread is that of the ratio.

    `weights` [n, k]. Raises ValueError if all weights of a slot are 0.
    """
    logged.check("weights", weights)
    total = np.zeros(len(weights))
    for slot in np.flatnonzero(logged.present.any(axis=0)):
        here = logged.present[:, slot]
        own = np.where(here, weights[:, slot], 0.0)
        if not own.any():
            raise ValueError(f"the target policy shows nothing that was shown in slot {slot}")
        reward = (own * logged.rewards[:, slot]).sum() / own.sum()
        missed = own * (logged.rewards[:, slot] - reward)
        total += here * reward + missed * here.mean() / own.mean()
    return total
