"""Read the served requests whose slates a range of the outbox holds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from features.schema import REQUEST, EventType
from serving import tables
from serving.database import reading
from serving.models import IMPRESSION

#: Requests per statement. Their contexts are in memory at a time.
CHUNK: Final = 1_000

_requests, _slots = tables.requests.c, tables.slots.c
_IDS: sa.BindParameter[str] = sa.bindparam("ids", expanding=True)
_STORED: Final = [name for name in REQUEST.names if name in _requests]
_REQUESTS = sa.select(*(_requests[name] for name in _STORED)).where(_requests.request_id.in_(_IDS))
_SLATES = (
    sa.select(_slots.request_id, _slots.position, _slots.item_id, _slots.propensity, _slots.origin)
    .where(_slots.request_id.in_(_IDS))
    .order_by(_slots.request_id, _slots.position)
)


def served(engine: sa.Engine, events: pa.Table) -> Iterator[pa.Table]:
    """The requests of a range of the outbox, as tables of `schema.REQUEST` in order of offset.

    events: the rows of the range (`feedback_log.OUTBOX`). A request belongs to the range that holds
    its first new impression, so that each is in exactly one range however the outbox is cut. Rows
    are found by their keys, so the cost does not grow with the log. A request that showed nothing
    new has no impression and belongs to no range: its slate was empty.
    """
    shown = events.filter(pc.equal(events["event_type"], EventType.IMPRESSION.value))
    present = set(shown["event_id"].to_pylist())
    ids = shown["request_id"].drop_null().unique().to_pylist()
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        with reading(engine) as connection:
            rows = connection.execute(_REQUESTS, {"ids": chunk}).mappings().all()
            slots = connection.execute(_SLATES, {"ids": chunk}).all()
        known = {row["request_id"]: dict(row) | _no_slots() for row in rows}
        first: dict[str, int] = {}
        for request_id, position, item_id, propensity, origin in slots:
            row = known[request_id]
            row["items"].append(item_id)
            row["propensities"].append(propensity)
            row["origins"].append(origin)
            if origin is None:
                first.setdefault(request_id, position)
        begun = [
            known[request_id]
            for request_id in chunk
            if f"{IMPRESSION}{request_id}:{first.get(request_id)}" in present
        ]
        if begun:
            yield _table(begun)


def _no_slots() -> dict[str, list[Any]]:
    return {"items": [], "propensities": [], "origins": []}


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    columns = [
        pa.array([row.get(field.name) for row in rows], pa.int64()).cast(field.type)
        if pa.types.is_timestamp(field.type)
        else pa.array([row.get(field.name) for row in rows], field.type)
        for field in REQUEST
    ]
    return pa.table(columns, schema=REQUEST)
