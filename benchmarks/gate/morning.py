"""A morning of the world on which any release can serve: users, their histories and the catalogue.

The data of a pipeline run hold the world's history to its end. Releases made from these data were
trained before the last day. So that day is played again, as often as wanted, by the same users
with other random choices and with slates of any release.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from base.arrays import Int64s
from base.params import load
from features.items.catalogue import Catalogue
from features.requests.parity import offline_requests
from features.requests.requests import Requests
from features.requests.training_set import load_catalogue
from features.schema import MINUTE
from simulation.history import live_market
from simulation.market import Market
from simulation.randomness import Stream, uniforms
from simulation.users import session_starts
from simulation.world_params import WorldParams


@dataclass(frozen=True)
class Morning:
    """The state of everything before the first session of the day.

    accounts: int64 [n], index in the market's population of each person in the log; requests: what
    a release would see of each, n rows; starts: int64 [n], when each one's session starts, µs;
    item_of: int64 [items of the market], index in the catalogue.
    """

    market: Market
    catalogue: Catalogue
    accounts: Int64s
    requests: Requests
    starts: Int64s
    item_of: Int64s

    @staticmethod
    def read(data: Path, params: Path) -> "Morning":
        """From a pipeline's `data` and its `params.yaml`."""
        world = load(WorldParams, "world", params)
        market = live_market(replace(world, history_days=world.history_days - 1))
        today = market.today
        _ = today.logits, today.interests, today.appeal_weights, today.index
        known = set(pq.read_table(data / "split" / "users.parquet")["user_id"].to_pylist())
        ids = market.users.user_ids
        people = market.users.humans
        accounts = people[[user_id in known for user_id in ids[people]]]
        starts = market.morning + session_starts(market.params, accounts, market.day)
        early = np.full(len(accounts), market.morning + 5 * MINUTE)
        requests = offline_requests(
            data / "split", data / "features", ids[accounts].tolist(), early.tolist()
        )
        catalogue = load_catalogue(data / "split")
        item_of = np.array([catalogue.index[item_id] for item_id in market.items.item_ids])
        return Morning(market, catalogue, accounts, requests, starts, item_of)

    def again(self, seed: int) -> Market:
        """The market, where all that users choose today is drawn by `seed`."""
        other = Market.__new__(Market)
        other.__dict__.update(self.market.__dict__)
        other.params = replace(self.market.params, seed=seed)
        return other

    def visitors(self, seed: int) -> Int64s:
        """Rows of `accounts` that visit, each by its own probability: int64, ascending."""
        chance = self.market.return_probability()[self.accounts]
        return np.flatnonzero(
            uniforms(seed, Stream.RETURN, self.market.day, self.accounts) < chance
        )
