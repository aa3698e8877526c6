"""The average that the optimisers keep, and how their rate falls."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from training.transformer.config import OptimiserName, ScheduleName, TransformerParams
from training.transformer.optimiser import Averaging, optimiser, rate
from training.transformer.recipe import Recipe

NAMES = get_args(OptimiserName)


def line() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(1, 1, bias=False)


def recipe_of(name: OptimiserName = "adamw", **values: Any) -> Recipe:
    return Recipe.of(TransformerParams(optimiser=name, **values), events=1000, items=10)


def of(model: nn.Linear, name: OptimiserName = "adamw", horizon: float = 4) -> Averaging:
    return optimiser(model, recipe_of(name, learning_rate=0.1, average=horizon / 100), 100)


class Small(nn.Module):
    """A matrix, which has weight decay, and parameters without it."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)
        self.no_id = nn.Parameter(torch.ones(3))


def train(model: nn.Linear, chosen: Averaging, steps: int) -> list[float]:
    """The weight after each step."""
    weights = []
    for _ in range(steps):
        chosen.zero_grad()
        (model.weight.sum() - 3).square().backward()
        chosen.step()
        weights.append(float(model.weight.detach()))
    return weights


@pytest.mark.parametrize("name", NAMES)
def test_it_starts_as_the_mean_and_then_follows_over_its_horizon(name: OptimiserName) -> None:
    model = line()
    chosen = of(model, name)
    weights = train(model, chosen, 20)
    expected = 0.0
    for step, weight in enumerate(weights, 1):
        expected += (weight - expected) * max(1 / 5, 1 / step)
    np.testing.assert_allclose(float(chosen.average(model.weight)), expected, rtol=1e-6)


def test_without_a_horizon_it_is_the_weight_itself() -> None:
    model = line()
    chosen = of(model, horizon=0)
    weights = train(model, chosen, 5)
    assert float(chosen.average(model.weight)) == weights[-1]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_saved_and_resumed_with_the_optimiser(name: OptimiserName) -> None:
    whole, halves = line(), line()
    first, second, third = (of(model, name) for model in (whole, halves, halves))
    train(whole, first, 10)
    train(halves, second, 5)
    third.load_state_dict(second.state_dict())
    train(halves, third, 5)
    assert torch.equal(first.average(whole.weight), third.average(halves.weight))


@pytest.mark.parametrize("name", NAMES)
def test_every_optimiser_arrives(name: OptimiserName) -> None:
    model = line()
    assert abs(train(model, of(model, name), 200)[-1] - 3) < 0.1


@pytest.mark.parametrize("schedule", ["cosine", "linear", "exponential"])
def test_the_rate_rises_and_then_falls_to_a_twentieth(schedule: ScheduleName) -> None:
    recipe = recipe_of(schedule=schedule)
    rates = [rate(step, 100, recipe) for step in range(101)]
    peak = int(np.argmax(rates))
    assert rates[0] < 0.2
    assert (peak, rates[peak]) == (5, 1.0)
    assert (np.diff(rates[peak:]) < 0).all()
    assert np.isclose(rates[100], 0.05)


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    recipe = recipe_of(schedule="constant")
    assert rate(0, 100, recipe) < 0.2
    assert {rate(step, 100, recipe) for step in (10, 50, 100)} == {1.0}


@pytest.mark.parametrize("name", NAMES)
def test_weight_decay_shrinks_matrices_by_rate_and_decay_and_nothing_else(
    name: OptimiserName,
) -> None:
    model = Small()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    recipe = recipe_of(name, weight_decay=0.5, learning_rate=0.1)
    chosen = optimiser(model, recipe, 100)
    for _ in range(10):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        chosen.step()
    after = model.state_dict()
    torch.testing.assert_close(after["matrix.weight"], before["matrix.weight"] * 0.95**10)
    assert all(torch.equal(after[key], before[key]) for key in before if key != "matrix.weight")
