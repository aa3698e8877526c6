"""The laws of behaviour, as pure functions of arrays. Each states its formula.

Within a slate, examination depends on the position only and attraction on the item only, so the
slate sorted by attraction is the best one. Satiation, abandonment and return act between slates.
"""

import numpy as np
import numpy.typing as npt

from simulation.randomness import Floats

Bools = npt.NDArray[np.bool_]


def examination(size: int, exponent: float) -> Floats:
    """Chance that position k = 1, 2, … is looked at: e(k) = k^-exponent. float64 [size]."""
    return np.arange(1, size + 1, dtype=np.float64) ** -exponent


def trust(size: int, at_top: float) -> Floats:
    """Chance that an unwanted item at position k is clicked once examined: t(k) = at_top / k."""
    return at_top / np.arange(1, size + 1, dtype=np.float64)


def attraction(logits: Floats) -> Floats:
    """Chance that an examined item is wanted: a = 1 / (1 + e^-logit)."""
    result: Floats = 1.0 / (1.0 + np.exp(-logits))
    return result


def click_probability(attractions: Floats, exponent: float, trust_at_top: float) -> Floats:
    """P(click at k) = e(k) · (a + t(k) · (1 − a)), for slates [n, k] of attractions.

    The trust-bias model of Agarwal et al. (WWW 2019).
    """
    size = attractions.shape[1]
    trusted = trust(size, trust_at_top) * (1.0 - attractions)
    return examination(size, exponent) * (attractions + trusted)


def expected_reward(attractions: Floats, exponent: float) -> Floats:
    """Expected number of wanted items that are seen: Σ_k e(k) · a_k, for slates [n, k].

    Clicks out of trust are not counted: nobody wanted them.
    """
    result: Floats = attractions @ examination(attractions.shape[1], exponent)
    return result


def ageing(age: Floats, half_life: float, oldest: float) -> Floats:
    """What age (days) takes from the logit: min(age · ln 2 / half-life, oldest)."""
    result: Floats = np.minimum(np.maximum(age, 0.0) * np.log(2.0) / half_life, oldest)
    return result


def organic_weights(
    logits: Floats, popularity: Floats, sharpness: float, popularity_bias: float
) -> Floats:
    """Unnormalised chance of an organic choice: odds^sharpness · (1 + popularity)^bias. [n, i]"""
    result: Floats = np.exp(sharpness * logits) * (1.0 + popularity) ** popularity_bias
    return result


def decay(days: Floats | float, half_life: float) -> Floats:
    """What is left after `days`: 2^(−days / half-life)."""
    return np.exp2(-np.asarray(days, dtype=np.float64) / half_life)


def continuation(
    clicks: npt.NDArray[np.int64], after_click: float, disappointment: float
) -> Floats:
    """Chance of another round: after_click, less `disappointment` if the slate had no click."""
    return np.where(clicks > 0, after_click, after_click - disappointment)


def return_probability(rate: Floats, satisfaction: Floats, gain: float) -> Floats:
    """Chance to visit on a day: the logit of the person's own rate plus gain · satisfaction."""
    return attraction(np.log(rate / (1.0 - rate)) + gain * satisfaction)


def turned(directions: Floats, towards: Floats, angle: float) -> Floats:
    """Unit rows turned by `angle` (radians) towards the part of `towards` at right angles."""
    across = towards - (towards * directions).sum(axis=1, keepdims=True) * directions
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    result: Floats = np.cos(angle) * directions + np.sin(angle) * across
    return result
