"""The catalogue feed: versions of items, numbered in commit order. The latest version holds.

`/catalogue` and flows write with `upsert`. Workers poll with `read`, and ingestion exports with it;
a range of sequence numbers always gives the same rows.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from base.errors import InputError
from features import schema
from features.ingest.refusals import item_refusal
from serving import tables
from serving.database import advance_counter, lock_counter, reading, writing

#: How many refused items an error message names.
MAX_TOLD = 10

FEED = pa.schema([pa.field("sequence", pa.int64(), nullable=False), *schema.ITEM])
_COLUMNS = [tables.items.c[name] for name in FEED.names]
_CONTENT = [name for name in schema.ITEM.names if name != "received_at"]


class RefusedItems(InputError):
    """Versions that the log would set aside. The message names the items and the reasons."""


def upsert(engine: sa.Engine, items: Sequence[Mapping[str, Any]]) -> int:
    """Append the versions that differ from the latest known one, and return how many did.

    items: rows of `schema.ITEM`, times in µs, `categories` a list; absent keys are null, and an
    absent `available` is true. Sending the same version twice stores it once. Raises RefusedItems,
    and stores nothing, if the log could not use one of them.
    """
    refused = [(item, item_refusal(item, item["received_at"])) for item in items]
    told = [f"item '{item.get('item_id')}': {why}" for item, why in refused if why is not None]
    if told:
        more = f"; and {len(told) - MAX_TOLD} more" if len(told) > MAX_TOLD else ""
        raise RefusedItems("; ".join(told[:MAX_TOLD]) + more)
    rows = [_row(item) for item in items]
    with writing(engine) as connection:
        last = lock_counter(connection, "items")
        latest = _latest(connection, [row["item_id"] for row in rows])
        changed: list[dict[str, Any]] = []
        for row in rows:
            content = tuple(row[name] for name in _CONTENT)
            if latest.get(row["item_id"]) != content:
                latest[row["item_id"]] = content
                changed.append(row | {"sequence": last + 1 + len(changed)})
        if changed:
            connection.execute(sa.insert(tables.items), changed)
            advance_counter(connection, "items", last + len(changed))
    return len(changed)


def read(engine: sa.Engine, after_sequence: int, limit: int = 1_000_000) -> pa.Table:
    """At most `limit` versions after `after_sequence`, in order, with the columns of FEED."""
    query = (
        sa.select(*_COLUMNS)
        .where(tables.items.c.sequence > after_sequence)
        .order_by(tables.items.c.sequence)
        .limit(limit)
    )
    with reading(engine) as connection:
        rows = connection.execute(query).mappings().all()
    columns = {name: [row[name] for row in rows] for name in FEED.names}
    columns["categories"] = [None if c is None else json.loads(c) for c in columns["categories"]]
    return pa.table([pa.array(columns[f.name], f.type) for f in FEED], schema=FEED)


def last_sequence(engine: sa.Engine) -> int:
    """The number of the newest version, or 0 in an empty feed."""
    query = sa.select(tables.counters.c.value).where(tables.counters.c.name == "items")
    with reading(engine) as connection:
        return int(connection.execute(query).scalar_one())


def _latest(connection: sa.Connection, item_ids: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The content of the newest version of each known item."""
    table = tables.items
    latest: dict[str, tuple[Any, ...]] = {}
    distinct = list(dict.fromkeys(item_ids))
    for start in range(0, len(distinct), 5_000):
        newest = (
            sa.select(sa.func.max(table.c.sequence))
            .where(table.c.item_id.in_(distinct[start : start + 5_000]))
            .group_by(table.c.item_id)
        )
        query = sa.select(*(table.c[name] for name in _CONTENT)).where(table.c.sequence.in_(newest))
        for row in connection.execute(query):
            latest[row.item_id] = tuple(row)
    return latest


def _row(item: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: item.get(name) for name in schema.ITEM.names}
    if row["available"] is None:
        row["available"] = True
    if row["categories"] is not None:
        row["categories"] = json.dumps(list(row["categories"]))
    return row
