"""The market: what each user wants today, and the effects of past sessions.

The market does not change within a day, so sessions of one day cannot influence each other. `close`
applies their effects and moves to the next morning.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from base.arrays import Bools, Float64s, Int64s
from features.schema import DAY
from simulation import behaviour
from simulation.items import Items, arrivals, common_appeal, taste_vectors, topic_directions
from simulation.randomness import Stream, uniforms
from simulation.users import Users, drifted, initial_tastes, population
from simulation.world_params import WorldParams

#: 2024-01-01 00:00 UTC, day 0 of the history, µs.
START: Final = 1_704_067_200_000_000

#: Weight of the last session in a user's satisfaction, and the number of clicks per slate that
#: leaves the satisfaction unchanged.
MEMORY, CONTENT = 0.3, 1.0


@dataclass(frozen=True)
class Visit:
    """The effects of one session. consumed, hidden: item indices; slates, clicks: counts."""

    user: int
    consumed: tuple[int, ...]
    hidden: tuple[int, ...]
    slates: int
    clicks: int


class Market:
    """The world on the morning of `day` (0 is the first day of the history)."""

    def __init__(self, params: WorldParams) -> None:
        self.params = params
        self.day = 0
        self.users: Users = population(params)
        self.items: Items = arrivals(params, START, 0, 0)
        self.tastes: Float64s = initial_tastes(params, self.users)
        self.satiation: Float64s = np.zeros((len(self.users), self.items.topics.shape[1]))
        self.satisfaction: Float64s = np.zeros(len(self.users))
        self.popularity: Float64s = np.zeros(len(self.items))
        self.seen: Bools = np.zeros((len(self.users), len(self.items)), dtype=bool)
        self._today: Today | None = None

    @property
    def live_day(self) -> int:
        """Days since the end of the history. Negative within the history."""
        return self.day - self.params.history_days

    @property
    def morning(self) -> int:
        """00:00 UTC of the day, µs."""
        return START + self.day * DAY

    @property
    def today(self) -> "Today":
        """The values that do not change during the day."""
        if self._today is None:
            self._today = Today(self)
        return self._today

    @property
    def index(self) -> dict[str, int]:
        """Index of an item by its id."""
        return self.today.index

    def new_items(self) -> Items:
        """The items that appeared this morning; on day 0, all items."""
        return self.items.since(
            0 if self.day == 0 else int((self.items.first_day < self.day).sum())
        )

    def visitors(self) -> Int64s:
        """Indices of the accounts that visit today, ascending, drawn by their return
        probability."""
        everyone = np.arange(len(self.users))
        drawn = uniforms(self.params.seed, Stream.RETURN, self.day, everyone)
        return np.flatnonzero(drawn < self.return_probability())

    def return_probability(self) -> Float64s:
        """Probability of each account to visit today, float64 [users]."""
        chance = behaviour.return_probability(
            self.users.rate, self.satisfaction, self.params.return_gain
        )
        return np.where(self.users.bot, self.users.rate, chance)

    def close(self, visits: Sequence[Visit]) -> None:
        """Apply the effects of today's sessions, in order of user, and move to the next morning."""
        params = self.params
        counts = np.zeros(len(self.items))
        for visit in sorted(visits, key=lambda visit: visit.user):
            consumed = list(visit.consumed)
            np.add.at(counts, consumed, 1.0)
            self.seen[visit.user, consumed] = True
            self.seen[visit.user, list(visit.hidden)] = True
            self.satiation[visit.user] += self.items.topics[consumed].sum(axis=0)
            mood = np.clip(visit.clicks / max(visit.slates, 1) - CONTENT, -1.0, 1.5)
            self.satisfaction[visit.user] += MEMORY * (mood - self.satisfaction[visit.user])
        self.popularity *= behaviour.decay(1.0, params.popularity_half_life)
        self.popularity += counts
        self.satiation *= behaviour.decay(1.0, params.satiation_half_life)
        self._move_to(self.day + 1)
        added = len(self.items) - len(self.popularity)
        self.popularity = np.concatenate([self.popularity, np.zeros(added)])
        self.seen = np.pad(self.seen, ((0, 0), (0, added)))

    def save(self, path: Path) -> None:
        """Save the effects of past sessions as `.npz`. Everything else follows from the params."""
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                header=np.frombuffer(json.dumps(self._header()).encode(), dtype=np.uint8),
                satiation=self.satiation,
                satisfaction=self.satisfaction,
                popularity=self.popularity,
                seen=np.packbits(self.seen, axis=1),
            )

    @staticmethod
    def load(path: Path, params: WorldParams) -> "Market":
        """Load the market that `save` wrote. Raises ValueError if it belongs to another world."""
        market = Market(params)
        with np.load(path, allow_pickle=False) as saved:
            header = json.loads(saved["header"].tobytes())
            for _ in range(header["day"]):
                market._move_to(market.day + 1)
            if header != market._header():
                raise ValueError(f"{path} was saved by another world: {header}")
            market.satiation = saved["satiation"]
            market.satisfaction = saved["satisfaction"]
            market.popularity = saved["popularity"]
            market.seen = np.unpackbits(saved["seen"], axis=1, count=len(market.items)).astype(bool)
        return market

    def _header(self) -> dict[str, object]:
        return {"day": self.day, "params": repr(self.params)}

    def _move_to(self, day: int) -> None:
        self.tastes = drifted(self.params, self.tastes, day)
        self.items = self.items + arrivals(self.params, START, day, len(self.items))
        self.day = day
        self._today = None


class Today:
    """The market's arrays for one day: logits before satiation, popularity, search interests."""

    def __init__(self, market: Market) -> None:
        self._market = market

    @cached_property
    def index(self) -> dict[str, int]:
        """Index of an item by its id."""
        return {item_id: i for i, item_id in enumerate(self._market.items.item_ids)}

    @cached_property
    def logits(self) -> Float64s:
        """Attraction of every item for every user before satiation, float64 [users, items]."""
        market, params = self._market, self._market.params
        vectors = taste_vectors(params, market.items, market.day)
        personal = market.tastes @ vectors.T * (params.strength * np.sqrt(params.latent_size))
        logits: Float64s = personal + common_appeal(params, market.items, market.day)
        return logits

    @cached_property
    def popularity(self) -> Float64s:
        """Popularity as the shop shows it: recent events, plus a bonus for today's items.
        [items]"""
        market = self._market
        loan = market.params.new_item_popularity * (market.items.first_day == market.day)
        popularity: Float64s = np.maximum(market.popularity, loan)
        return popularity

    @cached_property
    def appeal_weights(self) -> Float64s:
        """The factor of organic choices that comes from popularity, float64 [items]."""
        weights: Float64s = (1.0 + self.popularity) ** self._market.params.popularity_bias
        return weights

    @cached_property
    def interests(self) -> Float64s:
        """Probability that a user's search is about each topic, float64 [users, topics]."""
        market = self._market
        directions = topic_directions(market.params, market.day)
        weights = np.exp(3.0 * market.tastes @ directions.T)
        result: Float64s = weights / weights.sum(axis=1, keepdims=True)
        return result

    def current_logits(self, users: Int64s, satiation: Float64s) -> Float64s:
        """Attraction logits [n, items] of `users` with `satiation` [n, topics].

        logit − satiation · Σ_topic (recent consumption of the topic) · (the item's share of the
        topic).
        """
        # Compute row by row, so that a result does not depend on the other rows of the batch.
        topics = self._market.items.topics.T
        tired = np.stack([row @ topics for row in satiation]) if len(users) else 0.0
        result: Float64s = self.logits[users] - self._market.params.satiation * tired
        return result
