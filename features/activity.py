"""The sources of the batch views: daily activity of users and items, and batch histories."""

from pathlib import Path
from typing import Final

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.aggregates import item_activity, user_activity
from features.log import connect, write
from features.quiet import quiet
from features.schema import DAY, ITEM_FEATURES, TIMESTAMP, USER_FEATURES
from features.snapshots import Snapshots

#: Rows of a row group, and of what is in memory at a time.
ROWS: Final = 100_000


@quiet()
def write_activity(split: Path, out: Path, snapshots: Snapshots) -> None:
    """`user_activity.parquet` and `item_activity.parquet` in `out`: a row where a value changes."""
    engine = ibis.duckdb.from_connection(connect())
    tables = {
        name: engine.read_parquet(split / f"{name}.parquet", table_name=name)
        for name in ("events", "impressions", "prices")
    }
    users, items = (_ids(engine, split, name) for name in ("user", "item"))
    events, impressions, prices = tables.values()
    first, last = snapshots.first // DAY, snapshots.last // DAY
    users_by_day = user_activity(events, impressions, prices, items, first, last)
    items_by_day = item_activity(events, impressions, first, last)
    lists = ("impressed_items", "impressed_counts")
    for name, table, ids, columns in (
        ("user", users_by_day, users, (*USER_FEATURES, *lists)),
        ("item", items_by_day, items, ITEM_FEATURES),
    ):
        rows = table.join(ids, name).order_by("day", name).select(f"{name}_id", "day", *columns)
        with engine.to_pyarrow_batches(rows, chunk_size=ROWS) as batches:
            schema = _stamped(pa.Table.from_batches([], batches.schema)).schema
            with pq.ParquetWriter(out / f"{name}_activity.parquet", schema) as file:
                for batch in batches:
                    file.write_table(_stamped(pa.Table.from_batches([batch])).cast(schema))


def write_history(split: Path, out: Path, snapshot: int, length: int) -> None:
    """`user_history.parquet`: the newest `length` positive events, and all hidden items, of every
    user as of `snapshot` (µs), oldest first."""
    connection = connect()
    for name in ("users", "items"):
        connection.execute(
            f"CREATE VIEW {name} AS SELECT {name[:-1]}_id, file_row_number::INTEGER AS {name[:-1]} "
            f"FROM read_parquet('{split / name}.parquet', file_row_number = true)"
        )
    for name in ("events", "hidden"):
        connection.execute(
            f"CREATE VIEW known_{name} AS SELECT *, row_number() OVER () AS place "
            f"FROM read_parquet('{split / name}.parquet') "
            f"WHERE timestamp < {snapshot} AND received_at < {snapshot}"
        )
    write(
        connection,
        f"""
        WITH newest AS (
            SELECT * FROM known_events
            QUALIFY row_number() OVER (PARTITION BY user ORDER BY place DESC) <= {length}
        ),
        histories AS (
            SELECT user, list(item_id ORDER BY place) AS items,
                   list(event_type::BIGINT ORDER BY place) AS event_types,
                   list(timestamp ORDER BY place) AS timestamps
            FROM newest JOIN items USING (item) GROUP BY user
        ),
        hides AS (
            SELECT user, list(DISTINCT item_id ORDER BY item_id) AS hidden
            FROM known_hidden JOIN items USING (item) GROUP BY user
        )
        SELECT user_id, coalesce(items, []) AS items, coalesce(event_types, []) AS event_types,
               coalesce(timestamps, []) AS timestamps, coalesce(hidden, []) AS hidden,
               make_timestamptz({snapshot}) AS event_timestamp,
               make_timestamptz({snapshot}) AS created_timestamp
        FROM histories FULL JOIN hides USING (user) JOIN users USING (user)
        ORDER BY user
        """,
        out / "user_history.parquet",
    )


def _ids(engine: ibis.BaseBackend, split: Path, name: str) -> ir.Table:
    path = split / f"{name}s.parquet"
    return engine.sql(
        f"SELECT {name}_id, file_row_number::INTEGER AS {name} "
        f"FROM read_parquet('{path}', file_row_number = true)"
    )


def _stamped(table: pa.Table) -> pa.Table:
    """Feast's two times in place of `day`: a snapshot is known at its own time."""
    moment = pc.multiply(table["day"], DAY).cast(TIMESTAMP)
    return (
        table.drop_columns("day")
        .append_column("event_timestamp", moment)
        .append_column("created_timestamp", moment)
    )
