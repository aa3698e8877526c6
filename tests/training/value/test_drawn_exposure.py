"""Exposure and value under a policy with a diversity penalty, against slates that it draws."""

import numpy as np
import pytest
from scipy import sparse

from base.arrays import Float64s
from serving.policy import PolicyParams, draw
from training.value.drawn_exposure import drawn_exposure
from training.value.exposures import Policy, exposures
from training.value.ordering import Ordering
from training.value.paired import Shown, Target, earned

SLATES, SLOTS = 30_000, 6


def categories(items: int, seed: int = 0) -> sparse.csr_matrix:
    """Three of ten categories for each item, at most."""
    chosen = np.random.default_rng(seed).random((items, 10)) < 0.2
    return sparse.csr_matrix(chosen.astype(np.float32))


def drawn(ordering: Ordering, items: int, policy: Policy, generator: np.random.Generator) -> Shown:
    """Slates of the real policy, all items eligible, without clicks."""
    count, width = ordering.items.shape
    slates = draw(
        np.tile(-np.arange(width, dtype=np.float32), (count, 1)),
        ordering.items,
        np.ones((count, items), dtype=np.bool_),
        SLOTS,
        PolicyParams(policy.temperature, policy.epsilon, policy.diversity),
        generator.random((count, SLOTS)),
        categories(items),
    ).items
    clicks, eligible = np.zeros((count, SLOTS)), np.full(count, items)
    return Shown(np.arange(count), slates, clicks, eligible, ordering, policy)


@pytest.mark.parametrize(
    ("candidates", "items", "epsilon", "diversity"),
    [
        (40, 300, 0.05, 1.0),
        (40, 300, 0.3, 1.0),
        (30, 30, 0.0, 3.0),
        (4, 30, 0.1, 1.0),
        (0, 20, 0.05, 1.0),
    ],
)
def test_exposure_is_how_often_the_policy_shows_each_item_in_each_slot(
    candidates: int, items: int, epsilon: float, diversity: float
) -> None:
    ranked = np.random.default_rng(2).permutation(items)[:candidates].astype(np.int32)
    policy = Policy(0.5, epsilon, diversity)
    shown = drawn(
        Ordering(np.tile(ranked, (SLATES, 1))), items, policy, np.random.default_rng(1)
    ).items
    same = Ordering(np.tile(ranked, (100, 1)))
    means = drawn_exposure(
        same, np.full(100, items), SLOTS, 0.5, epsilon, diversity, categories(items)
    ).mean(axis=0, dtype=np.float64)
    for slot in range(SLOTS):
        share = np.bincount(shown[:, slot], minlength=items) / SLATES
        found = np.full(items, means[-1, slot])
        found[ranked] = means[:-1, slot]
        error = np.sqrt(np.maximum(found, 1e-4) * (1 / SLATES + 1 / 50_000))
        assert found.sum() == pytest.approx(1.0, abs=1e-5)
        assert (np.abs(share - found) < 5.5 * error).all()


def test_few_slates_are_enough_for_two_percent() -> None:
    ordering = Ordering(np.tile(np.arange(120, dtype=np.int32), (100, 1)))
    found = drawn_exposure(ordering, np.full(100, 1000), 10, 0.5, 0.05, 1.0, categories(1000))
    total: Float64s = found.sum(axis=2, dtype=np.float64)[:, :120]
    error = total.std(axis=0) / total.mean(axis=0)
    assert (total.mean(axis=0) > 1e-3).all()
    assert np.sqrt((error**2).mean()) < 0.012
    assert error.max() < 0.03


def test_without_a_penalty_drawing_gives_the_table() -> None:
    ordering = Ordering(np.tile(np.arange(30, dtype=np.int32), (50, 1)))
    table = exposures(ordering, np.full(50, 200), SLOTS, Policy(0.5, 0.05))
    found = drawn_exposure(ordering, np.full(50, 200), SLOTS, 0.5, 0.05, 0.0, categories(200))
    rows, ranks = np.zeros(31, dtype=np.int64), np.append(np.arange(30), -1)
    expected = table.by_slot(rows, ranks).sum(axis=1)
    np.testing.assert_allclose(found.mean(axis=0).sum(axis=1), expected, rtol=0.02)


def test_a_penalty_needs_categories() -> None:
    with pytest.raises(ValueError, match="categories"):
        exposures(Ordering(np.zeros((1, 1), dtype=np.int32)), np.array([5]), 3, Policy(0.5, 0.1, 1))


@pytest.mark.parametrize("serves", [Policy(0.5, 0.1, 2.0), Policy(0.5, 0.1, 0.0)])
def test_what_a_penalty_earns_is_known_from_the_slates_of_another_policy(serves: Policy) -> None:
    """Both ways: a diverse policy valued on slates of a plain one, and the reverse."""
    items, count = 60, 1500
    other = Policy(0.5, 0.1, 2.0 - serves.diversity)
    generator = np.random.default_rng(4)
    likes = categories(items)[:, generator.integers(10, size=count)].toarray().T
    liking = 1 / (1 + np.exp(1.5 - generator.normal(size=(count, items)) - 2.0 * likes))
    noise = 0.5 * generator.normal(size=liking.shape)
    ordering = Ordering(np.argsort(-np.log(liking) + noise, axis=1)[:, :25].astype(np.int32))
    looks = np.arange(1.0, SLOTS + 1) ** -0.6

    def chances(shown: Shown) -> Float64s:
        return looks * liking[np.arange(count)[:, None], shown.items]

    shown = drawn(ordering, items, serves, generator)
    clicks = (generator.random((count, SLOTS)) < chances(shown)).astype(np.float64)
    shown = Shown(shown.users, shown.items, clicks, shown.eligible, ordering, serves)
    result = earned(
        shown, Target(ordering, serves), Target(ordering, other), items, 20.0, categories(items)
    )
    truth = [
        np.mean([chances(drawn(ordering, items, policy, generator)).sum() for _ in range(12)])
        / count
        for policy in (serves, other)
    ]
    assert abs(truth[1] / truth[0] - 1) > 0.03
    difference = result.second - result.first
    error = difference.std() / np.sqrt(count)
    assert difference.mean() == pytest.approx(truth[1] - truth[0], abs=3.5 * error)
    assert error < 0.02 * truth[0]
