"""Bots among a canary's users, who must not decide it.

Retrains set accounts aside, but a swarm may come between two of them. So a look that would end a
canary first asks the same detectors about all users of the canary. That reads what they did since
it started, which is why other looks do not.
"""

from typing import Any, Final

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from base.params import load
from features.event_log import connect
from features.people.params import PeopleParams
from features.people.verdicts import PEOPLE_IN_ORDER
from features.people.verdicts import set_aside as detect
from features.schema import DAY, EVENT, ITEM
from features.splits.vocabulary import index_ids
from flows.environment import CHECKOUT
from serving import set_aside as known
from serving import tables
from serving.canaries import Canary
from serving.database import reading
from serving.fences import Fence

#: Users per query.
_PART: Final = 500

_users, _events = tables.canary_users.c, tables.events.c
_IDS: sa.BindParameter[str] = sa.bindparam("ids", expanding=True)
_ACCOUNTS = (
    sa.select(_users.user_id)
    .where(_users.number == sa.bindparam("number"))
    .distinct()
    .order_by(_users.user_id)
)
_DONE = sa.select(*(_events[name] for name in EVENT.names)).where(
    _events.user_id.in_(_IDS), _events.timestamp >= sa.bindparam("since")
)


def set_aside(engine: sa.Engine, canary: Canary, fence: Fence | None) -> bool:
    """Set users of a canary aside whom the detectors of section `people` suspect.

    Returns whether there are any who were not set aside before.
    """
    params = load(PeopleParams, "people", CHECKOUT / "params.yaml")
    with reading(engine) as connection:
        before = set(connection.execute(sa.select(tables.set_aside.c.user_id)).scalars())
    with log(engine, canary, params) as opened:
        index_ids(opened)
        detect(opened, params)
        found = [row for row in opened.execute(PEOPLE_IN_ORDER).fetchall() if row[0] not in before]
    known.add(engine, found, fence)
    return bool(found)


def log(engine: sa.Engine, canary: Canary, params: PeopleParams) -> duckdb.DuckDBPyConnection:
    """Tables `raw_events` and `raw_items`, as of `features.event_log`: what the canary's users did
    since it started, and in the days before in which accounts may push an item."""
    opened = connect()
    since = canary.started_at - params.push_days * DAY
    opened.register("no_events", EVENT.empty_table())
    opened.register("no_items", ITEM.empty_table())
    opened.execute(
        """
        CREATE TABLE raw_events AS
        SELECT * REPLACE (epoch_us(timestamp) AS timestamp, epoch_us(received_at) AS received_at),
               '' AS part
        FROM no_events
        """
    )
    opened.execute("CREATE TABLE raw_items AS SELECT *, '' AS part FROM no_items")
    with reading(engine) as connection:
        users = connection.execute(_ACCOUNTS, {"number": canary.number}).scalars().all()
        for first in range(0, len(users), _PART):
            ids = users[first : first + _PART]
            rows = connection.execute(_DONE, {"ids": ids, "since": since}).mappings().all()
            opened.register("rows", _table([dict(row) for row in rows]))
            opened.execute("INSERT INTO raw_events SELECT *, '' FROM rows")
            opened.unregister("rows")
    return opened


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows of `schema.EVENT` with times in µs."""
    plain = pa.schema(
        [pa.field(f.name, pa.int64() if pa.types.is_timestamp(f.type) else f.type) for f in EVENT]
    )
    return pa.Table.from_pylist(rows, schema=plain)
