"""Estimators are exact in expectation where their assumption holds, and not where it does not."""

import numpy as np
import pytest

from tests.training.value.enumerated import (
    LOGGING,
    LOOKS,
    ONES,
    REWARDS,
    TARGET,
    A,
    B,
    expected,
    exposures,
    models,
    places,
    problem,
    propensities,
)
from training.value import (
    cascade_dr,
    dr,
    ips,
    item_position,
    pbm,
    reward_interaction,
    self_normalised,
    snips,
)
from training.value.effective import effective_share, effective_size
from training.value.estimate import clustered, estimate
from training.value.logged import Logged


def found(name, logged):
    if name == "ips":
        return ips.contributions(logged)
    if name == "reward_interaction":
        return reward_interaction.contributions(logged)
    if name == "item_position":
        return item_position.contributions(logged, exposures(LOGGING), exposures(TARGET))
    if name == "pbm":
        return (pbm_weights(logged) * logged.rewards).sum(axis=1)
    if name == "dr":
        whole = np.repeat(ips.weights(logged)[:, None], 2, axis=1)
        return dr.contributions(logged, whole, *wrong_model())
    if name == "item_position_dr":
        weights = item_position.weights(logged, exposures(LOGGING), exposures(TARGET))
        return dr.contributions(logged, weights, *wrong_model())
    if name == "pbm_dr":
        return dr.contributions(logged, pbm_weights(logged), *wrong_model())
    return cascade_dr.contributions(logged, *models(logged.rewards, off=0.7))


def pbm_weights(logged):
    return pbm.weights(logged, places(LOGGING), places(TARGET), LOOKS)


def wrong_model():
    """A reward by item and looks that is not the truth, and what it expects of the target."""
    predicted = np.column_stack([2.0 * A, 2.0 * B]) * LOOKS
    chance = propensities(TARGET).prod(axis=1)
    return predicted, np.full(6, (chance * predicted.sum(axis=1)).sum())


EXACT = {
    "ips": {"looked", "own", "above", "all"},
    "dr": {"looked", "own", "above", "all"},
    "reward_interaction": {"looked", "own", "above"},
    "cascade_dr": {"looked", "own", "above"},
    "item_position": {"looked", "own"},
    "item_position_dr": {"looked", "own"},
    "pbm": {"looked"},
    "pbm_dr": {"looked"},
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


def test_self_normalised_slot_by_slot_is_the_ratio_of_each_slot() -> None:
    logged = problem("above")
    weights = reward_interaction.weights(logged)
    found = self_normalised.contributions(logged, weights)
    ratio = (weights * logged.rewards).sum(axis=0) / weights.sum(axis=0)
    assert found.mean() == pytest.approx(ratio.sum())
    whole = np.repeat(ips.weights(logged)[:, None], 2, axis=1)
    assert self_normalised.contributions(logged, whole) == pytest.approx(
        snips.contributions(logged)
    )


def test_self_normalised_needs_a_target_that_shows_something() -> None:
    logged = problem("own")
    with pytest.raises(ValueError, match="slot 1"):
        self_normalised.contributions(logged, ONES * [1.0, 0.0])


def test_abstains_below_the_stated_effective_size() -> None:
    assert effective_size(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert effective_share(np.array([1.0, 2.0]), np.array([2.0, 1.0])) == pytest.approx(16 / 18)
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


@pytest.mark.parametrize("bad", [np.zeros(5), np.full(6, np.nan), np.zeros((6, 2))])
def test_refuses_expectations_that_are_not_one_number_a_slate(bad) -> None:
    logged = problem("own")
    with pytest.raises(ValueError, match="expected"):
        dr.contributions(logged, logged.ratios(), logged.rewards, bad)


def test_refuses_a_log_without_slates() -> None:
    none = np.zeros((0, 2))
    with pytest.raises(ValueError, match="no slates"):
        Logged(np.zeros(0, dtype=int), none, none > 0, none, none)


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
