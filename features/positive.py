"""Which events are positive, meaning that a user wanted an item.

A positive event names an item and has one of the types `schema.POSITIVE`. A rating must also be at
least `min_rating`; without a value it counts as 0. Histories consist of positive events. Training
and judging predict the organic ones.

The log is read by engines without a common language, so the rule exists twice: as SQL for databases
and as a mask for Arrow tables. A test asserts that they agree.
"""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from features.schema import POSITIVE, EventType

_TYPES: Final = ", ".join(f"'{name}'" for name in POSITIVE)


def positive_sql(min_rating: float | str) -> str:
    """A SQL condition in parentheses on the columns item_id, event_type and value.

    Works in DuckDB, SQLite, PostgreSQL and MySQL. min_rating: a number, or the name of a parameter
    (`:name`).
    """
    return (
        f"(item_id IS NOT NULL AND event_type IN ({_TYPES}) AND "
        f"(event_type <> '{EventType.RATING}' OR coalesce(value, 0) >= {min_rating}))"
    )


def positive_mask(rows: pa.Table, min_rating: float) -> pa.ChunkedArray:
    """bool [rows], from columns named as in `schema.EVENT`."""
    wanted = pc.is_in(rows["event_type"], value_set=pa.array([*POSITIVE], pa.string()))
    value = pc.fill_null(rows["value"].cast(pa.float64()), 0.0)
    unrated = pc.not_equal(rows["event_type"], str(EventType.RATING))
    liked = pc.or_(unrated, pc.greater_equal(value, min_rating))
    return pc.and_(pc.and_(rows["item_id"].is_valid(), wanted), liked)
