"""Read and write what a canary's look keeps of users and items between looks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from base.arrays import Float64s
from serving import canaries, tables
from serving.arms import CANARY as IN_CANARY
from serving.canaries import Canary
from training.canary.evidence import Arm, Evidence

_users, _items = tables.canary_users, tables.canary_items
_IDS: sa.BindParameter[str] = sa.bindparam("ids", expanding=True)
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


def arm(request: sa.Row[Any]) -> Arm:
    """The arm of a row of `requests`."""
    return Arm.CANARY if request.arm == IN_CANARY else Arm.CONTROL


def known_users(
    connection: sa.Connection, canary: Canary, users: Iterable[str]
) -> dict[tuple[str, int], tuple[float, float]]:
    """Slates and clicks of these users, by user and stratum."""
    asked = {"number": canary.number, "ids": sorted(set(users))}
    found = connection.execute(_KNOWN_USERS, asked)
    return {(user, stratum): (slates, clicks) for user, stratum, slates, clicks in found}


def known_items(
    connection: sa.Connection, canary: Canary, items: Iterable[str]
) -> dict[tuple[str, int], float]:
    """How often these items were shown, by item and arm."""
    asked = {"number": canary.number, "ids": sorted(set(items))}
    return {(item, of): shown for item, of, shown in connection.execute(_KNOWN_ITEMS, asked)}


def users_set_aside(
    connection: sa.Connection, canary: Canary
) -> dict[tuple[str, int], tuple[float, float]]:
    """Slates and clicks of the users who are set aside, by user and stratum."""
    found = connection.execute(_SET_ASIDE, {"number": canary.number})
    return {(user, stratum): (slates, clicks) for user, stratum, slates, clicks in found}


def dense(users: Sequence[str], rows: Mapping[tuple[str, int], Any], found: Evidence) -> Float64s:
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


def put_users(
    connection: sa.Connection,
    canary: Canary,
    rows: Mapping[tuple[str, int], Iterable[float]],
    known: Mapping[tuple[str, int], Any],
) -> None:
    """Store slates and clicks by user and stratum. known: the keys that have a row."""
    named = [
        {"number": canary.number, "user_id": user, "stratum": stratum,
         **dict(zip(("slates", "clicks"), map(float, sums), strict=True))}
        for (user, stratum), sums in rows.items()
    ]  # fmt: skip
    _put(connection, _users, named, known, ("user_id", "stratum"))


def put_items(
    connection: sa.Connection,
    canary: Canary,
    rows: Mapping[tuple[str, int], float],
    known: Mapping[tuple[str, int], Any],
) -> None:
    """Store how often items were shown, by item and arm. known: the keys that have a row."""
    named = [
        {"number": canary.number, "item_id": item, "arm": int(of), "shown": shown}
        for (item, of), shown in rows.items()
    ]
    _put(connection, _items, named, known, ("item_id", "arm"))


def _put(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[dict[str, Any]],
    known: Mapping[tuple[str, int], Any],
    key: tuple[str, str],
) -> None:
    """Insert rows, or replace those whose key is `known`."""
    named = {(row[key[0]], row[key[1]]): row for row in rows}
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
