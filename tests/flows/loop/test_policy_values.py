"""The true value of policies, in a market with hand-made attractions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.items.catalogue import Catalogue
from features.requests.requests import Requests
from features.schema import ITEM_FEATURES
from flows.loop.policy_values import SYSTEMS, Valuation, value
from serving.policy import PolicyParams
from serving.release import Release
from simulation.valuation import Snapshot
from tests.serving import small
from tests.training import market
from training.recommender import Recommender
from training.sources.popularity import Popularity

PEOPLE = 40
CATALOGUE = Catalogue.from_table(small.items())
ALMOST_GREEDY = PolicyParams(temperature=1e-6, epsilon=0.0)


def snapshot(attraction: np.ndarray) -> Snapshot:
    return Snapshot(
        day=3,
        timestamp=market.NOW,
        users=np.arange(PEOPLE),
        user_ids=np.array([f"u{n}" for n in range(PEOPLE)], dtype=object),
        item_ids=CATALOGUE.item_ids,
        attraction=attraction,
        examination_exponent=1.0,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recommender, Recommender]:
    """Two releases of different weights."""
    folder: Path = tmp_path_factory.mktemp("releases")
    for seed in (1, 2):
        small.make_release(folder / str(seed), seed)
    one, two = (Release.open(folder / str(seed)).load(CATALOGUE) for seed in (1, 2))
    return one, two


@pytest.fixture(scope="module")
def people() -> Snapshot:
    return snapshot(np.random.default_rng(5).random((PEOPLE, len(CATALOGUE))))


@pytest.fixture(scope="module")
def requests() -> Requests:
    return market.requests(market.random_lists(PEOPLE))


def interval(found: Valuation, other: str) -> tuple[float, float, float]:
    difference = found.minus(other, seed=1, confidence=0.9)
    return difference.mean, difference.low, difference.high


def test_the_same_release_served_and_frozen_is_worth_exactly_the_same(
    models: tuple[Recommender, Recommender], people: Snapshot, requests: Requests
) -> None:
    found = value(people, requests, models[0], models[0], PolicyParams())
    np.testing.assert_array_equal(found.rewards["served"], found.rewards["frozen"])
    np.testing.assert_array_equal(found.greedy["served"], found.greedy["frozen"])
    assert interval(found, "frozen") == (0.0, 0.0, 0.0)


def test_another_release_is_paired_person_by_person(
    models: tuple[Recommender, Recommender], people: Snapshot, requests: Requests
) -> None:
    served, frozen = models
    found = value(people, requests, served, frozen, PolicyParams())
    swapped = value(people, requests, frozen, served, PolicyParams())
    np.testing.assert_array_equal(found.rewards["served"], swapped.rewards["frozen"])
    mean, low, high = interval(found, "frozen")
    assert low < mean < high
    assert mean == pytest.approx((found.rewards["served"] - found.rewards["frozen"]).mean())
    wider = found.minus("frozen", seed=1, confidence=0.99)
    assert wider.low < low < high < wider.high


def test_no_greedy_list_is_worth_more_than_the_oracles_to_anybody(
    models: tuple[Recommender, Recommender], people: Snapshot, requests: Requests
) -> None:
    found = value(people, requests, *models, PolicyParams())
    for system in SYSTEMS:
        assert (found.greedy["oracle"] >= found.greedy[system]).all(), system
        assert (found.greedy["oracle"] >= found.rewards[system]).all(), system
    assert (found.greedy["oracle"] > found.greedy["served"]).any()


def test_without_a_champion_popularity_is_what_is_served(
    models: tuple[Recommender, Recommender], people: Snapshot, requests: Requests
) -> None:
    found = value(people, requests, None, models[1], PolicyParams())
    assert interval(found, "popularity") == (0.0, 0.0, 0.0)
    assert found.means()["served"] != found.means()["frozen"]


def test_popularity_shows_the_most_popular_items_in_order(
    models: tuple[Recommender, Recommender], requests: Requests
) -> None:
    """Items 20 to 29 have 30 to 21 events in the window and all others none, so item 20 comes
    first. The value of an item for everybody is its number."""
    popularity = models[0].sources.get(Popularity)
    assert popularity is not None
    days = popularity.days
    features = np.zeros((1, len(CATALOGUE), len(ITEM_FEATURES)), dtype=np.float32)
    features[0, 20:30, ITEM_FEATURES.index(f"item_events_{days}d")] = np.arange(30, 20, -1)
    asked = replace(
        requests,
        item_features=features,
        snapshot=np.zeros(PEOPLE, dtype=np.int32),
        histories=market.histories([[] for _ in range(PEOPLE)]),
    )
    worth = np.tile(np.arange(float(len(CATALOGUE))), (PEOPLE, 1))
    people = snapshot(worth)
    found = value(people, asked, *models, ALMOST_GREEDY)
    slate = np.tile(CATALOGUE.item_ids[20:30], (PEOPLE, 1))
    expected = people.expected_reward(slate)
    np.testing.assert_allclose(found.greedy["popularity"], expected)
    np.testing.assert_allclose(found.rewards["popularity"], expected)
    best = people.expected_reward(np.tile(CATALOGUE.item_ids[::-1][:10], (PEOPLE, 1)))
    np.testing.assert_allclose(found.greedy["oracle"], best)


def test_nothing_seen_unavailable_or_hidden_is_shown_by_anyone(
    models: tuple[Recommender, Recommender],
) -> None:
    """Only items that must not be shown have a value, so every value must be 0."""
    forbidden = [1, 2, 4]  # seen, seen, hidden; item 3 is not available
    asked = market.requests([[1, 2]] * PEOPLE, hidden=[[4]] * PEOPLE)
    worth = np.zeros((PEOPLE, len(CATALOGUE)))
    worth[:, [*forbidden, 3]] = 1.0
    found = value(snapshot(worth), asked, *models, PolicyParams())
    assert set(found.means().values()) == {0.0}
    assert set(found.greedy_means().values()) == {0.0}
