"""Looks at growing data, each with a bound, so that all looks together err with a known rate.

The error rate is spent look by look (Lan and DeMets, "Discrete sequential boundaries for clinical
trials", Biometrika 1983). The bound of a look follows from the joint distribution of the looks
before it, by integrating over what they left undecided (Armitage, McPherson and Rowe, JRSS A 1969).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import optimize, stats

from base.arrays import Float64s

#: Grid points of an integral, and how far below 0 it reaches, in standard errors.
_POINTS: Final = 301
_REACH: Final = 8.0
#: Least growth of information from look to look, as a share. Less would ask too much of the grid.
_LEAST_GROWTH: Final = 0.01


@dataclass(frozen=True)
class Look:
    """One look: information (1 / squared standard error), and the bound that z had to exceed."""

    information: float
    bound: float


def spent(looks: int, rate: float, horizon: int) -> float:
    """The part of `rate` that is spent after `looks` looks.

    Half goes by Pocock's spending function up to the horizon. The other half is spent early, since
    most champions are replaced within a few looks, and never quite, so that looking need not end.
    """
    if looks <= 0:
        return 0.0
    evenly = math.log1p((math.e - 1.0) * min(looks / horizon, 1.0))
    early = looks / (looks + 1.0)
    return rate * (evenly + early) / 2.0


def next_bound(earlier: Sequence[Look], information: float, spend: float) -> float:
    """The bound of a new look at the same question, whose chance to err first here is `spend`.

    earlier: in order of time. information: of the new look; less than before counts as a little
    more than before.
    """
    density = _undecided(tuple(earlier)).moved_to(information)
    if density.above(0.0) <= spend:
        return 0.0
    return float(optimize.brentq(lambda z: density.above(z) - spend, 0.0, _REACH, xtol=1e-6))


@lru_cache(maxsize=256)
def _undecided(earlier: tuple[Look, ...]) -> "_Density":
    """What no earlier look has decided."""
    if not earlier:
        return _Density(0.0, np.zeros(1), np.ones(1), 0.0)
    *before, last = earlier
    return _undecided(tuple(before)).moved_to(last.information).below(last.bound)


@dataclass(frozen=True)
class _Density:
    """Distribution of the score (z times the root of the information) while undecided.

    before: information when it was last cut; grid, weights: points and masses then; information:
    now.
    """

    before: float
    grid: Float64s
    weights: Float64s
    information: float

    def moved_to(self, information: float) -> "_Density":
        least = self.before * (1.0 + _LEAST_GROWTH)
        return _Density(self.before, self.grid, self.weights, max(information, least))

    def above(self, bound: float) -> float:
        """Probability to be above the bound (in standard errors) now."""
        spread = math.sqrt(self.information - self.before)
        limit = bound * math.sqrt(self.information)
        return float((self.weights * stats.norm.sf((limit - self.grid) / spread)).sum())

    def below(self, bound: float) -> "_Density":
        """What stays undecided: the part below the bound."""
        root, spread = math.sqrt(self.information), math.sqrt(self.information - self.before)
        grid = np.linspace(-_REACH * root, bound * root, _POINTS)
        step = grid[1] - grid[0]
        simpson = np.full(_POINTS, 2.0)
        simpson[1::2] = 4.0
        simpson[[0, -1]] = 1.0
        density = stats.norm.pdf((grid[:, None] - self.grid) / spread) @ self.weights / spread
        return _Density(self.information, grid, density * simpson * step / 3.0, self.information)
