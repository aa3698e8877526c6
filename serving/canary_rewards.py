"""Count the slates of a canary whose time for clicks has passed, each with its clicks.

A slate is counted once, with all of its clicks, when its attribution window has closed. Counted
earlier, it would favour the release whose items are clicked sooner, and a click that is sent twice
might come in two parts of the log. What counts as a click is what training counts
(`SplitParams.attributed`), once a slot.

Slates are counted in the order of the outbox, up to the first one that is open. The outbox is
nearly in order of time, so that one holds up slates of moments.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from base.arrays import Float64s
from features.schema import DAY, EventType
from features.splits.windowing import SplitParams
from serving import canaries, tables
from serving.canaries import Canary
from serving.canary_rows import arm, dense, known_users, put_users
from serving.database import reading, writing
from serving.fences import Fence
from training.canary.evidence import Evidence, contribution
from training.canary.params import CanaryParams

#: A slate that is so far ahead of the look's clock was served by a worker whose clock is wrong. It
#: is not waited for.
AHEAD: Final = DAY

_requests = tables.requests.c
_shown, _clicked = tables.events.alias("shown"), tables.events.alias("clicked")
_IN_CANARY: Final = (
    _shown.c.offset > sa.bindparam("after"),
    _shown.c.offset <= sa.bindparam("last"),
    _shown.c.event_type == EventType.IMPRESSION,
    _requests.canary == sa.bindparam("number"),
)
_FIRST_OPEN = (
    sa.select(_shown.c.offset)
    .join_from(_shown, tables.requests, _requests.request_id == _shown.c.request_id)
    .where(
        *_IN_CANARY,
        _shown.c.timestamp > sa.bindparam("closed_since"),
        _shown.c.timestamp <= sa.bindparam("ahead"),
    )
    .order_by(_shown.c.offset)
    .limit(1)
)


def _slots(rules: SplitParams) -> sa.Select[Any]:
    """The slots of a range of the outbox, and whether each was clicked."""
    clicked = sa.exists().where(
        _clicked.c.user_id == _shown.c.user_id,
        _clicked.c.request_id == _shown.c.request_id,
        _clicked.c.item_id == _shown.c.item_id,
        _clicked.c.event_type == EventType.CLICK,
        sa.text(rules.attributed("clicked.timestamp", "shown.timestamp")),
    )
    return (
        sa.select(
            _requests.user_id,
            _requests.arm,
            _requests.phase,
            _shown.c.position,
            clicked.label("clicked"),
        )
        .join_from(_shown, tables.requests, _requests.request_id == _shown.c.request_id)
        .where(*_IN_CANARY)
    )


def judge(
    engine: sa.Engine,
    canary: Canary,
    found: Evidence,
    last: int,
    params: CanaryParams,
    rules: SplitParams,
    now: int,
    fence: Fence | None,
) -> tuple[Canary, Evidence, bool]:
    """Count the closed slates of the outbox up to offset `last`. now: of the look, µs.

    Returns the canary and its evidence, and whether a slate is open before `last`.
    """
    after = canary.offset if found.closed is None else found.closed
    place = {"after": after, "number": canary.number}
    times = {"closed_since": now - rules.attribution, "ahead": now + AHEAD}
    with reading(engine) as connection:
        first_open = connection.execute(_FIRST_OPEN, {**place, **times, "last": last}).scalar()
        to = last if first_open is None else first_open - 1
        slots = connection.execute(_slots(rules), {**place, "last": to}).all() if to > after else []
        changes = _changes(slots)
        known = known_users(connection, canary, {user for user, _ in changes})
    before = {key: np.array(sums) for key, sums in known.items()}
    now_known = before | {
        key: before.get(key, np.zeros(2)) + change for key, change in changes.items()
    }
    users = sorted({user for user, _ in changes})
    counted = found.with_users(
        *(contribution(dense(users, rows, found), params) for rows in (before, now_known))
    )
    counted = replace(counted, closed=to)
    if to > after:
        rows = {key: now_known[key] for key in changes}
        with writing(engine) as connection:
            canary = canaries.store(connection, canary, found, counted, canary.offset, fence)
            put_users(connection, canary, rows, known)
    return canary, counted, first_open is not None


def _changes(slots: Sequence[sa.Row[Any]]) -> dict[tuple[str, int], Float64s]:
    """New slates and clicks by user and stratum. A slate counts with its first impression."""
    changes: dict[tuple[str, int], Float64s] = defaultdict(lambda: np.zeros(2))
    for row in slots:
        changes[row.user_id, 2 * row.phase + arm(row)] += (row.position == 0, row.clicked)
    return dict(changes)
