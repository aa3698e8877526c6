"""Check that the columns of new rows mean what they meant: values are not gone, and have the same
unit.

New rows of the log are compared with the rows that the last retrain that passed this check had
seen (`arrivals.reference_row`): items with their own versions there, and events with the newest
events of the same type.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb
import pyarrow.parquet as pq
import sqlalchemy as sa

from features.event_log import connect
from features.schema import ITEM
from flows.arrivals import first_row, names_of, parts_since, reference_row
from training.check import Check
from training.thresholds import GateParams

NAME: Final = "data.columns"
#: Fewer items or events than this say nothing.
LEAST: Final = 20
#: Newest earlier events that are compared with.
EARLIER: Final = 20_000
_TEXTS: Final = ("title", "description", "image", "audio", "attributes", "created_at", "price")


def source_columns(engine: sa.Engine, log: Path, thresholds: GateParams) -> Check:
    """The check of the events since the last retrain, and of items as they are now."""
    first, reference, connection = first_row(engine), reference_row(engine), connect()
    told = [
        *_items(connection, log / "items", reference, thresholds),
        *_events(connection, log / "events", first, reference, thresholds),
    ]
    if told:
        return Check(NAME, False, len(told), 0, "columns of new rows differ: " + "; ".join(told))
    return Check(NAME, True, 0, 0, "the columns of new rows are filled, and in the same units")


def _items(
    connection: duckdb.DuckDBPyConnection, items: Path, reference: int, thresholds: GateParams
) -> Iterator[str]:
    new = parts_since(items, reference)
    earlier = sorted({*parts_since(items, 0)} - {*new})
    if not new or not earlier:
        return
    for name, paths in (("old", earlier), ("new", new)):
        have = {column for path in paths for column in pq.read_schema(path).names}
        columns = ", ".join(
            column if column in have else f"NULL AS {column}" for column in ITEM.names
        )
        connection.execute(
            f"""
            CREATE TABLE {name}_items AS SELECT {columns}
            FROM read_parquet({names_of(paths)}, hive_partitioning = false, union_by_name = true)
            QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY received_at DESC) = 1
            """
        )
    filled = {column: f"{{0}}.{column} IS NOT NULL" for column in _TEXTS}
    filled["categories"] = "len({0}.categories) > 0"
    counts = ", ".join(
        f"count(*) FILTER ({told.format('o')}), "
        f"count(*) FILTER ({told.format('o')} AND NOT coalesce({told.format('n')}, false))"
        for told in filled.values()
    )
    both = "FROM old_items o JOIN new_items n USING (item_id)"
    found = connection.execute(f"SELECT {counts} {both}").fetchall()[0]
    for column, had, lost in zip(filled, found[::2], found[1::2], strict=True):
        if had >= LEAST and lost > thresholds.max_lost_share * had:
            yield f"{lost} of {had} items lost their {column}"
    count, ratio = connection.execute(
        f"SELECT count(*), median(n.price / o.price) {both} WHERE o.price > 0 AND n.price > 0"
    ).fetchall()[0]
    if count >= LEAST and _moved(ratio, thresholds):
        yield f"the price of {count} items is {ratio:.4g} times what it was (another unit?)"


def _events(
    connection: duckdb.DuckDBPyConnection,
    events: Path,
    first: int,
    reference: int,
    thresholds: GateParams,
) -> Iterator[str]:
    since = parts_since(events, reference)
    new = parts_since(events, first) or since
    earlier = _newest(sorted({*parts_since(events, 0)} - {*since}))
    if not since or not earlier:
        return
    for name, paths in (("old", earlier), ("new", new), ("since", since)):
        connection.execute(
            f"""
            CREATE TABLE {name}_events AS
            SELECT event_type, count(*) AS events, count(value) AS valued,
                   median(abs(value)) AS middle
            FROM read_parquet({names_of(paths)}, hive_partitioning = false) GROUP BY event_type
            """
        )
    # Too few new events do not show that a fault has ended: then all since the reference count.
    found = connection.execute(
        f"""
        SELECT event_type, old.valued / old.events, now.valued / now.events, old.middle, now.middle
        FROM old_events old JOIN (
            FROM new_events WHERE events >= {LEAST} UNION ALL
            FROM since_events WHERE event_type NOT IN (
                SELECT event_type FROM new_events WHERE events >= {LEAST})
        ) now USING (event_type)
        WHERE old.events >= {LEAST} AND now.events >= {LEAST} ORDER BY event_type
        """
    ).fetchall()
    for event_type, before, now, middle, later in found:
        if before > 0 and 1.0 - now / before > thresholds.max_lost_share:
            yield f"{1.0 - now / before:.0%} of {event_type} events lost their value"
        elif middle and later and _moved(later / middle, thresholds):
            yield (
                f"the median value of {event_type} events is {later:.4g}, before {middle:.4g} "
                "(another unit?)"
            )


def _newest(parts: list[Path]) -> list[Path]:
    """The newest of `parts`, with about EARLIER rows."""
    kept: list[Path] = []
    rows = 0
    for path in sorted(parts, key=lambda path: path.name, reverse=True):
        if rows >= EARLIER:
            break
        kept.append(path)
        rows += pq.read_metadata(path).num_rows
    return kept


def _moved(ratio: float, thresholds: GateParams) -> bool:
    return not 1.0 / thresholds.max_column_ratio < ratio < thresholds.max_column_ratio
