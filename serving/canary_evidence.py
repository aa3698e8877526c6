"""Count what the log says of a canary, from where the last count ended.

A count reads the outbox by offset and the requests and users that occur in what it read, each by
its key, so its cost depends on what is new and not on how long the log is. The counts, what is
known of each user and the offset are stored together. A process that is killed has stored all of a
part or nothing. Everybody is counted; who is set aside is left out when the evidence is read
(`of_people`), since that may be found later, or turn out wrong.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from base.arrays import Float64s
from features.schema import EventType
from serving import canaries, tables
from serving.arms import CANARY as IN_CANARY
from serving.canaries import Canary
from serving.database import reading, writing
from serving.fences import Fence
from training.canary.evidence import Arm, Counts, Evidence, contribution
from training.canary.params import CanaryParams

#: Events per transaction.
PART: Final = 2_000

_events, _requests = tables.events.c, tables.requests.c
_users, _items = tables.canary_users, tables.canary_items
_IDS: sa.BindParameter[str] = sa.bindparam("ids", expanding=True)
_NEWS = (
    sa.select(_events.event_type, _events.item_id, _events.request_id, _events.position)
    .where(
        _events.offset > sa.bindparam("after"),
        _events.offset <= sa.bindparam("last"),
        _events.request_id.is_not(None),
        _events.event_type.in_([EventType.IMPRESSION, EventType.CLICK]),
    )
    .order_by(_events.offset)
)
_SERVED = sa.select(
    _requests.request_id,
    _requests.user_id,
    _requests.release,
    _requests.arm,
    _requests.phase,
    _requests.seconds,
).where(_requests.request_id.in_(_IDS), _requests.canary == sa.bindparam("number"))
_KNOWN_USERS = sa.select(
    _users.c.user_id, _users.c.stratum, _users.c.slates, _users.c.clicks
).where(_users.c.number == sa.bindparam("number"), _users.c.user_id.in_(_IDS))
_SET_ASIDE = (
    sa.select(_users.c.user_id, _users.c.stratum, _users.c.slates, _users.c.clicks)
    .join(tables.set_aside, tables.set_aside.c.user_id == _users.c.user_id)
    .where(_users.c.number == sa.bindparam("number"))
)
_KNOWN_ITEMS = sa.select(_items.c.item_id, _items.c.arm, _items.c.shown).where(
    _items.c.number == sa.bindparam("number"), _items.c.item_id.in_(_IDS)
)


def count(
    engine: sa.Engine, canary: Canary, params: CanaryParams, fence: Fence | None
) -> tuple[Canary, Evidence]:
    """Count everything up to the newest event. Returns the canary and its evidence as they are now.

    Raises CanaryError if another process changed the canary meanwhile, and Fenced for a lost lease.
    """
    found = canaries.evidence(engine, canary)
    counter = sa.select(tables.counters.c.value).where(tables.counters.c.name == "events")
    with reading(engine) as connection:
        newest = connection.execute(counter).scalar_one()
    while canary.offset < newest:
        canary, found = _part(
            engine, canary, found, min(newest, canary.offset + PART), params, fence
        )
    return canary, found


def of_people(engine: sa.Engine, canary: Canary, found: Evidence, params: CanaryParams) -> Evidence:
    """The evidence without users who are set aside."""
    with reading(engine) as connection:
        known = connection.execute(_SET_ASIDE, {"number": canary.number}).all()
    gone = {(user, stratum): np.array(sums) for user, stratum, *sums in known}
    users = sorted({user for user, _ in gone})
    return found.without(contribution(_dense(users, gone, found), params))


def _part(
    engine: sa.Engine,
    canary: Canary,
    found: Evidence,
    last: int,
    params: CanaryParams,
    fence: Fence | None,
) -> tuple[Canary, Evidence]:
    """Count the events up to offset `last`."""
    with reading(engine) as connection:
        news = connection.execute(_NEWS, {"after": canary.offset, "last": last}).all()
        ids = sorted({row.request_id for row in news})
        found_requests = connection.execute(_SERVED, {"ids": ids, "number": canary.number}).all()
        served = {row.request_id: row for row in found_requests}
        news = [row for row in news if row.request_id in served]
        changes = _changes(news, served)
        known = connection.execute(
            _KNOWN_USERS, {"number": canary.number, "ids": sorted({u for u, _ in changes})}
        ).all()
        shown = _shown(news, served)
        known_items = connection.execute(
            _KNOWN_ITEMS, {"number": canary.number, "ids": sorted({i for i, _ in shown})}
        ).all()
    before = {(user, stratum): np.array(sums) for user, stratum, *sums in known}
    after = before | {key: before.get(key, np.zeros(2)) + change for key, change in changes.items()}
    users = sorted({user for user, _ in changes})
    found = found.with_users(
        *(contribution(_dense(users, rows, found), params) for rows in (before, after))
    )
    held = {(item, arm): count for item, arm, count in known_items}
    found = found.with_counts(_counts(canary, news, served, shown, held, params))
    rows = [
        {"number": canary.number, "user_id": user, "stratum": stratum,
         "slates": float(after[user, stratum][0]), "clicks": float(after[user, stratum][1])}
        for user, stratum in changes
    ]  # fmt: skip
    totals = [
        {"number": canary.number, "item_id": item, "arm": arm,
         "shown": held.get((item, arm), 0.0) + more}
        for (item, arm), more in shown.items()
    ]  # fmt: skip
    with writing(engine) as connection:
        canaries.store(connection, canary, found, last, fence)
        _put(connection, _users, rows, before, ("user_id", "stratum"))
        _put(connection, _items, totals, held, ("item_id", "arm"))
    return canaries.counted_to(canary, last), found


def _changes(
    news: Sequence[sa.Row[Any]], served: dict[str, sa.Row[Any]]
) -> dict[tuple[str, int], Float64s]:
    """New slates and clicks by user and stratum.

    A slate counts with its first impression; a click once per slot, however often it was sent in
    this part of the log.
    """
    changes: dict[tuple[str, int], Float64s] = defaultdict(lambda: np.zeros(2))
    clicked = set()
    for row in news:
        request = served[row.request_id]
        key = (request.user_id, 2 * request.phase + _arm(request))
        if row.event_type == EventType.IMPRESSION:
            changes[key][0] += row.position == 0
        elif (row.request_id, row.item_id) not in clicked:
            clicked.add((row.request_id, row.item_id))
            changes[key][1] += 1
    return dict(changes)


def _shown(
    news: Iterable[sa.Row[Any]], served: dict[str, sa.Row[Any]]
) -> dict[tuple[str, int], float]:
    """New impressions by item and arm."""
    shown: dict[tuple[str, int], float] = defaultdict(float)
    for row in news:
        if row.event_type == EventType.IMPRESSION:
            shown[row.item_id, _arm(served[row.request_id])] += 1
    return dict(shown)


def _counts(
    canary: Canary,
    news: Iterable[sa.Row[Any]],
    served: dict[str, sa.Row[Any]],
    shown: dict[tuple[str, int], float],
    held: dict[tuple[str, int], float],
    params: CanaryParams,
) -> Counts:
    counts = Counts.none()
    for row in news:
        if row.event_type == EventType.IMPRESSION and row.position == 0:
            request = served[row.request_id]
            arm = _arm(request)
            counts.requests[arm] += 1
            counts.failed[arm] += arm == Arm.CANARY and request.release != canary.release
            counts.slow[arm] += (request.seconds or 0.0) * 1000 > params.slow_milliseconds
    for (item, number), more in shown.items():
        arm, old = Arm(number), held.get((item, number), 0.0)
        counts.slots[arm] += more
        counts.pairs[arm] += (old + more) * (old + more - 1) - old * (old - 1)
    return counts


def _dense(
    users: Sequence[str], rows: dict[tuple[str, int], Float64s], found: Evidence
) -> Float64s:
    """Slates and clicks, float64 [users, strata, 2].

    Raises CanaryError for a stratum of a phase that has begun since the canary was read.
    """
    places = {user: place for place, user in enumerate(users)}
    raw = np.zeros((len(users), 2 * found.phases, 2))
    for (user, stratum), sums in rows.items():
        if stratum >= raw.shape[1]:
            raise canaries.CanaryError("the canary's share grew while it was looked at")
        raw[places[user], stratum] = sums
    return raw


def _put(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[dict[str, Any]],
    known: dict[Any, Any],
    key: tuple[str, str],
) -> None:
    """Insert rows, or replace those whose key is `known`."""
    named = {tuple(row[name] for name in key): row for row in rows}
    fresh = [row for place, row in named.items() if place not in known]
    if fresh:
        connection.execute(sa.insert(table), fresh)
    changed = [row for place, row in named.items() if place in known]
    if changed:
        keys = ("number", *key)
        values = [name for name in changed[0] if name not in keys]
        update = (
            sa.update(table)
            .where(*(table.c[name] == sa.bindparam(f"the_{name}") for name in keys))
            .values({name: sa.bindparam(f"new_{name}") for name in values})
        )
        connection.execute(
            update,
            [
                {f"the_{n}": row[n] for n in keys} | {f"new_{n}": row[n] for n in values}
                for row in changed
            ],
        )


def _arm(request: sa.Row[Any]) -> Arm:
    return Arm.CANARY if request.arm == IN_CANARY else Arm.CONTROL
