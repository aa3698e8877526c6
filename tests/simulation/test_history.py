"""The written history: what a log would have stored, under a logged policy."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.schema import DAY, EVENT, ITEM, POSITIVE
from simulation.history import bootstrap_slates, play_day
from simulation.market import START, Market
from simulation.session import Sessions
from simulation.world import write
from simulation.world_params import WorldParams
from tests.simulation.conftest import SMALL, World


def microseconds(times: pd.Series) -> np.ndarray:
    return times.dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64)


def test_every_file_has_the_schema_the_day_and_the_order_of_the_input_folder(world: World) -> None:
    for kind, schema in (("events", EVENT), ("items", ITEM)):
        files = sorted((world.folder / kind).rglob("*.parquet"))
        following = 0
        for path in files:
            rows = pq.ParquetFile(path).read()
            assert rows.schema.equals(schema)
            first, last = (int(part) for part in path.stem.split("-")[1:])
            assert (first, last) == (following, following + rows.num_rows - 1)
            following = last + 1
            arrival = rows["received_at"].to_pandas()
            assert set(arrival.dt.strftime("dt=%Y-%m-%d")) == {path.parent.name}
            if kind == "events":
                keys = rows.select(["timestamp", "event_id"]).to_pandas()
                assert keys.equals(keys.sort_values(["timestamp", "event_id"]))
        assert len(files) == WorldParams().history_days


def test_the_same_params_give_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    contents = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(dataclasses.replace(SMALL, seed=seed), tmp_path / name)
        files = sorted((tmp_path / name).rglob("*.parquet"))
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_the_history_has_the_size_that_a_laptop_can_train_on(world: World) -> None:
    positive = world.events["event_type"].isin([str(e) for e in POSITIVE]).sum()
    assert 30_000 <= positive <= 80_000
    assert 1_000 <= len(world.items) <= 1_500


def test_at_least_a_third_of_interactions_are_organic(world: World) -> None:
    positive = world.human_events[world.human_events["event_type"].isin(["click", "view"])]
    assert positive["request_id"].isna().mean() > 1 / 3
    assert (positive["event_type"].eq("view") == positive["request_id"].isna()).all()


def test_searches_carry_their_query(world: World) -> None:
    searches = world.events[world.events["event_type"] == "search"]
    assert searches["item_id"].isna().all()
    assert searches["query"].str.len().gt(0).all()
    assert len(searches) > 1000


def test_an_event_is_stored_once(world: World) -> None:
    assert world.events["event_id"].is_unique


def test_the_stated_share_of_events_arrives_late_by_the_stated_delay(world: World) -> None:
    params = world.market.params
    outcomes = world.events[world.events["event_type"] != "impression"]
    happened, known = microseconds(outcomes["timestamp"]), microseconds(outcomes["received_at"])
    early = happened < START + (params.history_days - 3) * DAY  # all of these have arrived
    hours = (known - happened)[early] / 3.6e9
    late = hours > 1 / 60
    assert late.mean() == pytest.approx(params.late_share, rel=0.1)
    assert hours[late].mean() == pytest.approx(params.late_hours, rel=0.1)
    assert known.max() < START + params.history_days * DAY
    assert (known >= happened).all()


def test_outcomes_inherit_position_and_propensity_of_their_slot(world: World) -> None:
    slots = world.events[world.events["event_type"] == "impression"]
    outcomes = world.events[
        world.events["request_id"].notna() & (world.events["event_type"] != "impression")
    ]
    joined = outcomes.merge(slots, on=["request_id", "item_id"], suffixes=("", "_slot"))
    assert len(joined) == len(outcomes)
    for name in ("position", "propensity", "release", "user_id"):
        assert joined[name].equals(joined[f"{name}_slot"]), name
    position = slots["position"].astype(int).astype(str)
    assert (slots["event_id"] == slots["request_id"] + ":" + position).all()
    assert set(slots["release"]) == {"bootstrap"}


def test_logged_propensities_are_those_of_the_policy_given_the_prefix() -> None:
    market = Market(SMALL)
    play_day(market)
    sessions = Sessions.begin(market, market.visitors())
    rows = np.arange(len(sessions.users))
    slates, propensities = bootstrap_slates(market, sessions, rows)
    weights = (1 + market.today.popularity) ** (1 / SMALL.history_temperature)
    for row in rows:
        left = {i for i in range(len(market.items)) if not sessions.seen[row, i]}
        for item, propensity in zip(slates[row], propensities[row], strict=True):
            assert item in left
            assert propensity == pytest.approx(weights[item] / sum(weights[i] for i in left))
            left.remove(item)


def test_the_policy_draws_as_often_as_it_says() -> None:
    params = dataclasses.replace(SMALL, humans=4000, initial_items=12, sessions_per_day=1000)
    market = Market(params)
    market.popularity = np.arange(12.0)
    sessions = Sessions.begin(market, market.users.humans)
    slates, propensities = bootstrap_slates(market, sessions, np.arange(4000))
    for position in (0, 1):
        # Each draw's inverse propensity counts an item once on average, where it may be drawn.
        for item in (3, 11):
            drawn = slates[:, position] == item
            possible = ~(slates[:, :position] == item).any(axis=1)
            weights = drawn / propensities[:, position]
            error = weights.std() / np.sqrt(len(weights))
            assert abs(weights.mean() - possible.mean()) < 4 * error


def test_nothing_consumed_is_shown_again(world: World) -> None:
    events = world.events.sort_values("timestamp", kind="stable")
    consumed = events[events["event_type"].isin(["click", "view"])]
    first = consumed.groupby(["user_id", "item_id"])["timestamp"].min().rename("consumed_at")
    shown = events[events["event_type"] == "impression"].join(first, on=["user_id", "item_id"])
    assert not (shown["consumed_at"] < shown["timestamp"]).any()


def test_popularity_is_skewed(world: World) -> None:
    counts = world.human_events.loc[
        world.human_events["event_type"] == "view", "item_id"
    ].value_counts()
    top = counts.iloc[: len(world.items) // 10].sum() / counts.sum()
    assert 0.3 < top < 0.8


def test_people_click_about_one_slot_in_fifteen_under_popularity(world: World) -> None:
    types = world.human_events["event_type"]
    assert 0.04 < (types == "click").sum() / (types == "impression").sum() < 0.1


def test_bots_are_a_small_share_of_accounts_and_a_larger_one_of_clicks(world: World) -> None:
    params, users = world.market.params, world.market.users
    assert users.bot.mean() == pytest.approx(params.bot_share, rel=0.05)
    clicks = world.events.loc[world.events["event_type"] == "click", "user_id"]
    share = clicks.isin(set(users.user_ids[users.bot])).mean()
    assert 2 * params.bot_share < share < 0.45
