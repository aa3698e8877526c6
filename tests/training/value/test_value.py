"""Estimators are exact in expectation where their assumption holds, and not where it does not."""

from itertools import permutations

import numpy as np
import pytest

from training.value import cascade_dr, ips, item_position, reward_interaction, snips
from training.value.estimate import clustered, effective_size, estimate
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


A, B = SLATES[:, 0], SLATES[:, 1]
REWARDS = {
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


def found(name, logged):
    if name == "ips":
        return ips.contributions(logged)
    if name == "reward_interaction":
        return reward_interaction.contributions(logged)
    if name == "item_position":
        return item_position.contributions(logged, exposures(LOGGING), exposures(TARGET))
    return cascade_dr.contributions(logged, *models(logged.rewards, off=0.7))


def models(rewards, off=0.0):
    """Rewards still to come given the prefix, `off` from the truth, and their mean over items."""
    chance = propensities(TARGET)
    second = rewards[:, 1] + off * SLATES[:, 1]
    mean_second = np.array([(chance[:, 1] * second)[a == A].sum() for a in A])
    now = np.array([(chance[:, 1] * rewards[:, 0])[a == A].sum() for a in A])
    first = now + mean_second + off * A
    mean_first = (chance.prod(axis=1) * first).sum()
    return np.column_stack([first, second]), np.column_stack([ONES[:, 0] * mean_first, mean_second])


EXACT = {
    "ips": {"own", "above", "all"},
    "reward_interaction": {"own", "above"},
    "cascade_dr": {"own", "above"},
    "item_position": {"own"},
}


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("name", EXACT)
def test_exact_where_the_assumption_holds_and_only_there(name: str, kind: str) -> None:
    truth = float(propensities(TARGET).prod(axis=1) @ REWARDS[kind].sum(axis=1))
    error = abs(expected(found(name, problem(kind))) - truth)
    assert (error < 1e-12) == (kind in EXACT[name]), error


def test_on_policy_gives_the_plain_rewards() -> None:
    logged = problem("all", LOGGING)
    for estimator in (ips, reward_interaction):
        assert estimator.contributions(logged) == pytest.approx(logged.rewards.sum(axis=1))


def test_a_perfect_model_leaves_no_variance() -> None:
    logged = problem("above")
    assert np.ptp(cascade_dr.contributions(logged, *models(logged.rewards))) < 1e-12


def test_self_normalising_follows_a_shift_of_the_rewards() -> None:
    logged = problem("all")
    moved = Logged(
        logged.users, logged.rewards + 1.5, logged.present, logged.logging, logged.target
    )
    gap = snips.contributions(moved).mean() - snips.contributions(logged).mean()
    assert gap == pytest.approx(3.0, abs=1e-12)


def test_abstains_below_the_stated_effective_size() -> None:
    assert effective_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    values, users = np.ones(3), np.arange(3)
    assert estimate(values, np.array([1.0, 1.0, 2.0]), users, 2.7).abstains
    assert not estimate(values, np.array([1.0, 1.0, 2.0]), users, 2.6).abstains


def test_the_clustered_interval_covers() -> None:
    random = np.random.default_rng(0)
    users, covered = np.repeat(np.arange(100), 5), 0
    for _ in range(300):
        values = random.normal(0, 1, 100)[users] + random.normal(0, 1, 500)
        bounds = clustered(values, users)
        covered += bounds.low <= 0 <= bounds.high
    assert 0.91 <= covered / 300 <= 0.985


@pytest.mark.parametrize("bad", [0.0, 1.1, np.nan])
def test_refuses_impossible_propensities(bad: float) -> None:
    logged = problem("own")
    with pytest.raises(ValueError, match="logging"):
        Logged(logged.users, logged.rewards, logged.present, ONES * bad, logged.target)


def test_absent_slots_earn_nothing_and_weigh_one() -> None:
    whole = problem("own")
    present = np.column_stack([ONES[:, 0] > 0, ONES[:, 0] < 0])
    short = Logged(whole.users, whole.rewards, present, whole.logging, whole.target)
    first = TARGET[A] / LOGGING[A] * whole.rewards[:, 0]
    for estimator in (ips, reward_interaction):
        assert estimator.contributions(short) == pytest.approx(first)
