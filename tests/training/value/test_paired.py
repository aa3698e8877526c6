"""Two releases on the same slates, against their true value in a small world of the same model."""

from dataclasses import dataclass

import numpy as np
import pytest

from base.arrays import Float64s, Int32s
from serving.policy import PolicyParams, draw
from training.value.estimate import clustered
from training.value.exposure import exposure
from training.value.exposures import Policy
from training.value.ordering import Ordering
from training.value.paired import Earned, Shown, Target, earned
from training.value.position_bias import position_bias

ITEMS, CANDIDATES, SLOTS, POLICY = 60, 25, 5, Policy(temperature=0.5, epsilon=0.1)
LOOKS = np.array([1.0, 0.7, 0.5, 0.35, 0.3])


@dataclass(frozen=True)
class World:
    """n users with a liking of each item, float64 [n, ITEMS]."""

    liking: Float64s

    @staticmethod
    def of(users: int, seed: int) -> "World":
        generator = np.random.default_rng(seed)
        return World(1 / (1 + np.exp(1.5 - generator.normal(size=(users, ITEMS)))))

    def release(self, skill: float, seed: int) -> Ordering:
        """Candidates by liking, of which noise leaves more or less."""
        noise = np.random.default_rng(seed).normal(size=self.liking.shape)
        best = np.argsort(-(skill * np.log(self.liking) + noise), axis=1)[:, :CANDIDATES]
        return Ordering(best.astype(np.int32))

    def served(self, by: Ordering, seed: int) -> Shown:
        """Slates that `by` serves, and the clicks on them."""
        generator = np.random.default_rng(seed)
        count = len(self.liking)
        items = draw(
            np.tile(-np.arange(CANDIDATES, dtype=np.float32), (count, 1)),
            by.items,
            np.ones((count, ITEMS), dtype=np.bool_),
            SLOTS,
            PolicyParams(temperature=POLICY.temperature, epsilon=POLICY.epsilon),
            generator.random((count, SLOTS)),
        ).items
        chance = LOOKS * self.liking[np.arange(count)[:, None], items]
        clicks = (generator.random(chance.shape) < chance).astype(np.float64)
        eligible = np.full(count, ITEMS)
        return Shown(np.arange(count), items, clicks, eligible, by, POLICY)

    def value(self, release: Ordering) -> float:
        """True clicks per slate of a release."""
        table = exposure(CANDIDATES, ITEMS, SLOTS, POLICY.temperature, POLICY.epsilon)
        weights = np.tile(table.explored @ LOOKS, self.liking.shape)
        np.put_along_axis(
            weights, release.items, np.tile(table.ranked @ LOOKS, (len(weights), 1)), axis=1
        )
        return float((weights * self.liking).sum(axis=1).mean())


def target(ordering: Ordering, policy: Policy = POLICY) -> Target:
    return Target(ordering, policy)


def compared(world: World, seed: int, clip: float = 20.0) -> tuple[Earned, Ordering, Ordering]:
    champion, challenger = world.release(1.0, 2), world.release(1.4, 2)
    shown = world.served(champion, seed)
    return earned(shown, target(champion), target(challenger), ITEMS, clip), champion, challenger


def test_the_difference_of_two_releases_is_estimated_without_bias_and_its_interval_covers() -> None:
    covered, misses = [], []
    world = World.of(1500, 0)
    for seed in range(40):
        result, champion, challenger = compared(world, seed)
        truth = world.value(challenger) - world.value(champion)
        found = clustered(result.second - result.first, result.users)
        covered.append(found.low <= truth <= found.high)
        misses.append(found.mean - truth)
    error = np.std(misses) / np.sqrt(len(misses))
    assert abs(np.mean(misses)) < 3 * error
    assert abs(np.mean(misses)) < 0.01 * world.value(champion)
    assert np.mean(covered) >= 0.85


def test_who_served_has_no_weight_but_one_and_its_value_is_what_it_earned() -> None:
    world = World.of(3000, 1)
    champion = world.release(1.0, 2)
    shown = world.served(champion, 5)
    result = earned(shown, target(champion), target(champion), ITEMS, 10.0)
    np.testing.assert_allclose(result.first, result.second)
    assert result.clipped == (0.0, 0.0)
    assert result.first.mean() == pytest.approx(shown.clicks.sum(axis=1).mean(), rel=0.02)


def test_weight_that_is_clipped_is_counted() -> None:
    result, *_ = compared(World.of(1500, 0), 1, clip=1.5)
    assert result.clipped[0] == 0.0
    assert 0.01 < result.clipped[1] < 0.9


def test_without_any_click_nothing_is_earned() -> None:
    world = World.of(50, 1)
    champion = world.release(1.0, 2)
    shown = world.served(champion, 5)
    silent = Shown(
        shown.users, shown.items, np.zeros_like(shown.clicks), shown.eligible, champion, POLICY
    )
    result = earned(silent, target(champion), target(world.release(2.0, 7)), ITEMS, 10.0)
    assert not result.second.any()


def test_looks_of_each_slot_are_found_from_the_randomness_of_the_policy() -> None:
    world = World.of(40_000, 3)
    release = world.release(1.0, 2)
    shown = world.served(release, 4)
    table = exposure(CANDIDATES, ITEMS, SLOTS, POLICY.temperature, POLICY.epsilon)
    whole = np.vstack([table.ranked, table.explored])
    keys = np.arange(len(shown.users))[:, None] * ITEMS + shown.items
    found = release.index(ITEMS).of(keys.ravel())
    ranks: Int32s = found.reshape(keys.shape).astype(np.int32)
    np.testing.assert_allclose(position_bias(whole[ranks], shown.clicks), LOOKS, rtol=0.06)


def test_items_that_the_log_never_shows_count_as_unsaid() -> None:
    """A few slates of a large catalogue, and a challenger without a common candidate."""
    count, items = 40, 20_000
    champion = Ordering(np.tile(np.arange(25, dtype=np.int32), (count, 1)))
    challenger = Ordering(champion.items + 1000)
    shown = Shown(
        np.arange(count),
        champion.items[:, :SLOTS],
        np.ones((count, SLOTS)),
        np.full(count, items),
        champion,
        POLICY,
    )
    result = earned(shown, target(champion), target(challenger), items, 20.0)
    assert result.clipped[0] == 0.0
    assert result.clipped[1] > 0.8


def test_a_release_is_valued_under_its_own_policy() -> None:
    """The same ranking, of which one policy shows little and explores at random."""
    world = World.of(3000, 1)
    champion = world.release(1.5, 2)
    explores = Policy(POLICY.temperature, epsilon=0.9)
    shown = world.served(champion, 5)
    result = earned(shown, target(champion), target(champion, explores), ITEMS, 20.0)
    table = exposure(CANDIDATES, ITEMS, SLOTS, explores.temperature, explores.epsilon)
    weights = np.tile(table.explored @ LOOKS, world.liking.shape)
    np.put_along_axis(
        weights, champion.items, np.tile(table.ranked @ LOOKS, (len(weights), 1)), axis=1
    )
    truth = float((weights * world.liking).sum(axis=1).mean())
    assert truth < 0.9 * world.value(champion)
    assert result.second.mean() == pytest.approx(truth, rel=0.08)
