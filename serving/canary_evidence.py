"""Count what the log says of a canary, from where the last count ended.

Requests are counted at once, so that a canary that fails is seen within a look. Slates with their
clicks are counted later, when the time for clicks has passed (`serving.canary_rewards`).

A count reads the outbox by offset and the requests, users and items that occur in what it read,
each by its key, so its cost depends on what is new and not on how long the log is. The counts, what
is known of each user and the offsets are stored together. A process that is killed has stored all
of a part or nothing. Everybody is counted; who is set aside is left out when the evidence is read
(`of_people`), since that may be found later, or turn out wrong.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from features.schema import EventType
from features.splits.windowing import SplitParams
from serving import canaries, tables
from serving.canaries import Canary
from serving.canary_rewards import judge
from serving.canary_rows import (
    arm,
    dense,
    known_items,
    known_users,
    put_items,
    put_users,
    users_set_aside,
)
from serving.database import reading, writing
from serving.fences import Fence
from training.canary.evidence import Arm, Counts, Evidence, contribution
from training.canary.params import CanaryParams

#: Events per transaction.
PART: Final = 2_000

_events, _requests = tables.events.c, tables.requests.c
_NEWS = (
    sa.select(
        _events.item_id,
        _events.position,
        _requests.user_id,
        _requests.release,
        _requests.arm,
        _requests.phase,
        _requests.seconds,
    )
    .join_from(tables.events, tables.requests, _requests.request_id == _events.request_id)
    .where(
        _events.offset > sa.bindparam("after"),
        _events.offset <= sa.bindparam("last"),
        _events.event_type == EventType.IMPRESSION,
        _requests.canary == sa.bindparam("number"),
    )
    .order_by(_events.offset)
)


def count(
    engine: sa.Engine,
    canary: Canary,
    params: CanaryParams,
    rules: SplitParams,
    now: int,
    fence: Fence | None,
) -> tuple[Canary, Evidence]:
    """Count everything up to the newest event. rules: what counts as a click; now: µs.

    Returns the canary and its evidence as they are now. Raises CanaryError if another process
    changed the canary meanwhile, and Fenced for a lost lease.
    """
    found = canaries.evidence(engine, canary)
    counter = sa.select(tables.counters.c.value).where(tables.counters.c.name == "events")
    with reading(engine) as connection:
        newest = connection.execute(counter).scalar_one()
    while canary.offset < newest:
        last = min(newest, canary.offset + PART)
        canary, found = _part(engine, canary, found, last, params, fence)
    waits = False
    while found.closed is not None and found.closed < canary.offset and not waits:
        last = min(canary.offset, found.closed + PART)
        canary, found, waits = judge(engine, canary, found, last, params, rules, now, fence)
    return canary, found


def of_people(engine: sa.Engine, canary: Canary, found: Evidence, params: CanaryParams) -> Evidence:
    """The evidence without users who are set aside."""
    with reading(engine) as connection:
        rows = users_set_aside(connection, canary)
    first: dict[str, int] = {}
    for user, stratum in sorted(rows):
        first.setdefault(user, stratum)
    gone = contribution(dense(list(first), rows, found), params)
    return found.without(gone, list(first.values()))


def _part(
    engine: sa.Engine,
    canary: Canary,
    found: Evidence,
    last: int,
    params: CanaryParams,
    fence: Fence | None,
) -> tuple[Canary, Evidence]:
    """Count the requests up to offset `last`."""
    with reading(engine) as connection:
        asked = {"after": canary.offset, "last": last, "number": canary.number}
        news = connection.execute(_NEWS, asked).all()
        known = known_users(connection, canary, {row.user_id for row in news})
        shown: dict[tuple[str, int], float] = defaultdict(float)
        for row in news:
            shown[row.item_id, arm(row)] += 1
        held = known_items(connection, canary, {item for item, _ in shown})
    came = dict.fromkeys(
        (row.user_id, 2 * row.phase + arm(row)) for row in news if row.position == 0
    )
    counted = found.with_arrivals(_first_strata(came, {user for user, _ in known}))
    counted = counted.with_counts(_counts(canary, news, shown, held, params))
    if counted.closed is None:
        counted = replace(counted, closed=canary.offset)
    with writing(engine) as connection:
        canary = canaries.store(connection, canary, found, counted, last, fence)
        fresh = {key: (0.0, 0.0) for key in came if key not in known}
        put_users(connection, canary, fresh, known)
        totals = {key: held.get(key, 0.0) + more for key, more in shown.items()}
        put_items(connection, canary, totals, held)
    return canary, counted


def _first_strata(came: Iterable[tuple[str, int]], known: set[str]) -> list[int]:
    """The stratum of each user who is new, where they were seen first."""
    first: dict[str, int] = {}
    for user, stratum in came:
        if user not in known:
            first.setdefault(user, stratum)
    return list(first.values())


def _counts(
    canary: Canary,
    news: Iterable[sa.Row[Any]],
    shown: Mapping[tuple[str, int], float],
    held: Mapping[tuple[str, int], float],
    params: CanaryParams,
) -> Counts:
    counts = Counts.none()
    for row in news:
        if row.position == 0:
            of = arm(row)
            counts.requests[of] += 1
            counts.failed[of] += of == Arm.CANARY and row.release != canary.release
            counts.slow[of] += (row.seconds or 0.0) * 1000 > params.slow_milliseconds
    for (item, number), more in shown.items():
        of, old = Arm(number), held.get((item, number), 0.0)
        counts.slots[of] += more
        counts.pairs[of] += (old + more) * (old + more - 1) - old * (old - 1)
    return counts
