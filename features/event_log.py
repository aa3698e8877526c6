"""The event log as DuckDB tables.

Uses one connection and one thread, so that outputs are byte-stable.
"""

import uuid
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from base.errors import InputError
from base.scratch import scratch
from features.schema import EVENT, ITEM


class LogError(InputError):
    """The input folder is not an event log; the message says what is missing."""


#: Ids of rows that the import was asked to keep although an equal row came before
#: (`ingest.mapping…repeats: keep`).
KEPT: Final = "x[0-9a-f]{32}-[0-9]+"

#: Memory limit of DuckDB. Larger data goes to a temporary folder.
MEMORY: Final = "2GB"


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB in UTC, without downloads.

    It has one thread, because float sums depend on the number of threads.
    """
    spill = scratch() / uuid.uuid4().hex
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "autoinstall_known_extensions": False,
            "preserve_insertion_order": True,
            "memory_limit": MEMORY,
            "temp_directory": str(spill),  # created when needed, removed on close
        },
    )
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def open_log(folder: Path) -> duckdb.DuckDBPyConnection:
    """Tables `raw_events` and `raw_items` of the log in `folder`.

    raw_events: columns of `schema.EVENT`, times in µs, one row per event_id (the first received),
    and `part`, the ingest range: `part-<first offset>`, in the order of ingestion. Rows that differ
    only in their ids are one event, sent twice (see KEPT). raw_items: columns of `schema.ITEM`
    (every version), and `part`. Raises LogError if there are no events.
    """
    if not any(folder.glob("events/dt=*/part-*.parquet")):
        raise LogError(
            f"{folder}/events holds no dt=YYYY-MM-DD/part-*.parquet: ingest events first"
        )
    connection = connect()
    connection.execute(
        f"""
        CREATE TABLE raw_events AS
        SELECT * REPLACE (epoch_us(timestamp) AS timestamp, epoch_us(received_at) AS received_at)
        FROM {read_parts(connection, folder, "events", EVENT)}
        QUALIFY row_number() OVER (
            PARTITION BY event_id
            ORDER BY received_at, part, timestamp, user_id, item_id, event_type, position
        ) = 1
        """
    )
    connection.execute(
        f"""
        DELETE FROM raw_events WHERE rowid IN (
            SELECT rowid FROM raw_events WHERE NOT regexp_full_match(event_id, '{KEPT}')
            QUALIFY row_number() OVER (
                PARTITION BY user_id, item_id, event_type, timestamp, value, query, request_id,
                             position
                ORDER BY received_at, part, event_id
            ) > 1
        )
        """
    )
    items = read_parts(connection, folder, "items", ITEM)
    connection.execute(f"CREATE TABLE raw_items AS SELECT * FROM {items}")
    return connection


def read_parts(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    kind: str,
    schema: pa.Schema,
    days: tuple[int, int] | None = None,
) -> str:
    """SQL for the rows of all parts, or of those of the days [first, last) since 1970.

    A part written by an older version may lack newer columns.
    """
    connection.register(f"no_{kind}", schema.empty_table())
    rows = f"SELECT *, '' AS filename FROM no_{kind}"
    found = sorted(str(path) for path in folder.glob(f"{kind}/dt=*/part-*.parquet"))
    if days is not None:
        wanted = {f"dt={np.datetime64(day, 'D')}" for day in range(*days)}
        found = [path for path in found if Path(path).parent.name in wanted]
    if found:
        rows += (
            f" UNION ALL BY NAME SELECT * FROM read_parquet([{literals(found)}], filename = true, "
            "hive_partitioning = false, union_by_name = true)"
        )
    names = ", ".join(f'"{name}"' for name in schema.names)
    return f"(SELECT {names}, regexp_extract(filename, 'part-[0-9]+') AS part FROM ({rows}))"


def write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of `query` as Parquet. The query must define a total order."""
    target = str(path).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def literals(values: list[str]) -> str:
    """A list of strings as SQL literals."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
