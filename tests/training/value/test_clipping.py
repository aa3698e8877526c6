"""Limited weights are biased, and the interval holds the value in spite of it."""

import numpy as np
import pytest

from tests.training.value.enumerated import (
    LOGGING,
    LOOKS,
    SLATES,
    TARGET,
    expected,
    exposures,
    places,
    problem,
    propensities,
)
from training.value import clipping, dr, item_position, pbm
from training.value.logged import Logged

KINDS = {
    "clipped": lambda w: clipping.clipped(w, 1.2),
    "switched": lambda w: clipping.switched(w, 1.2),
    "shrunk": lambda w: clipping.shrunk(w, 2.0),
    "flattened": lambda w: clipping.flattened(w, 0.3),
}


def clicks(logged):
    """The rewards as chances of a click, in [0, 1]."""
    return Logged(logged.users, logged.rewards / 10, logged.present, logged.logging, logged.target)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_out_bounds_the_bias(kind: str) -> None:
    logged = clicks(problem("own"))
    truth = propensities(TARGET).prod(axis=1) @ logged.rewards.sum(axis=1)
    weights = item_position.weights(logged, exposures(LOGGING), exposures(TARGET))
    assert expected(clipping.missing(logged, weights)) == pytest.approx(0, abs=1e-12)
    limited = KINDS[kind](weights)
    value = expected((limited * logged.rewards).sum(axis=1))
    left_out = expected(clipping.missing(logged, limited))
    assert left_out > 0.01
    assert value < truth <= value + left_out


def test_by_looks_where_the_weights_are_of_looks() -> None:
    logged = clicks(problem("looked"))
    weights = pbm.weights(logged, places(LOGGING), places(TARGET), LOOKS)
    assert expected(clipping.missing(logged, weights, LOOKS)) == pytest.approx(0, abs=1e-12)


def test_a_model_moves_the_bias_to_its_own_error() -> None:
    logged = clicks(problem("own"))
    truth = propensities(TARGET).prod(axis=1) @ logged.rewards.sum(axis=1)
    limited = clipping.clipped(np.full((6, 2), 3.0), 0.5)
    model = np.full(6, truth)
    right = dr.contributions(logged, limited, logged.rewards, model)
    assert expected(right) == pytest.approx(truth)


def test_items_that_were_never_shown_are_left_out_too() -> None:
    """The target shows item 1 alone, which the log shows half as often as it could."""
    shown = np.tile([[1.0], [0.0]], (50, 1))
    logged = Logged(np.arange(100), shown, shown >= 0, np.full((100, 1), 0.5), shown * 0 + 0.3)
    left_out = clipping.missing(logged, logged.ratios())
    assert left_out.mean() == pytest.approx(0.4)
    found = clipping.outer((logged.ratios() * shown).sum(axis=1), left_out, logged.users, 0, 1)
    assert found.mean == pytest.approx(0.3)
    assert found.high > 0.3 + 0.4


@pytest.mark.parametrize("reward", [0.02, 0.5])
def test_the_outer_interval_covers_where_the_inner_one_does_not(reward: float) -> None:
    random, chance = np.random.default_rng(0), propensities(LOGGING).prod(axis=1)
    rewards = np.array([reward, reward, 1.0 - reward])[SLATES]
    truth = propensities(TARGET).prod(axis=1) @ rewards.sum(axis=1)
    outer = inner = 0
    for _ in range(200):
        rows = random.choice(6, 400, p=chance)
        logged = Logged(
            np.arange(400),
            (random.random((400, 2)) < rewards[rows]).astype(float),
            np.ones((400, 2), dtype=bool),
            exposures(LOGGING)[rows],
            exposures(TARGET)[rows],
        )
        limited = clipping.clipped(logged.ratios(), 1.2)
        values = (limited * logged.rewards).sum(axis=1)
        for_all = clipping.outer(values, clipping.missing(logged, limited), logged.users, 0, 1)
        alone = clipping.outer(values, np.zeros(400), logged.users, 0, 1)
        outer += for_all.low <= truth <= for_all.high
        inner += alone.low <= truth <= alone.high
    assert outer >= 190
    assert inner < 100


@pytest.mark.parametrize("limit", [0.0, -1.0, np.nan])
def test_refuses_impossible_limits(limit: float) -> None:
    for limited in (clipping.clipped, clipping.switched, clipping.shrunk):
        with pytest.raises(ValueError, match="limit"):
            limited(np.ones((1, 1)), limit)
