"""Users who are set aside, as the services know them.

A retrain decides anew and replaces all rows. Between retrains a look at a canary adds those whom it
finds. Nothing else reads them: such users get answers like everybody.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import sqlalchemy as sa

from serving import tables
from serving.database import insert_missing, writing
from serving.fences import Fence, check

#: user_id, since, reason.
Row = tuple[str, int, str]

_PART: Final = 1_000


def found(split: Path) -> list[Row]:
    """Who was found in `data/split`, in the order of users."""
    names = ("user_id", "set_aside_from", "reason")
    table = pq.read_table(split / "people.parquet", columns=list(names))
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def replace(engine: sa.Engine, rows: Sequence[Row], fence: Fence | None) -> None:
    """Make `rows` the users who are set aside. Raises Fenced for a lost lease."""
    named = _named(rows)
    with writing(engine) as connection:
        check(connection, fence)
        connection.execute(sa.delete(tables.set_aside))
        for first in range(0, len(named), _PART):
            connection.execute(sa.insert(tables.set_aside), named[first : first + _PART])


def add(engine: sa.Engine, rows: Sequence[Row], fence: Fence | None) -> None:
    """Set more users aside. Those who are already keep their reason."""
    with writing(engine) as connection:
        check(connection, fence)
        for row in _named(rows):
            insert_missing(connection, tables.set_aside, row)


def _named(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{"user_id": user, "since": since, "reason": why} for user, since, why in rows]
