"""The event log as DuckDB tables: one connection, one thread, so that outputs are byte-stable."""

import tempfile
import uuid
from pathlib import Path
from typing import Final

import duckdb

from features.errors import InputError
from features.schema import EVENT, ITEM


class LogError(InputError):
    """The input folder is not an event log; the message says what is missing."""


#: What DuckDB may hold; what does not fit goes to a temporary folder.
MEMORY: Final = "2GB"


def connect() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB: one thread, UTC, no downloads. Float sums depend on thread count."""
    spill = Path(tempfile.gettempdir()) / f"rondo-duckdb-{uuid.uuid4().hex}"
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "autoinstall_known_extensions": False,
            "preserve_insertion_order": True,
            "memory_limit": MEMORY,
            "temp_directory": str(spill),  # made when it is needed, removed when it is closed
        },
    )
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return connection


def open_log(folder: Path) -> duckdb.DuckDBPyConnection:
    """Tables `raw_events` and `raw_items` of the log in `folder`.

    raw_events: columns of `schema.EVENT`, times as µs, one row per event_id (the first that was
    received), plus `part`, the ingest range: `part-<first offset>`, in the order of ingestion.
    raw_items: columns of `schema.ITEM` (every version), plus `part`.
    Raises LogError where there are no events.
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
        FROM {_parts(folder, "events", EVENT.names)}
        QUALIFY row_number() OVER (
            PARTITION BY event_id
            ORDER BY received_at, part, timestamp, user_id, item_id, event_type, position
        ) = 1
        """
    )
    if any(folder.glob("items/dt=*/part-*.parquet")):
        source = _parts(folder, "items", ITEM.names)
    else:
        connection.register("no_items", ITEM.empty_table())
        source = "(SELECT *, '' AS part FROM no_items)"
    connection.execute(f"CREATE TABLE raw_items AS SELECT * FROM {source}")
    return connection


def _parts(folder: Path, kind: str, names: list[str]) -> str:
    pattern = str(folder / kind / "dt=*" / "part-*.parquet").replace("'", "''")
    return (
        f"(SELECT {', '.join(names)}, regexp_extract(filename, 'part-[0-9]+') AS part "
        f"FROM read_parquet('{pattern}', filename = true, hive_partitioning = false))"
    )


def write(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """The rows of `query`, which must order them totally, as Parquet."""
    target = str(path).replace("'", "''")
    connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def numbers(values: list[str]) -> str:
    """A list of strings as SQL literals."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
