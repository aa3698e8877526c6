"""Good rows and quarantined rows: every row in is one or the other, exactly."""

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from features.ingest.mapping import ERROR, RAW
from features.log import connect, numbers
from features.schema import EVENT, ITEM, MINUTE, USER, EventType

#: How far a client's clock may run ahead.
CLOCK_TOLERANCE = 5 * MINUTE
LONGEST_ID = 256

#: Columns of a quarantine file.
QUARANTINE = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string()),
    ]
)


@dataclass(frozen=True)
class Validated:
    """valid: rows of `schema.EVENT` or `schema.ITEM`, sorted; quarantine: rows of QUARANTINE, whose
    `row` is first_offset + place in the input."""

    valid: pa.Table
    quarantine: pa.Table


def validate_events(
    table: pa.Table, now: int, first_offset: int = 0, known_ids: pa.ChunkedArray | None = None
) -> Validated:
    """Events that can be used, and the others with the reason.

    table: columns of `schema.EVENT` of any type (times: timestamps, or µs), any of them missing,
    perhaps ERROR and RAW; now: µs, nothing may be later; known_ids: event ids that are in the log
    already. An event without `event_id` gets one from its content; one without `received_at` was
    known when it happened.
    """
    connection = connect()
    _register(connection, table, EVENT)
    if known_ids is None:
        known_ids = pa.chunked_array([], pa.string())
    connection.register("known", pa.table({"event_id": known_ids}))
    integral = (
        "position IS NOT NULL AND (NOT regexp_full_match(position, '[0-9]+([.]0*)?') "
        "OR TRY_CAST(position AS INTEGER) IS NULL)"
    )
    connection.execute(
        f"""
        CREATE TABLE typed AS
        SELECT place, error, raw,
               coalesce(nullif(event_id, ''), 'x' || md5(concat_ws('\x1f', user_id, item_id,
                   event_type, value, query, timestamp, placement, request_id, position)))
                   AS event_id,
               nullif(trim(user_id), '') AS user_id, nullif(trim(item_id), '') AS item_id,
               lower(trim(event_type)) AS event_type,
               TRY_CAST(value AS DOUBLE) AS value, query,
               TRY_CAST(timestamp AS BIGINT) AS timestamp,
               TRY_CAST(coalesce(received_at, timestamp) AS BIGINT) AS received_at,
               placement, request_id, TRY_CAST(position AS INTEGER) AS position,
               TRY_CAST(propensity AS DOUBLE) AS propensity, release,
               value AS raw_value, propensity AS raw_propensity, {integral} AS bad_position
        FROM input
        """
    )
    connection.execute(
        f"""
        CREATE TABLE judged AS
        SELECT *, CASE
            WHEN error IS NOT NULL THEN error
            WHEN user_id IS NULL THEN 'user_id is missing'
            WHEN event_type IS NULL OR event_type = '' THEN 'event_type is missing'
            WHEN event_type NOT IN ({numbers(list(EventType))})
                THEN 'unknown event_type ''' || event_type || ''''
            WHEN item_id IS NULL AND event_type <> '{EventType.SEARCH}' THEN 'item_id is missing'
            WHEN greatest(length(user_id), length(coalesce(item_id, '')), length(event_id))
                > {LONGEST_ID} THEN 'an id is longer than {LONGEST_ID} characters'
            WHEN timestamp IS NULL THEN 'timestamp is missing or not a time'
            WHEN received_at IS NULL THEN 'received_at is not a time'
            WHEN timestamp < 0 THEN 'timestamp is before 1970'
            WHEN timestamp > {now + CLOCK_TOLERANCE} THEN 'timestamp is in the future'
            WHEN received_at > {now + CLOCK_TOLERANCE} THEN 'received_at is in the future'
            WHEN raw_value IS NOT NULL AND (value IS NULL OR NOT isfinite(value))
                THEN 'value is not a finite number'
            WHEN value IS NULL AND event_type = '{EventType.RATING}' THEN 'a rating has no value'
            WHEN bad_position THEN 'position is not a whole number'
            WHEN raw_propensity IS NOT NULL AND (propensity IS NULL OR NOT isfinite(propensity)
                OR propensity <= 0 OR propensity > 1) THEN 'propensity is not in (0, 1]'
        END AS reason
        FROM typed
        """
    )
    return _outcome(connection, EVENT, "event_id", "timestamp, event_id", first_offset, "known")


def validate_items(table: pa.Table, now: int, first_offset: int = 0) -> Validated:
    """Item versions that can be used, and the others with the reason; see `validate_events`.

    An item without `received_at` was known when it was created, or at `now`. Two versions of an
    item at one time are duplicates.
    """
    connection = connect()
    _register(connection, table, ITEM)
    connection.execute(
        f"""
        CREATE TABLE judged AS
        WITH typed AS (
            SELECT place, error, raw, nullif(trim(item_id), '') AS item_id, title, description,
                   coalesce(categories, []) AS categories, TRY_CAST(price AS DOUBLE) AS price,
                   coalesce(TRY_CAST(available AS BOOLEAN), true) AS available,
                   TRY_CAST(created_at AS BIGINT) AS created_at, image, audio, attributes,
                   TRY_CAST(coalesce(received_at, created_at, {now}::VARCHAR) AS BIGINT)
                       AS received_at,
                   price AS raw_price, created_at AS raw_created,
                   available IS NOT NULL AND TRY_CAST(available AS BOOLEAN) IS NULL AS bad_flag
            FROM input
        )
        SELECT *, item_id || ' ' || received_at AS version_id, CASE
            WHEN error IS NOT NULL THEN error
            WHEN item_id IS NULL THEN 'item_id is missing'
            WHEN length(item_id) > {LONGEST_ID}
                THEN 'an id is longer than {LONGEST_ID} characters'
            WHEN raw_price IS NOT NULL AND (price IS NULL OR NOT isfinite(price) OR price < 0)
                THEN 'price is not a number of at least 0'
            WHEN bad_flag THEN 'available is neither true nor false'
            WHEN raw_created IS NOT NULL AND created_at IS NULL THEN 'created_at is not a time'
            WHEN received_at IS NULL THEN 'received_at is not a time'
            WHEN received_at > {now + CLOCK_TOLERANCE} THEN 'received_at is in the future'
        END AS reason
        FROM typed
        """
    )
    return _outcome(connection, ITEM, "version_id", "received_at, item_id", first_offset, None)


def validate_users(table: pa.Table, first_offset: int = 0) -> Validated:
    """Users that can be used, and the others with the reason; see `validate_events`."""
    connection = connect()
    _register(connection, table, USER)
    connection.execute(
        f"""
        CREATE TABLE judged AS
        WITH typed AS (
            SELECT place, error, raw, nullif(trim(user_id), '') AS user_id, attributes FROM input
        )
        SELECT *, CASE
            WHEN error IS NOT NULL THEN error
            WHEN user_id IS NULL THEN 'user_id is missing'
            WHEN length(user_id) > {LONGEST_ID}
                THEN 'an id is longer than {LONGEST_ID} characters'
        END AS reason
        FROM typed
        """
    )
    return _outcome(connection, USER, "user_id", "user_id", first_offset, None)


def _register(connection: duckdb.DuckDBPyConnection, table: pa.Table, schema: pa.Schema) -> None:
    """View `input`: every column of `schema` as text (lists stay, times as µs), and `place`."""
    connection.register("source", table)
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            kind = "VARCHAR[]" if pa.types.is_list(field.type) else "VARCHAR"
            columns.append(f"NULL::{kind} AS {field.name}")
        elif pa.types.is_temporal(table.schema.field(field.name).type):
            columns.append(f"epoch_us({field.name}::TIMESTAMPTZ)::VARCHAR AS {field.name}")
        elif pa.types.is_list(field.type):
            columns.append(f"{field.name}::VARCHAR[] AS {field.name}")
        else:
            columns.append(f"{field.name}::VARCHAR AS {field.name}")
    for name in (ERROR, RAW):
        columns.append(name if name in table.column_names else f"NULL::VARCHAR AS {name}")
    connection.execute(
        f"CREATE TABLE input AS SELECT row_number() OVER () - 1 AS place, {', '.join(columns)} "
        "FROM source"
    )
    if RAW not in table.column_names:
        fields = ", ".join(f"'{name}', {name}" for name in schema.names)
        connection.execute(f"UPDATE input SET {RAW} = json_object({fields})::VARCHAR")


def _outcome(
    connection: duckdb.DuckDBPyConnection,
    schema: pa.Schema,
    identity: str,
    order: str,
    first_offset: int,
    known: str | None,
) -> Validated:
    already = f"OR {identity} IN (SELECT event_id FROM {known})" if known else ""
    connection.execute(
        f"""
        CREATE TABLE outcome AS
        SELECT * REPLACE (CASE
            WHEN reason IS NULL AND (row_number() OVER (
                PARTITION BY {identity}, reason IS NULL ORDER BY place) > 1 {already})
            THEN 'duplicate' ELSE reason END AS reason)
        FROM judged
        """
    )
    columns = ", ".join(
        f"make_timestamptz({field.name}) AS {field.name}"
        if pa.types.is_timestamp(field.type)
        else field.name
        for field in schema
    )
    valid = connection.execute(
        f"SELECT {columns} FROM outcome WHERE reason IS NULL ORDER BY {order}, place"
    ).to_arrow_table()
    quarantine = connection.execute(
        f"SELECT place + {first_offset} AS row, reason, raw FROM outcome "
        "WHERE reason IS NOT NULL ORDER BY place"
    ).to_arrow_table()
    return Validated(valid.cast(schema), quarantine.cast(QUARANTINE))
