"""The true value of a slate, in closed form. Clients of the service cannot see it.

snapshot = take(market, count=1000)
snapshot.attraction                         # oracle: sort eligible items by it
snapshot.expected_reward(slates_of_item_ids)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from base.arrays import Float64s, Int64s, Objects
from features.schema import MINUTE
from simulation import behaviour
from simulation.market import Market
from simulation.randomness import Stream, uniforms


@dataclass(frozen=True)
class Snapshot:
    """The state of some users on the morning of a day.

    users: int64 [n], index in the market's population; user_ids: object [n]; timestamp: µs, five
    past midnight, after today's items appeared and before the first session; item_ids: object
    [items], all existing ones; attraction: float64 [n, items], the probability that a user wants an
    item once examined. The caller has to leave out items consumed or hidden.
    """

    day: int
    timestamp: int
    users: Int64s
    user_ids: Objects
    item_ids: Objects
    attraction: Float64s
    examination_exponent: float

    @cached_property
    def _column(self) -> dict[str, int]:
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    def expected_reward(self, slates: Objects, rows: Int64s | None = None) -> Float64s:
        """Expected number of wanted items per slate of item ids [n, k] (None pads), float64 [n].

        rows: the user of each slate; by default slate r is for user r. Raises KeyError, which names
        an item that does not exist.
        """
        columns = np.array(
            [[-1 if item is None else self._column[item] for item in slate] for slate in slates],
            dtype=np.int64,
        ).reshape(np.shape(slates))
        return self.expected_reward_of(columns, rows)

    def expected_reward_of(self, slates: Int64s, rows: Int64s | None = None) -> Float64s:
        """The same for slates of columns of `attraction`, int64 [n, k], padded with −1."""
        people = np.arange(len(slates)) if rows is None else rows
        wanted = np.where(slates >= 0, self.attraction[people[:, None], slates], 0.0)
        return behaviour.expected_reward(wanted, self.examination_exponent)


def take(market: Market, count: int) -> Snapshot:
    """Draw `count` distinct users (at most all), with weights by their probability to visit today.

    Uses the weighted reservoir keys of Efraimidis and Spirakis, so that a smaller sample is part of
    a larger one.
    """
    humans = market.users.humans
    drawn = uniforms(market.params.seed, Stream.SAMPLE, market.day, humans)
    keys = np.log(drawn) / market.return_probability()[humans]
    users = np.sort(humans[np.argsort(-keys, kind="stable")[:count]])
    logits = market.today.current_logits(users, market.satiation[users])
    return Snapshot(
        day=market.live_day,
        timestamp=market.morning + 5 * MINUTE,
        users=users,
        user_ids=market.users.user_ids[users],
        item_ids=market.items.item_ids,
        attraction=behaviour.attraction(logits),
        examination_exponent=market.params.examination,
    )
