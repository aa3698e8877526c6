"""Bounds of looks, against published constants and against simulated walks."""

import numpy as np
import pytest

from training.value.spending import Look, next_bound, spent


def crossing(bounds: list[float], information: list[float]) -> float:
    """Chance of a walk without drift to cross any bound."""
    random = np.random.default_rng(1)
    steps = np.sqrt(np.diff([0.0, *information]))
    walks = np.cumsum(random.normal(size=(200_000, len(bounds))) * steps, axis=1)
    return float(((walks / np.sqrt(information)) > bounds).any(axis=1).mean())


def bounds_of(spends: list[float], information: list[float]) -> list[float]:
    looks: list[Look] = []
    for spend, known in zip(spends, information, strict=True):
        looks.append(Look(known, next_bound(looks, known, spend)))
    return [look.bound for look in looks]


def test_the_first_bound_is_the_quantile() -> None:
    assert next_bound([], 3.0, 0.025) == pytest.approx(1.959964, abs=1e-4)


def test_equal_bounds_are_pococks() -> None:
    """Five looks, one-sided 0.025: 2.413 (Jennison and Turnbull, 2000, table 2.1)."""
    looks = [Look(float(i), 2.413) for i in range(1, 5)]
    total = 0.0
    for number in range(5):
        target = 2.413
        low, high = 0.0, 0.025
        for _ in range(40):
            middle = (low + high) / 2
            bound = next_bound(looks[:number], number + 1.0, middle)
            low, high = (middle, high) if bound > target else (low, middle)
        total += low
    assert total == pytest.approx(0.025, abs=2e-4)


@pytest.mark.parametrize("growth", ["even", "uneven", "shrinking"])
def test_all_looks_together_err_as_often_as_was_spent(growth: str) -> None:
    information = {
        "even": [float(i) for i in range(1, 21)],
        "uneven": np.cumsum(np.random.default_rng(0).uniform(0.2, 3.0, 20)).tolist(),
        "shrinking": np.cumsum(np.geomspace(5.0, 0.5, 20)).tolist(),
    }[growth]
    rate = 0.05
    spends = [spent(i, rate, 20) - spent(i - 1, rate, 20) for i in range(1, 21)]
    bounds = bounds_of(spends, information)
    assert crossing(bounds, information) == pytest.approx(sum(spends), abs=0.002)


def test_the_rate_is_never_all_spent() -> None:
    values = [spent(looks, 0.05, 20) for looks in range(1, 2000)]
    assert (np.diff(values) > 0).all()
    assert values[19] == pytest.approx(0.05 * (1 + 20 / 21) / 2)
    assert values[-1] < 0.05


def test_information_that_shrinks_is_not_an_error() -> None:
    earlier = [Look(10.0, 2.5), Look(20.0, 2.5)]
    assert 1.0 < next_bound(earlier, 15.0, 0.002) < 4.0
