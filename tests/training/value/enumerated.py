"""All slates of two of three items, with both policies' propensities and kinds of reward."""

from itertools import permutations

import numpy as np

from training.value.logged import Logged

SLATES = np.array(list(permutations(range(3), 2)))
LOGGING, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
ONES = np.ones((6, 2))


def propensities(weights):
    first = weights[SLATES[:, 0]]
    return np.column_stack([first, weights[SLATES[:, 1]] / (1 - first)])


def exposures(weights):
    chance = propensities(weights).prod(axis=1)
    return np.array(
        [[chance[SLATES[:, j] == slate[j]].sum() for j in range(2)] for slate in SLATES]
    )


def places(weights):
    """Probability that the item of the second axis' slot stands in the third axis' slot."""
    chance = propensities(weights).prod(axis=1)
    return np.array(
        [[[chance[SLATES[:, p] == i].sum() for p in range(2)] for i in slate] for slate in SLATES]
    )


A, B = SLATES[:, 0], SLATES[:, 1]
LOOKS = np.array([1.0, 0.5])
REWARDS = {
    "looked": np.column_stack([A + 1.0, B + 1.0]) * LOOKS,
    "own": np.column_stack([A + 1.0, 2.0 * B**2]),
    "above": np.column_stack([A + 1.0, 2.0 * B + 5.0 * (A == 0) * B]),
    "all": np.column_stack([A + 4.0 * (B == 2), 3.0 * B * (A == 1)]),
}


def problem(kind, target=TARGET):
    return Logged(
        np.arange(6), REWARDS[kind], ONES > 0, propensities(LOGGING), propensities(target)
    )


def expected(contributions):
    return float(propensities(LOGGING).prod(axis=1) @ contributions)


def models(rewards, off=0.0):
    """Rewards still to come given the prefix, `off` from the truth, and their mean over items."""
    chance = propensities(TARGET)
    second = rewards[:, 1] + off * SLATES[:, 1]
    mean_second = np.array([(chance[:, 1] * second)[a == A].sum() for a in A])
    now = np.array([(chance[:, 1] * rewards[:, 0])[a == A].sum() for a in A])
    first = now + mean_second + off * A
    mean_first = (chance.prod(axis=1) * first).sum()
    return np.column_stack([first, second]), np.column_stack([ONES[:, 0] * mean_first, mean_second])
