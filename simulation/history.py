"""The history before live day 0: the same users, with a shop that shows popular items.

Writes the rows that a log would have stored: without duplicates, and without events that had not
arrived when the history ended.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from base.arrays import Bools, Float64s, Int64s, Objects
from features.schema import DAY, EVENT, TIMESTAMP, EventType
from simulation.market import START, Market
from simulation.randomness import Stream, uniforms
from simulation.session import Actions, Sessions
from simulation.world_params import WorldParams

RELEASE = "bootstrap"
PLACEMENT = "home"


def live_market(params: WorldParams) -> Market:
    """The market on the morning of live day 0."""
    market = Market(params)
    for _ in range(params.history_days):
        play_day(market)
    return market


def write_days(market: Market) -> Iterator[tuple[int, pa.Table]]:
    """Play the history from day 0.

    Yields (day of arrival, its rows of `schema.EVENT`), in order.
    """
    end = market.params.history_days
    waiting: list[pa.Table] = []
    for day in range(end):
        waiting.append(play_day(market))
        known = pa.concat_tables(waiting)
        arrived = (known["received_at"].cast(pa.int64()).to_numpy() - START) // DAY
        yield (
            day,
            known.filter(pa.array(arrived == day)).sort_by(
                [("timestamp", "ascending"), ("event_id", "ascending")]
            ),
        )
        waiting = [known.filter(pa.array(arrived > day))]


def play_day(market: Market) -> pa.Table:
    """Play today with the bootstrap policy, close the day, and return all its events."""
    sessions = Sessions.begin(market, market.visitors())
    tables = []
    while sessions.active.any():
        rows = np.flatnonzero(sessions.active)
        slates, propensities = bootstrap_slates(market, sessions, rows)
        tables.append(_impressions(sessions, rows, slates, propensities))
        request_ids = _request_ids(sessions)
        actions = sessions.play(rows, slates)
        tables.append(_outcomes(sessions, actions, request_ids, propensities, rows))
    market.close(sessions.visits())
    return pa.concat_tables(tables) if tables else EVENT.empty_table()


def bootstrap_slates(market: Market, sessions: Sessions, rows: Int64s) -> tuple[Int64s, Float64s]:
    """Slates int64 [n, k] and the propensity of each slot given the slots above it.

    Plackett–Luce over unseen items: p(i | prefix) = w_i / (Σ_unseen w − Σ_prefix w) with
    w = (1 + popularity)^(1 / temperature), drawn by the Gumbel top-k trick (Kool et al., 2019).
    """
    params, users = market.params, sessions.users[rows]
    scores = np.log1p(market.today.popularity) / params.history_temperature
    items = np.arange(len(market.items))[None, :]
    drawn = uniforms(params.seed, Stream.POLICY, market.day, sessions.round, users[:, None], items)
    unseen = ~sessions.seen[rows]
    keys = np.where(unseen, scores - np.log(-np.log(drawn)), -np.inf)
    top = np.argpartition(-keys, params.slate_size - 1, axis=1)[:, : params.slate_size]
    order = np.argsort(-np.take_along_axis(keys, top, axis=1), axis=1, kind="stable")
    slates = np.take_along_axis(top, order, axis=1)
    weights = np.exp(scores)
    chosen = weights[slates]
    above = np.cumsum(chosen, axis=1) - chosen
    return slates, chosen / ((unseen * weights).sum(axis=1, keepdims=True) - above)


def _request_ids(sessions: Sessions) -> Objects:
    ids = sessions.market.users.user_ids[sessions.users]
    return np.array(
        [f"b{sessions.market.day:03d}-{user}-{sessions.round}" for user in ids], dtype=object
    )


def _impressions(
    sessions: Sessions, rows: Int64s, slates: Int64s, propensities: Float64s
) -> pa.Table:
    size = slates.shape[1]
    position = np.tile(np.arange(size), len(rows))
    request = np.repeat(_request_ids(sessions)[rows], size)
    time = np.repeat(sessions.time[rows], size)
    return _table(
        sessions.market,
        event_id=np.array([f"{r}:{p}" for r, p in zip(request, position, strict=True)], object),
        user=np.repeat(sessions.users[rows], size),
        item=slates.ravel(),
        event_type=np.full(len(time), str(EventType.IMPRESSION), dtype=object),
        timestamp=time,
        received_at=time,
        request_id=request,
        position=position,
        propensity=propensities.ravel(),
    )


def _outcomes(
    sessions: Sessions, actions: Actions, request_ids: Objects,
    propensities: Float64s, rows: Int64s,
) -> pa.Table:  # fmt: skip
    market, from_slate = sessions.market, actions.position >= 0
    place = np.searchsorted(rows, actions.row)
    inherited = propensities[place, np.maximum(actions.position, 0)]
    users = sessions.users[actions.row]
    return _table(
        market,
        event_id=event_ids(market, users, actions.number),
        user=users,
        item=actions.item,
        event_type=actions.event_type,
        timestamp=actions.timestamp,
        received_at=actions.received_at,
        request_id=_only(request_ids[actions.row], from_slate),
        position=actions.position,
        propensity=np.where(from_slate, inherited, np.nan),
        value=actions.value,
        query=actions.query,
    )


def event_ids(market: Market, users: Int64s, numbers: Int64s) -> Objects:
    """`e<day>-<user>-<number>`, so that an event has the same id each time it is sent."""
    ids = market.users.user_ids[users]
    return np.array(
        [f"e{market.day:03d}-{u}-{n:04d}" for u, n in zip(ids, numbers, strict=True)], object
    )


def _table(
    market: Market, *, event_id: Objects, user: Int64s, item: Int64s,
    event_type: Objects, timestamp: Int64s, received_at: Int64s,
    request_id: Objects, position: Int64s, propensity: Float64s,
    value: Float64s | None = None, query: Objects | None = None,
) -> pa.Table:  # fmt: skip
    count, from_slate = len(event_id), position >= 0
    placement = np.where(from_slate, PLACEMENT, "item").astype(object)
    if query is not None:
        placement[query != np.array(None)] = "search"
    return pa.table(
        [
            pa.array(event_id, pa.string()),
            pa.array(market.users.user_ids[user], pa.string()),
            pa.array(market.items.item_ids[item], pa.string(), mask=item < 0),
            pa.array(event_type, pa.string()),
            pa.array(np.full(count, np.nan) if value is None else value, from_pandas=True),
            pa.nulls(count, pa.string()) if query is None else pa.array(query, pa.string()),
            pa.array(timestamp, pa.int64()).cast(TIMESTAMP),
            pa.array(received_at, pa.int64()).cast(TIMESTAMP),
            pa.array(placement, pa.string()),
            pa.array(request_id, pa.string()),
            pa.array(position, pa.int32(), mask=~from_slate),
            pa.array(propensity, from_pandas=True),
            pa.array(_only(np.full(count, RELEASE, dtype=object), from_slate), pa.string()),
        ],
        schema=EVENT,
    )


def _only(values: Objects, where: Bools) -> Objects:
    """`values` where true, None elsewhere."""
    result = values.copy()
    result[~where] = None
    return result
