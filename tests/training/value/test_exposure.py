"""Expected exposure against slates drawn by the real policy."""

import numpy as np
import pytest

from serving.policy import PolicyParams, draw
from training.value.exposure import draws, exposure

SLATES = 60_000


@pytest.mark.parametrize(
    ("candidates", "eligible", "epsilon"),
    [
        (60, 400, 0.05),
        (20, 30, 0.3),
        (6, 30, 0.05),
        (8, 8, 0.05),
        (3, 200, 0.1),
        (30, 30, 0.0),
        (0, 20, 0.05),
    ],
)
def test_exposure_is_how_often_the_policy_shows_each_item_in_each_slot(
    candidates: int, eligible: int, epsilon: float
) -> None:
    drawn = draw(
        np.tile(-np.arange(candidates, dtype=np.float32), (SLATES, 1)),
        np.tile(np.arange(candidates, dtype=np.int32), (SLATES, 1)),
        np.ones((SLATES, eligible), dtype=np.bool_),
        10,
        PolicyParams(temperature=0.5, epsilon=epsilon),
        np.random.default_rng(1).random((SLATES, 10)),
    ).items
    found = exposure(candidates, eligible, 10, 0.5, epsilon)
    whole = np.vstack([found.ranked, np.tile(found.explored, (eligible - candidates, 1))])
    total = np.zeros(eligible)
    for slot in range(10):
        shown = drawn[:, slot]
        share = np.bincount(shown[shown >= 0], minlength=eligible) / SLATES
        total += share
        error = np.sqrt(np.maximum(whole[:, slot], 1e-4) * (1 / SLATES + 1 / 20_000))
        assert (np.abs(share - whole[:, slot]) < 5.5 * error).all()
    error = np.sqrt(whole.sum(axis=1) / SLATES)
    assert (np.abs(total - whole.sum(axis=1)) < 0.02 * total + 5 * error).all()


def test_the_first_draw_follows_the_weights_exactly() -> None:
    weights = np.arange(1.0, 101.0) ** -2.0
    np.testing.assert_allclose(draws(100, 10, 0.5)[:, 0], weights / weights.sum(), rtol=1e-9)


def test_the_second_draw_equals_the_sum_over_all_first_ones() -> None:
    weights = np.arange(1.0, 41.0) ** -2.0
    share = weights / weights.sum()
    second = [
        sum(share[first] * weights[item] / (weights.sum() - weights[first])
            for first in range(40) if first != item)
        for item in range(40)
    ]  # fmt: skip
    np.testing.assert_allclose(draws(40, 2, 0.5)[:, 1], second, rtol=1e-8)


def test_more_candidates_than_eligible_items_are_refused() -> None:
    with pytest.raises(ValueError, match="eligible"):
        exposure(5, 4, 3, 0.5, 0.05)
