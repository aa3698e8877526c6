"""Bounds hold at all looks together, and one side alone is tighter."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from training.value import bounded
from training.value.confidence_sequence import Sums, margin, of_difference, of_mean, spread

LOOKS = np.arange(100, 4001, 100)


def arm(values, shown):
    n, total = np.cumsum(shown)[LOOKS - 1], np.cumsum(values * shown)[LOOKS - 1]
    return Sums(n.astype(float), total.astype(float), total.astype(float))


@pytest.mark.parametrize(("share", "chance"), [(0.5, 0.05), (0.1, 0.02)])
def test_equal_arms_are_rarely_told_apart_in_forty_looks(share: float, chance: float) -> None:
    random, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        values, first = random.random(4000) < chance, random.random(4000) < share
        found = of_difference(arm(values, first), arm(values, ~first), best=2000)
        wrong += ((found.low > 0) | (found.high < 0)).any()
    assert wrong <= 30  # 5 % is 20


def test_a_true_difference_is_found() -> None:
    random = np.random.default_rng(0)
    values, first = random.random(4000), random.random(4000) < 0.5
    values = (values < np.where(first, 0.1, 0.2)).astype(float)
    found = of_difference(arm(values, first), arm(values, ~first), best=2000, sides="high")
    assert found.high[-1] < 0
    assert found.low[-1] == -math.inf


def test_the_bounds_of_a_mean_close_on_it() -> None:
    values = np.random.default_rng(1).exponential(2.0, 20_000)
    found = of_mean(Sums.of(values), best=5000)
    assert ((found.low <= 2.0) & (found.high >= 2.0)).all()
    assert found.high[-1] - found.low[-1] < 0.2
    assert np.isinf(found.high[:99]).all()
    assert np.isfinite(found.high[99:]).all()


def test_one_side_is_tighter_than_both_and_looser_than_one_planned_look() -> None:
    n = np.array([100.0, 1000.0, 1e6])
    one, both = margin(n, 1000, 0.05, one_sided=True), margin(n, 1000, 0.05)
    assert (one < both).all()
    assert (one > 1.645 / np.sqrt(n)).all()


def test_the_margin_is_smallest_about_where_it_was_asked_to_be() -> None:
    rhos = np.geomspace(1e-3, 1e3, 601) * spread(1000, 0.05)
    best = [math.sqrt((1000 + rho) * (math.log1p(1000 / rho) + 2 * math.log(20))) for rho in rhos]
    assert 1000 * margin(np.array([1000.0]), 1000, 0.05)[0] <= min(best) * 1.001


def test_values_that_never_vary_say_nothing() -> None:
    found = of_mean(Sums.of(np.zeros(1000)), best=500)
    assert np.isinf(found.high).all()


@pytest.mark.parametrize(
    ("n", "total", "squares", "message"),
    [
        ([1.0], [1.0, 2.0], [1.0], "shapes"),
        ([1.0], [np.nan], [1.0], "not finite"),
        ([-1.0], [1.0], [1.0], "negative"),
        ([4.0], [4.0], [3.0], "too small"),
    ],
)
def test_refuses_impossible_sums(n, total, squares, message) -> None:
    with pytest.raises(ValueError, match=message):
        Sums(np.array(n), np.array(total), np.array(squares))


@pytest.mark.parametrize("one_sided", [False, True])
def test_at_the_margin_the_mixture_over_drifts_reaches_one_in_alpha(one_sided: bool) -> None:
    """Against the integral that the closed form stands for."""
    n, alpha = 700.0, 0.05
    total = n * margin(np.array([n]), 1000, alpha, one_sided)[0]
    rho = spread(1000, 2 * alpha if one_sided else alpha)
    drifts = stats.halfnorm(scale=rho**-0.5) if one_sided else stats.norm(scale=rho**-0.5)
    wealth = integrate.quad(
        lambda drift: drifts.pdf(drift) * math.exp(drift * total - drift**2 * n / 2),
        0 if one_sided else -1,
        1,
        points=[total / n],
        limit=200,
    )[0]
    assert wealth == pytest.approx(1 / alpha, rel=1e-6)


def test_bounds_of_rare_rewards_hold_from_the_first_unit_on() -> None:
    random, wrong = np.random.default_rng(3), 0
    for _ in range(300):
        found = bounded.of_values((random.random(500) < 0.01).astype(float))
        wrong += ((found.low > 0.01) | (found.high < 0.01)).any()
    assert wrong <= 15
    assert found.high[-1] < 0.1


@pytest.mark.parametrize("bad", [np.array([0.5, 1.1]), np.array([np.nan]), np.zeros((2, 2))])
def test_bounded_values_are_in_range(bad) -> None:
    with pytest.raises(ValueError, match="one number in"):
        bounded.of_values(bad)
