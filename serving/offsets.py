"""How far each consumer has read the outbox or the catalogue feed."""

from collections.abc import Mapping

import sqlalchemy as sa

from serving import tables
from serving.database import insert_missing, reading, writing
from serving.fences import Fence, check


def read(engine: sa.Engine, consumer: str) -> int:
    """The last offset that `consumer` has processed, or 0."""
    return find(engine, consumer) or 0


def find(engine: sa.Engine, consumer: str) -> int | None:
    """The last offset that `consumer` has processed, or None if it has never stored one."""
    query = sa.select(tables.offsets.c.offset).where(tables.offsets.c.consumer == consumer)
    with reading(engine) as connection:
        found: int | None = connection.execute(query).scalar_one_or_none()
    return found


def advance(engine: sa.Engine, marks: Mapping[str, int], fence: Fence | None = None) -> None:
    """Store that each consumer in `marks` has processed everything up to its offset: all or none.

    An offset never goes back. Raises Fenced for a lost lease.
    """
    table = tables.offsets
    with writing(engine) as connection:
        check(connection, fence)
        for consumer, offset in sorted(marks.items()):
            insert_missing(connection, table, {"consumer": consumer, "offset": offset})
            current = connection.execute(
                sa.select(table.c.offset).where(table.c.consumer == consumer).with_for_update()
            ).scalar_one()
            if offset > current:
                connection.execute(
                    sa.update(table).where(table.c.consumer == consumer).values(offset=offset)
                )
