"""Losses of single scores, compared with torch's own, row by row."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.transformer.pointwise import CALIBRATION, Pointwise, pointwise

ITEMS, STATES = 50, 40
NEGATIVES = torch.arange(0, ITEMS, 5)


def problem() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    states = torch.randn(STATES, 16, generator=random).requires_grad_()
    items = torch.randn(ITEMS, 16, generator=random).mul(0.3).requires_grad_()
    return states, items, torch.randint(0, ITEMS, (STATES,), generator=random)


def row_by_row(states: Tensor, items: Tensor, targets: Tensor, form: Pointwise) -> Tensor:
    """As the papers write it down: the target first, its probability to the power β in `gbce`."""
    losses = []
    for state, target in zip(states, targets, strict=True):
        others = NEGATIVES[target != NEGATIVES]
        scores = torch.cat([items[target][None], items[others]]) @ state
        wanted = F.one_hot(torch.tensor(0), len(scores)).float()
        if form == "mse":
            losses.append(F.mse_loss(scores, wanted))
            continue
        alpha = len(others) / (ITEMS - 1)
        beta = alpha * (CALIBRATION * (1 - 1 / alpha) + 1 / alpha) if form == "gbce" else 1.0
        chances = torch.sigmoid(scores + np.log(beta / len(others)))
        chances = torch.cat([chances[:1] ** beta, chances[1:]])
        losses.append(F.binary_cross_entropy(chances, wanted))
    return torch.stack(losses).sum()


@pytest.mark.parametrize("form", ["bce", "gbce", "mse"])
def test_value_and_gradients_are_those_of_the_formula(form: Pointwise) -> None:
    states, items, targets = problem()
    assert set(NEGATIVES.tolist()) & set(targets.tolist())
    ours = pointwise(states, items, targets, NEGATIVES, form, ITEMS)
    theirs = row_by_row(states, items, targets, form)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours, (states, items)), torch.autograd.grad(theirs, (states, items))
    )


def test_with_the_whole_vocabulary_in_the_sample_gbce_is_bce() -> None:
    states, items, targets = problem()
    everything = torch.arange(ITEMS)
    gbce, bce = (
        pointwise(states, items, targets, everything, form, ITEMS) for form in ("gbce", "bce")
    )
    torch.testing.assert_close(gbce, bce)


@pytest.mark.parametrize("form", ["bce", "gbce"])
def test_where_nothing_is_known_targets_and_negatives_weigh_the_same(form: Pointwise) -> None:
    """Otherwise all scores would fall at first, before they are distinguished."""
    scores = torch.zeros(STATES, 1, requires_grad=True)
    _, _, targets = problem()
    (slope,) = torch.autograd.grad(
        pointwise(scores, torch.ones(ITEMS, 1), targets, NEGATIVES, form, ITEMS), scores
    )
    assert slope.abs().max() < 1e-6


def test_a_step_without_targets_is_worth_nothing() -> None:
    states, items, targets = problem()
    assert float(pointwise(states[:0], items, targets[:0], NEGATIVES, "bce", ITEMS).detach()) == 0
