"""A world small enough to enumerate: seven items, slates of three, users who click differently.

Slots are looked at as their position is, and clicked as their item is and their user likes to. Both
policies draw slates by Plackett-Luce from weights of the items, so every propensity and the true
value are sums over 210 slates.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Final

import numpy as np

from base.arrays import Float64s, Int64s
from training.value.logged import Logged

ITEMS: Final = 7
SLOTS: Final = 3
SLATES: Final = np.array(list(permutations(range(ITEMS), SLOTS)))
LOOKS: Final = np.array([1.0, 0.6, 0.4])
APPEAL: Final = np.linspace(0.02, 0.14, ITEMS)
"""Chance of a click on an item that is looked at, before the user's own factor (mean 1)."""


@dataclass(frozen=True)
class PlackettLuce:
    """A policy that draws each next item by `weights` [items]."""

    weights: Float64s

    @cached_property
    def conditional(self) -> Float64s:
        """Probability of each slot's item given those above [slates, slots]."""
        drawn = self.weights[SLATES]
        above = np.cumsum(drawn, axis=1) - drawn
        chances: Float64s = drawn / (self.weights.sum() - above)
        return chances

    @cached_property
    def chance(self) -> Float64s:
        """Probability of each slate [slates]."""
        product: Float64s = self.conditional.prod(axis=1)
        return product

    @cached_property
    def exposure(self) -> Float64s:
        """Probability that each item stands in each slot [items, slots]."""
        shown = SLATES[:, None, :] == np.arange(ITEMS)[None, :, None]
        total: Float64s = (self.chance[:, None, None] * shown).sum(axis=0)
        return total

    def value(self, likes: float) -> float:
        """Expected clicks per slate."""
        return float((self.exposure * LOOKS).sum(axis=1) @ APPEAL * likes)


LOGGING: Final = PlackettLuce(np.exp(-np.arange(ITEMS) / 3.0))
"""The logging policy, which likes what is clicked least."""


def target(distance: float) -> PlackettLuce:
    """A policy that likes the other items the more, the larger `distance` is; 0: uniform."""
    return PlackettLuce(np.exp(np.arange(ITEMS) * distance))


@dataclass(frozen=True)
class Sample:
    """A log of `LOGGING`, with the slate of each row: an index into `SLATES` [n]."""

    logged: Logged
    slates: Int64s


def sample(random: np.random.Generator, users: int, policy: PlackettLuce, likes: float) -> Sample:
    """What `users` did, with one slate each and a Poisson number of further ones (mean 2).

    likes: scales all chances of a click.
    """
    slates = 1 + random.poisson(2, users)
    user = np.repeat(np.arange(users), slates)
    rows = random.choice(len(SLATES), len(user), p=LOGGING.chance)
    chance = likes * LOOKS * APPEAL[SLATES[rows]] * random.gamma(2, 0.5, users)[user, None]
    clicks = (random.random(chance.shape) < chance).astype(float)
    logged = Logged(
        user,
        clicks,
        np.ones(clicks.shape, bool),
        LOGGING.conditional[rows],
        policy.conditional[rows],
    )
    return Sample(logged, rows)
