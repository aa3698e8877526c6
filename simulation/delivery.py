"""Deliver users' events to the service: some late, and some twice."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from base.arrays import Bools, Int64s
from features.schema import MINUTE
from simulation.history import event_ids
from simulation.market import Market
from simulation.randomness import Stream, uniforms
from simulation.session import Actions

#: An event that takes longer than this is too late for the feedback of its round.
LATE = MINUTE

Payload = dict[str, Any]


@dataclass(frozen=True)
class Parcel:
    """An event to be delivered. due: time of arrival, µs; twice: whether it will be sent again."""

    user: int
    due: int
    payload: Payload
    twice: bool

    def late(self) -> bool:
        """Whether it arrives after the feedback of its own round was sent."""
        return self.due - int(self.payload["timestamp"]) > LATE


def parcels(market: Market, user: int, actions: Actions, request_id: str) -> list[Parcel]:
    """The events of one user's round, in the service's format and in order of time.

    request_id: the signed id of the round's slate, which is sent with the events on that slate.
    """
    users = np.full(len(actions.row), user)
    names = event_ids(market, users, actions.number)
    twice = duplicated(market, users, actions.number)
    result = []
    for at, event_id in enumerate(names):
        payload: Payload = {
            "event_id": event_id,
            "user_id": market.users.user_ids[user],
            "event_type": actions.event_type[at],
            "timestamp": int(actions.timestamp[at]),
        }
        if actions.item[at] >= 0:
            payload["item_id"] = market.items.item_ids[actions.item[at]]
        if actions.query[at] is not None:
            payload["query"] = actions.query[at]
            payload["placement"] = "search"
        if not np.isnan(actions.value[at]):
            payload["value"] = float(actions.value[at])
        if actions.position[at] >= 0:
            payload["request_id"] = request_id
        else:
            payload.setdefault("placement", "item")
        result.append(Parcel(user, int(actions.received_at[at]), payload, bool(twice[at])))
    return result


def duplicated(market: Market, users: Int64s, numbers: Int64s) -> Bools:
    """Which of today's events are sent twice. Each one is with probability `duplicate_share`."""
    drawn = uniforms(market.params.seed, Stream.DUPLICATE, market.day, users, numbers)
    return drawn < market.params.duplicate_share
