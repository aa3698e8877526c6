"""How often each slot is looked at, estimated from the randomness of the policy that served.

The same item could have stood in several slots of its slate, with known probabilities. Clicks on it
are reweighted so that two slots show the same items equally often. What is then left of a
difference in clicks is the slots' own (intervention harvesting: Agarwal, Zaitsev, Wang, Li, Najork
and Joachims, "Estimating position bias without intrusive interventions", WSDM 2019).
"""

from typing import Final

import numpy as np

from base.arrays import Float64s

#: Prior: slot p (from 1) is looked at with probability p^-0.6, worth this many clicks in each pair.
_EXPONENT: Final = 0.6
_PRIOR_CLICKS: Final = 20.0


def position_bias(exposures: Float64s, clicks: Float64s) -> Float64s:
    """Probability that each slot is looked at, relative to the first: float64 [k].

    exposures: float64 [n, k, k], probability that the item shown in the second axis' slot stands in
    the third axis' slot; clicks: float64 [n, k]. Few clicks leave the result near the prior.
    """
    slots = clicks.shape[1]
    prior = -_EXPONENT * np.log(np.arange(1.0, slots + 1.0))
    design, target, weight = [], [], []
    for upper in range(slots):
        for lower in range(upper + 1, slots):
            above = _balanced(exposures, clicks, upper, lower)
            below = _balanced(exposures, clicks, lower, upper)
            ratio = np.exp(prior[lower] - prior[upper])
            above += _PRIOR_CLICKS / (1.0 + ratio)
            below += _PRIOR_CLICKS * ratio / (1.0 + ratio)
            row = np.zeros(slots)
            row[lower], row[upper] = 1.0, -1.0
            design.append(row)
            target.append(np.log(below / above))
            weight.append(
                1.0 / (1.0 / above + 1.0 / below)
            )  # of the logarithm of a ratio of counts
    if slots == 1:
        return np.ones(1)
    root = np.sqrt(np.array(weight))
    rows = np.array(design)[:, 1:] * root[:, None]
    logs = np.linalg.lstsq(rows, np.array(target) * root, rcond=None)[0]
    result: Float64s = np.exp(np.concatenate([[0.0], logs]))
    return result


def _balanced(exposures: Float64s, clicks: Float64s, slot: int, other: int) -> float:
    """Clicks in `slot`, weighted so that it shows each item as often as `other` does."""
    own, there = exposures[:, slot, slot], exposures[:, slot, other]
    weights = np.minimum(own, there) / np.where(own > 0, own, 1.0)
    return float((weights * clicks[:, slot]).sum())
