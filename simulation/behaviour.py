"""The laws of behaviour, as pure functions of arrays. Each docstring states the formula.

Within a slate, examination depends only on the position and attraction only on the item. So a slate
sorted by attraction is the best one. Clicks follow the trust-bias model of Agarwal et al. (WWW
2019): P(click at k) = e(k) · (a + t(k) · (1 − a)). Satiation, abandonment and return act between
slates.
"""

import numpy as np

from base.arrays import Float64s, Int64s


def examination(size: int, exponent: float) -> Float64s:
    """Probability that position k = 1, 2, … is looked at: e(k) = k^-exponent. float64 [size]."""
    return np.arange(1, size + 1, dtype=np.float64) ** -exponent


def trust(size: int, at_top: float) -> Float64s:
    """Probability that an unwanted item at position k is clicked after examination: t(k) =
    at_top / k."""
    return at_top / np.arange(1, size + 1, dtype=np.float64)


def attraction(logits: Float64s) -> Float64s:
    """Probability that an examined item is wanted: a = 1 / (1 + e^-logit)."""
    result: Float64s = 1.0 / (1.0 + np.exp(-logits))
    return result


def expected_reward(attractions: Float64s, exponent: float) -> Float64s:
    """Expected number of wanted items that are seen: Σ_k e(k) · a_k, for slates [n, k].

    Clicks caused only by trust do not count, because those items were not wanted.
    """
    result: Float64s = attractions @ examination(attractions.shape[1], exponent)
    return result


def ageing(age: Float64s, half_life: float, oldest: float) -> Float64s:
    """The amount by which age (days) lowers the logit: min(age · ln 2 / half-life, oldest)."""
    result: Float64s = np.minimum(np.maximum(age, 0.0) * np.log(2.0) / half_life, oldest)
    return result


def decay(days: Float64s | float, half_life: float) -> Float64s:
    """The share left after `days`: 2^(−days / half-life)."""
    return np.exp2(-np.asarray(days, dtype=np.float64) / half_life)


def continuation(clicks: Int64s, after_click: float, disappointment: float) -> Float64s:
    """Probability of another round: after_click, minus `disappointment` if the slate had no
    click."""
    return np.where(clicks > 0, after_click, after_click - disappointment)


def return_probability(rate: Float64s, satisfaction: Float64s, gain: float) -> Float64s:
    """Probability to visit on a day.

    Its logit is that of the user's own rate plus gain · satisfaction.
    """
    return attraction(np.log(rate / (1.0 - rate)) + gain * satisfaction)


def turned(directions: Float64s, towards: Float64s, angle: float) -> Float64s:
    """Unit rows turned by `angle` (radians) towards the component of `towards` at right angles."""
    across = towards - (towards * directions).sum(axis=1, keepdims=True) * directions
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    result: Float64s = np.cos(angle) * directions + np.sin(angle) * across
    return result
