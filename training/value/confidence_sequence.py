"""Confidence sequences: intervals that hold at all looks together, whenever one stops.

Asymptotic, by a normal mixture: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform
central limit theory and asymptotic confidence sequences" (Annals of Statistics, 2024). The
boundaries are those of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences" (2021), with the estimated variance in place of a known one.

Like a normal interval they need enough units before the first look (`start`), but then no number of
looks has to be planned. Units are independent: users, not their events.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import log_ndtr

from base.arrays import Bools, Float64s

Sides = Literal["both", "low", "high"]
"""Which bounds are wanted. One alone is tighter; the other is infinite."""

PRIOR: Final = 200
"""Units of both arms together that enter the variance of each."""


@dataclass(frozen=True)
class Sums:
    """What is needed of the units up to each look: arrays of one shape, such as [looks].

    Raises ValueError where shapes differ, numbers are not finite or impossible.
    """

    n: Float64s
    """Units."""
    total: Float64s
    """Sum of their values."""
    squares: Float64s
    """Sum of their squared values."""

    def __post_init__(self) -> None:
        if not self.n.shape == self.total.shape == self.squares.shape:
            raise ValueError(
                f"shapes differ: {self.n.shape}, {self.total.shape}, {self.squares.shape}"
            )
        if not all(np.isfinite(part).all() for part in (self.n, self.total, self.squares)):
            raise ValueError("sums have values that are not finite")
        if (self.n < 0).any():
            raise ValueError("n has negative counts")
        if (self.squares * self.n < self.total**2 * (1 - 1e-9)).any():
            raise ValueError("squares are too small for these totals")

    @staticmethod
    def of(values: Float64s) -> "Sums":
        """After each of `values` [n], one unit each: arrays [n]."""
        return Sums(
            np.arange(1.0, len(values) + 1), np.cumsum(values, dtype=float), np.cumsum(values**2)
        )

    def mean(self) -> Float64s:
        """Mean at each look, 0 without units."""
        return np.divide(self.total, self.n, out=np.zeros(self.n.shape), where=self.n > 0)

    def variance(self) -> Float64s:
        """Variance of the units at each look, by n - 1; 0 with fewer than two units."""
        spread = np.maximum(self.squares - self.total * self.mean(), 0.0)
        return np.divide(spread, self.n - 1, out=np.zeros(self.n.shape), where=self.n > 1)


@dataclass(frozen=True)
class Bounds:
    """The estimate at each look with its bounds, which may be infinite."""

    mean: Float64s
    low: Float64s
    high: Float64s


def of_mean(
    sums: Sums, best: float, alpha: float = 0.05, sides: Sides = "both", start: float = 100
) -> Bounds:
    """Bounds of the mean of a unit that all hold, at all looks together, with 1 - `alpha`.

    They are tightest after `best` units (stated before looking). Infinite before `start` units, or
    while all values are equal.
    """
    return _bounds(sums.mean(), sums.variance(), sums.n, sums.n >= start, best, alpha, sides)


def of_difference(
    left: Sums,
    right: Sums,
    best: float,
    alpha: float = 0.05,
    sides: Sides = "both",
    start: float = 100,
) -> Bounds:
    """The same for mean of `left` - mean of `right`, two independent arms of any sizes.

    `best` counts the units of both, `start` those of each. The share of an arm must not change
    between looks, as the units of an arm then are a fixed part of time; give the sums since it did.
    An arm's variance is drawn to that of both arms together by `PRIOR` units, because a small arm
    that happens to hold few rewards would look certain.
    """
    both = Sums(left.n + right.n, left.total + right.total, left.squares + right.squares)
    error = np.zeros(both.n.shape)
    for arm in (left, right):
        variance = (arm.n * arm.variance() + PRIOR * both.variance()) / (arm.n + PRIOR)
        error += np.divide(variance, arm.n, out=np.zeros(both.n.shape), where=arm.n > 0)
    enough = np.minimum(left.n, right.n) >= start
    return _bounds(left.mean() - right.mean(), both.n * error, both.n, enough, best, alpha, sides)


def _bounds(
    mean: Float64s,
    variance: Float64s,
    n: Float64s,
    known: Bools,
    best: float,
    alpha: float,
    sides: Sides,
) -> Bounds:
    known = known & (variance > 0)
    half = np.full(n.shape, math.inf)
    half[known] = np.sqrt(variance[known]) * margin(n[known], best, alpha, sides != "both")
    infinite = np.full(n.shape, math.inf)
    return Bounds(
        mean,
        -infinite if sides == "high" else mean - half,
        infinite if sides == "low" else mean + half,
    )


def margin(n: Float64s, best: float, alpha: float, one_sided: bool = False) -> Float64s:
    """Half width of the bounds of a mean after `n` > 0 units, in standard deviations of a unit."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    rho = spread(best, 2 * alpha if one_sided else alpha)
    if one_sided:
        return _one_sided(n, rho, alpha) / n
    total: Float64s = np.sqrt((n + rho) * (np.log1p(n / rho) + 2 * math.log(1 / alpha)))
    return total / n


def spread(best: float, alpha: float) -> float:
    """Units of prior knowledge, rho, that make the bounds tightest after about `best` units.

    Howard et al. (2021), section 3.5, by an approximation of Lambert's function.
    """
    if best <= 0:
        raise ValueError(f"best {best} is not positive")
    wanted = 2 * math.log(1 / min(alpha, 0.5))
    return best / (wanted + math.log1p(wanted))


def _one_sided(n: Float64s, rho: float, alpha: float) -> Float64s:
    """Boundary of the sum: where the mixture over positive drifts only reaches 1 / `alpha`.

    Solves u² / 2 + log Φ(u) = log(1 / alpha) + log((n + rho) / 4 rho) / 2 for u = sum / √(n + rho).
    The left side is convex and grows, so Newton's method from above converges.
    """
    wanted = math.log(1 / alpha) + np.log((n + rho) / (4 * rho)) / 2
    u: Float64s = np.sqrt(2 * np.maximum(wanted + math.log(2), 0.0))
    for _ in range(50):
        hazard = np.exp(-(u**2) / 2 - log_ndtr(u)) / math.sqrt(2 * math.pi)
        step = (u**2 / 2 + log_ndtr(u) - wanted) / (u + hazard)
        u = u - step
        if np.abs(step).max(initial=0.0) < 1e-13:
            break
    return u * np.sqrt(n + rho)
