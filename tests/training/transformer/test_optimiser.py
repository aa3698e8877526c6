"""The average that the optimiser keeps."""

import numpy as np
import torch
from torch import nn

from training.transformer.config import TransformerParams
from training.transformer.optimiser import AveragingAdamW, optimiser, rate


def train(model: nn.Linear, chosen: AveragingAdamW, steps: int) -> list[float]:
    """The weight after each step."""
    weights = []
    for _ in range(steps):
        chosen.zero_grad()
        (model.weight.sum() - 3).square().backward()
        chosen.step()
        weights.append(float(model.weight.detach()))
    return weights


def test_it_starts_as_the_mean_and_then_follows_over_its_horizon() -> None:
    model = nn.Linear(1, 1, bias=False)
    chosen = AveragingAdamW([{"params": list(model.parameters())}], 0.1, horizon=4)
    weights = train(model, chosen, 20)
    expected = 0.0
    for step, weight in enumerate(weights, 1):
        expected += (weight - expected) * max(1 / 5, 1 / step)
    np.testing.assert_allclose(float(chosen.average(model.weight)), expected, rtol=1e-6)


def test_without_a_horizon_it_is_the_weight_itself() -> None:
    model = nn.Linear(1, 1, bias=False)
    chosen = AveragingAdamW([{"params": list(model.parameters())}], 0.1, horizon=0)
    weights = train(model, chosen, 5)
    assert float(chosen.average(model.weight)) == weights[-1]


def test_it_is_saved_and_resumed_with_the_optimiser() -> None:
    torch.manual_seed(0)
    whole, halves = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    halves.load_state_dict(whole.state_dict())
    params = TransformerParams()
    first, second, third = (optimiser(m, params, 100) for m in (whole, halves, halves))
    train(whole, first, 10)
    train(halves, second, 5)
    third.load_state_dict(second.state_dict())
    train(halves, third, 5)
    assert torch.equal(first.average(whole.weight), third.average(halves.weight))


def test_the_rate_rises_and_then_falls_to_a_twentieth() -> None:
    rates = [rate(step, 100, 0.05) for step in range(101)]
    assert rates[0] < 0.2
    assert max(rates) == rates[int(np.argmax(rates))] > 0.95
    assert np.isclose(rates[100], 0.05)
