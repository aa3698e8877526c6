"""The actions of simulated users, compared with the laws they should follow."""

import dataclasses

import numpy as np
import pytest

from simulation import behaviour
from simulation.market import Market
from simulation.session import Actions, Sessions
from simulation.world_params import WorldParams

PARAMS = WorldParams(humans=6000, initial_items=60, sessions_per_day=600)
SIZE = PARAMS.slate_size


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(PARAMS)


def first_round(market: Market) -> tuple[Sessions, Actions, np.ndarray]:
    """Every person is shown a random slate. Returns sessions, actions, attraction of the slots."""
    sessions = Sessions.begin(market, market.users.humans)
    rows = np.arange(len(sessions.users))
    keys = np.random.default_rng(5).random((len(rows), len(market.items)))
    slates = np.argsort(keys, axis=1)[:, :SIZE]
    logits = market.today.current_logits(sessions.users, sessions.satiation)
    shown = behaviour.attraction(np.take_along_axis(logits, slates, axis=1))
    return sessions, sessions.play(rows, slates), shown


def near(count: float, expected: float, trials: float) -> bool:
    """Whether a count of rare events is within four standard errors."""
    share = expected / trials
    return abs(count - expected) < 4 * np.sqrt(trials * share * (1 - share)) + 1e-9


def test_clicks_by_position_follow_the_examination_curve_and_trust(market: Market) -> None:
    _, actions, shown = first_round(market)
    clicks = np.bincount(actions.position[actions.event_type == "click"], minlength=SIZE)
    place = np.arange(1, SIZE + 1)
    wanted = shown + PARAMS.trust / place * (1.0 - shown)
    expected = (place**-PARAMS.examination * wanted).sum(axis=0)
    for position in range(SIZE):
        assert near(clicks[position], expected[position], len(shown)), position
    assert clicks[0] > 2 * clicks[-1]


def test_without_trust_clicks_are_worth_what_the_reward_says() -> None:
    honest = Market(dataclasses.replace(PARAMS, trust=0.0))
    _, actions, shown = first_round(honest)
    rewards = behaviour.expected_reward(shown, PARAMS.examination)
    clicks = (actions.event_type == "click").sum()
    assert abs(clicks - rewards.sum()) < 4 * np.sqrt(rewards.sum())


def test_browsing_prefers_popular_items_by_the_law() -> None:
    shop = Market(dataclasses.replace(PARAMS, searches=0.0))
    popular = np.arange(len(shop.items)) % 2 == 0
    shop.popularity = np.where(popular, 200.0, 3.0)
    sessions = Sessions.begin(shop, shop.users.humans)
    rows = np.arange(len(sessions.users))
    nothing = np.full((len(rows), SIZE), -1)
    actions = sessions.play(rows, nothing)
    first = actions.number == actions.number[actions.event_type == "view"].min()
    odds = np.exp(PARAMS.sharpness * shop.today.logits[shop.users.humans])
    weights = odds * (1.0 + shop.today.popularity) ** PARAMS.popularity_bias
    chance = (weights / weights.sum(axis=1, keepdims=True))[:, popular].sum(axis=1)
    expected = chance[actions.row[first]].sum()
    assert near(popular[actions.item[first]].sum(), expected, first.sum())
    assert expected > 0.6 * first.sum()


def test_a_search_is_followed_by_views_of_its_topic(market: Market) -> None:
    _, actions, _ = first_round(market)
    searches = actions.event_type == "search"
    assert near(searches.sum(), PARAMS.searches * PARAMS.humans, PARAMS.humans)
    assert (actions.item[searches] == -1).all()
    queries = dict(zip(actions.row[searches], actions.query[searches], strict=True))
    found = (actions.event_type == "view") & (actions.query != np.array(None))
    hits = 0
    for row, item, query in zip(
        actions.row[found], actions.item[found], actions.query[found], strict=True
    ):
        assert query == queries[row]
        hits += any(
            word in f"{market.items.titles[item]} {market.items.descriptions[item]}".lower()
            for word in query.split()
        )
    assert found.sum() > 0.5 * searches.sum()
    assert hits > 0.5 * found.sum()


def test_a_session_goes_on_likelier_after_a_click(market: Market) -> None:
    sessions, actions, _ = first_round(market)
    clicked = np.bincount(actions.row[actions.event_type == "click"], minlength=PARAMS.humans) > 0
    for group, chance in (
        (clicked, PARAMS.continuation),
        (~clicked, PARAMS.continuation - PARAMS.disappointment),
    ):
        assert near(sessions.active[group].sum(), chance * group.sum(), group.sum())


def test_what_was_consumed_satiates_and_is_not_chosen_again(market: Market) -> None:
    sessions, actions, _ = first_round(market)
    row = int(actions.row[actions.event_type == "view"][0])
    item = sessions.consumed[row][0]
    user = sessions.users[row : row + 1]
    before = market.today.current_logits(user, market.satiation[user])[0, item]
    after = market.today.current_logits(user, sessions.satiation[row : row + 1])[0, item]
    mix = market.items.topics[sessions.consumed[row]].sum(axis=0) @ market.items.topics[item]
    assert after == pytest.approx(before - PARAMS.satiation * mix)
    assert sessions.seen[row, item]
    views = actions.event_type == "view"
    pairs = list(zip(actions.row[views], actions.item[views], strict=True))
    assert len(set(pairs)) == len(pairs)


def test_a_session_is_the_same_alone_and_among_others(market: Market) -> None:
    together = Sessions.begin(market, market.users.humans[:20])
    slate = np.arange(SIZE)[None, :]
    crowd = together.play(np.arange(20), np.repeat(slate, 20, axis=0))
    alone = Sessions.begin(market, market.users.humans[7:8])
    single = alone.play(np.array([0]), slate)
    mine = crowd.row == 7
    assert mine.sum() > 0
    for name in ("item", "event_type", "number", "timestamp", "received_at", "position", "query"):
        assert (getattr(crowd, name)[mine] == getattr(single, name)).all(), name
    assert together.active[7] == alone.active[0]


def test_bots_click_whatever_they_are_shown_and_faster(market: Market) -> None:
    bots = np.flatnonzero(market.users.bot)
    sessions = Sessions.begin(market, bots)
    slates = np.repeat(np.arange(SIZE)[None, :], len(bots), axis=0)
    actions = sessions.play(np.arange(len(bots)), slates)
    clicks = (actions.event_type == "click").sum()
    assert near(clicks, PARAMS.bot_clicks * slates.size, slates.size)
    assert set(actions.event_type) == {"click", "view"}
    assert (actions.timestamp - market.morning < 86_400_000_000).all()
    assert np.median(np.diff(actions.timestamp[actions.row == 0])) < 2_000_000
