"""The true value of slates, compared with enumeration."""

import dataclasses
import itertools

import numpy as np
import pytest

from simulation.history import live_market
from simulation.market import Market
from simulation.valuation import Snapshot, take
from tests.simulation.conftest import SMALL, World


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return take(live_market(SMALL), 50)


def test_people_are_distinct_and_no_bots(world: World) -> None:
    sample = take(world.market, 1000)
    assert len(set(sample.user_ids)) == 1000
    assert not world.market.users.bot[sample.users].any()
    assert sample.day == 0
    assert sample.attraction.shape == (1000, len(sample.item_ids))
    assert set(world.market.new_items().item_ids) <= set(sample.item_ids)


def test_who_visits_more_is_sampled_more(world: World) -> None:
    sample = take(world.market, 300)
    chance = world.market.return_probability()
    assert chance[sample.users].mean() > 1.2 * chance[world.market.users.humans].mean()


def test_a_smaller_sample_is_part_of_a_larger_one(world: World) -> None:
    assert set(take(world.market, 100).users) <= set(take(world.market, 400).users)


def test_taking_a_sample_changes_nothing() -> None:
    market, other = Market(SMALL), Market(SMALL)
    take(market, 20)
    market.close([])
    other.close([])
    np.testing.assert_array_equal(market.today.logits, other.today.logits)
    np.testing.assert_array_equal(market.visitors(), other.visitors())


def test_sorting_by_attraction_is_the_best_of_all_slates(snapshot: Snapshot) -> None:
    few = np.arange(6)
    every = np.array(list(itertools.permutations(few, 3)))
    worth = snapshot.expected_reward_of(every, np.full(len(every), 3))
    best = few[np.argsort(-snapshot.attraction[3, few])][:3]
    assert snapshot.expected_reward_of(best[None, :], np.array([3]))[0] == pytest.approx(
        worth.max()
    )


def test_the_reward_is_the_sum_of_examination_times_attraction(snapshot: Snapshot) -> None:
    slates = np.array([["i00003", "i00001", None]] * 50, dtype=object)
    column = {item_id: i for i, item_id in enumerate(snapshot.item_ids)}
    by_hand = (
        snapshot.attraction[:, column["i00003"]]
        + 2**-SMALL.examination * snapshot.attraction[:, column["i00001"]]
    )
    np.testing.assert_allclose(snapshot.expected_reward(slates), by_hand)


def test_an_unknown_item_is_named(snapshot: Snapshot) -> None:
    with pytest.raises(KeyError, match="i77777"):
        snapshot.expected_reward(np.array([["i77777"]], dtype=object), np.array([0]))


def test_personal_choice_is_worth_far_more_than_popularity(world: World) -> None:
    market, sample = world.market, take(world.market, 500)
    unseen = ~market.seen[sample.users]
    popular = np.argsort(-np.where(unseen, market.popularity, -1), axis=1)[:, :10]
    oracle = np.argsort(-np.where(unseen, sample.attraction, -1), axis=1)[:, :10]
    assert sample.expected_reward_of(oracle).mean() > 2 * sample.expected_reward_of(popular).mean()


def test_the_best_slates_of_a_drifting_world_are_full_of_new_items() -> None:
    params = dataclasses.replace(SMALL, initial_items=800, new_items=25)
    market = Market(params)
    for _ in range(20):
        market.close([])
    sample = take(market, 100)
    oracle = np.argsort(-sample.attraction, axis=1)[:, :10]
    assert (market.items.first_day[oracle] >= 14).mean() > 0.3
