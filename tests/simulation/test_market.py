"""The market from day to day: drift, fashion, return, new items."""

import dataclasses

import numpy as np
import pytest

from base.params import ParamsError, build
from features.schema import DAY
from simulation import behaviour
from simulation.items import common_appeal, taste_vectors, topic_directions
from simulation.market import START, Market, Visit
from simulation.users import population
from simulation.world_params import WorldParams
from tests.simulation.conftest import SMALL

CONTROL = dataclasses.replace(SMALL, control=True)


def after(params: WorldParams, days: int) -> Market:
    market = Market(params)
    for _ in range(days):
        market.close([])
    return market


def test_tastes_turn_by_the_stated_angle_each_day() -> None:
    market = Market(SMALL)
    before = market.tastes
    market.close([])
    cosines = (before * market.tastes).sum(axis=1)
    np.testing.assert_allclose(cosines, np.cos(SMALL.drift))
    assert not np.allclose(before, market.tastes)


def test_topics_turn_in_taste_space_by_the_stated_angle_each_day() -> None:
    cosines = (topic_directions(SMALL, 3) * topic_directions(SMALL, 8)).sum(axis=1)
    np.testing.assert_allclose(cosines, np.cos(5 * SMALL.rotation))


def test_text_tells_only_the_visible_share_of_what_an_item_is() -> None:
    params = dataclasses.replace(WorldParams(), initial_items=3000)
    market = Market(params)
    vectors = taste_vectors(params, market.items, 0)
    topics = market.items.topics
    told = topics @ np.linalg.lstsq(topics, vectors, rcond=None)[0]
    explained = 1 - ((vectors - told) ** 2).sum() / ((vectors - vectors.mean(axis=0)) ** 2).sum()
    assert explained == pytest.approx(params.visible_share, abs=0.06)


def test_an_item_loses_half_its_odds_in_a_half_life_unless_it_is_evergreen() -> None:
    market = after(dataclasses.replace(SMALL, trend=0.0, half_life=1.0), 3)
    young = market.items.first_day == 2.0
    now = common_appeal(market.params, market.items, 3)[young]
    later = common_appeal(market.params, market.items, 4)[young]
    evergreen = market.items.evergreen[young]
    expected = np.where(evergreen, 1.0, 0.5)
    np.testing.assert_allclose(np.exp(later - now), expected)


def test_items_arrive_each_morning() -> None:
    market = after(SMALL, 3)
    assert len(market.items) == SMALL.initial_items + 3 * SMALL.new_items
    new = market.new_items()
    assert len(new) == SMALL.new_items
    assert (new.created_at == START + 3 * DAY).all()
    assert len(set(market.items.item_ids)) == len(market.items)


def test_the_control_world_stands_still() -> None:
    start, later = Market(CONTROL), after(CONTROL, 5)
    assert len(later.items) == CONTROL.initial_items
    np.testing.assert_array_equal(start.today.logits, later.today.logits)
    assert len(later.new_items()) == 0


def test_the_drifting_world_does_not_stand_still() -> None:
    start, later = Market(SMALL), after(SMALL, 5)
    moved = later.today.logits[:, : len(start.items)] - start.today.logits
    assert np.abs(moved).mean() > 0.5


def test_people_return_as_often_as_the_law_says() -> None:
    params = dataclasses.replace(SMALL, humans=4000, sessions_per_day=1000, initial_items=20)
    market = Market(params)
    humans = market.users.humans
    pleased = humans[::2]
    market.satisfaction[pleased] = 1.0
    chance = behaviour.return_probability(
        market.users.rate, market.satisfaction, params.return_gain
    )
    came = np.zeros(len(market.users), dtype=bool)
    came[market.visitors()] = True
    for group in (pleased, humans[1::2]):
        expected = chance[group].sum()
        assert abs(came[group].sum() - expected) < 4 * np.sqrt(expected)
    assert chance[pleased].mean() > 1.3 * chance[humans[1::2]].mean()


def test_clicks_please_and_empty_slates_put_off() -> None:
    market = Market(SMALL)
    pleased, bored = (int(user) for user in market.users.humans[:2])
    market.close([Visit(pleased, (1, 2, 3), (), 1, 3), Visit(bored, (), (), 3, 0)])
    assert market.satisfaction[pleased] > 0 > market.satisfaction[bored]
    assert market.return_probability()[bored] < market.users.rate[bored]


def test_satiation_halves_in_its_half_life() -> None:
    market = Market(dataclasses.replace(SMALL, satiation_half_life=1.0))
    user = int(market.users.humans[0])
    market.close([Visit(user, (4,), (), 1, 1)])
    np.testing.assert_allclose(market.satiation[user], 0.5 * market.items.topics[4])


def test_popularity_counts_recent_events() -> None:
    market = Market(dataclasses.replace(SMALL, popularity_half_life=1.0))
    market.close([Visit(0, (4, 5), (), 1, 0), Visit(1, (4,), (), 1, 0)])
    market.close([Visit(0, (6,), (), 1, 0)])
    np.testing.assert_allclose(market.popularity[[4, 5, 6]], [1.0, 0.5, 1.0])


def test_the_stated_number_of_people_and_bots_live_here() -> None:
    params = WorldParams(humans=980, bot_share=0.02)
    users = population(params)
    assert len(users.humans) == 980
    assert users.bot.sum() == 20
    assert users.rate[users.humans].sum() == pytest.approx(params.sessions_per_day, rel=1e-3)


def test_a_seed_changes_the_randomness_but_not_the_laws() -> None:
    one, two = (Market(dataclasses.replace(WorldParams(), seed=seed)) for seed in (1, 2))
    assert not np.array_equal(one.tastes, two.tastes)
    assert list(one.items.titles) != list(two.items.titles)
    assert one.today.logits.std() == pytest.approx(two.today.logits.std(), rel=0.05)
    assert len(one.visitors()) == pytest.approx(len(two.visitors()), rel=0.2)


def test_more_sessions_than_people_is_a_readable_error() -> None:
    with pytest.raises(ValueError, match=r"world\.sessions_per_day is 350"):
        population(WorldParams(humans=300))


@pytest.mark.parametrize("key", ["humans", "history_days", "initial_items"])
def test_a_world_without_people_days_or_items_is_refused(key: str) -> None:
    with pytest.raises(ParamsError, match=rf"'world\.{key}' must be at least 1, not 0"):
        build(WorldParams, "world", {key: 0})
