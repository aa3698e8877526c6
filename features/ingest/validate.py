"""Split rows into good and quarantined ones. Every row becomes exactly one of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from base.arrays import Int64s
from features.event_log import connect, literals
from features.ingest.raw import ERROR, RAW, REPEATS
from features.ingest.refusals import DUPLICATE, EVENT_RULES, ITEM_RULES, SECOND, USER_RULES
from features.ingest.spool import Rows, Spool, batches, register
from features.ingest.sql import flag
from features.schema import DAY, EVENT, ITEM, USER

#: The id of an event that has none: a digest of its content.
_CONTENT = (
    "md5(concat_ws('\x1f', user_id, item_id, event_type, value, query, timestamp, placement, "
    "request_id, position))"
)

#: A digest of what a version says of an item, apart from when it was known.
_DESCRIPTION = (
    "md5(concat_ws('\x1f', coalesce(title, ''), coalesce(description, ''), categories::VARCHAR, "
    "coalesce(price::VARCHAR, ''), available, coalesce({created}::VARCHAR, ''), "
    "coalesce(image, ''), coalesce(audio, ''), coalesce(attributes, '')))"
)

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
    """The result of validating a table, held in DuckDB and read in batches or as a whole.

    held: the rows that `connection` reads, kept so that their files stay; schema: `schema.EVENT`,
    `schema.ITEM` or `schema.USER`; order: SQL that sorts good rows; rows: number of good rows;
    reasons: number of refused rows by reason.
    """

    connection: duckdb.DuckDBPyConnection
    held: tuple[Rows, ...]
    schema: pa.Schema
    order: str
    first_offset: int
    rows: int
    reasons: dict[str, int]

    @property
    def valid(self) -> pa.Table:
        """The good rows, with the columns of `schema`, sorted."""
        return pa.concat_tables(self.usable()).combine_chunks()

    @property
    def quarantine(self) -> pa.Table:
        """The refused rows, with the columns of QUARANTINE.

        `row` is first_offset + position in the input.
        """
        return pa.concat_tables(self.refused()).combine_chunks()

    def days(self) -> list[int]:
        """The days on which good rows were received, as day numbers since 1970."""
        found = self.connection.execute(
            f"SELECT DISTINCT received_at // {DAY} FROM good ORDER BY 1"
        ).fetchall()
        return [int(day) for (day,) in found]

    def moments(self) -> Int64s:
        """The times of good events, µs, sorted."""
        query = "SELECT timestamp FROM good ORDER BY 1"
        return np.asarray(self.connection.execute(query).fetchnumpy()["timestamp"], dtype=np.int64)

    def usable(self, first: str = "") -> Iterator[pa.Table]:
        """`valid` in batches. first: SQL of what to sort by first."""
        columns = ", ".join(
            f"make_timestamptz({field.name}) AS {field.name}"
            if pa.types.is_timestamp(field.type)
            else field.name
            for field in self.schema
        )
        order = ", ".join(part for part in (first, self.order, "place") if part)
        query = f"SELECT {columns} FROM good ORDER BY {order}"
        return (rows.cast(self.schema) for rows in batches(self.connection, query))

    def refused(self) -> Iterator[pa.Table]:
        """`quarantine` in batches."""
        fields = ", ".join(f"'{name}', input.{name}" for name in self.schema.names)
        query = f"""
            SELECT place + {self.first_offset} AS row, bad.reason,
                   coalesce(input.{RAW}, json_object({fields})::VARCHAR) AS raw
            FROM bad JOIN input USING (place) ORDER BY place
            """
        return (rows.cast(QUARANTINE) for rows in batches(self.connection, query))


def validate_events(
    table: Rows, now: int, first_offset: int = 0, known: Sequence[str] = ()
) -> Validated:
    """Split events into those that can be used and those that cannot, with the reason.

    table: columns of `schema.EVENT` of any type (times: timestamps, or µs), any of them missing,
    optionally ERROR and RAW; now: µs, no event may be later; known: Parquet files of events that
    the log holds already. An event without `event_id` gets one from its content (with REPEATS also
    from its number among equal rows). An event without `received_at` counts as known when it
    happened.
    """
    connection = connect()
    _register(connection, table, EVENT)
    identity = f"coalesce(nullif(event_id, ''), 'x' || {_CONTENT})"
    if REPEATS in table.column_names:
        # Equal rows are numbered, so that each is an event of its own, and gets the same id when
        # the rows are imported again.
        count = f"row_number() OVER (PARTITION BY {_CONTENT}, error ORDER BY place)"
        again = f"CASE WHEN {count} > 1 THEN '-' || {count} ELSE '' END"
        identity = f"coalesce(nullif(event_id, ''), 'x' || {_CONTENT} || {again})"
    integral = (
        "position IS NOT NULL AND (NOT regexp_full_match(position, '[0-9]+([.]0*)?') "
        "OR TRY_CAST(position AS INTEGER) IS NULL)"
    )
    connection.execute(
        f"""
        CREATE VIEW typed AS
        SELECT place, error, {identity} AS event_id,
               nullif(trim(event_id), '') AS given_id,
               nullif(trim(user_id), '') AS user_id, nullif(trim(item_id), '') AS item_id,
               lower(trim(event_type)) AS event_type,
               TRY_CAST(value AS DOUBLE) AS value, query,
               TRY_CAST(timestamp AS BIGINT) AS timestamp,
               TRY_CAST(coalesce(received_at, timestamp) AS BIGINT) AS received_at,
               nullif(trim(placement), '') AS placement, request_id,
               TRY_CAST(position AS INTEGER) AS position,
               TRY_CAST(propensity AS DOUBLE) AS propensity, release,
               value AS raw_value, propensity AS raw_propensity, {integral} AS bad_position
        FROM input
        """
    )
    connection.execute(
        f"""
        CREATE VIEW found AS
        SELECT place, {", ".join(EVENT.names)}, {EVENT_RULES.format(now=now)} AS reason
        FROM typed
        """
    )
    return _outcome(
        connection, table, EVENT, "event_id", "timestamp, event_id", first_offset, known
    )


def validate_items(
    table: Rows,
    now: int,
    first_offset: int = 0,
    earlier: pa.Table | None = None,
    since: int | None = None,
) -> Validated:
    """Split item versions into those that can be used and those that cannot; see `validate_events`.

    earlier: the versions that the log holds already; since: µs, given if the source does not say
    when a version became known. An item without `received_at` counts as known when it was created,
    else at `now`. Of two different rows of one item at the same time, the first is used, also if
    they are imported again. A version that the log holds already is a duplicate.

    With `since`, an item that the log has not described yet counts as known from `since` on. A row
    that repeats the newest description in the log is a duplicate, and so are rows with older
    descriptions beside it. Any other row counts as known from `now` on, as does one whose creation
    lies in the future.
    """
    connection = connect()
    _register(connection, table, ITEM)
    earlier = ITEM.empty_table() if earlier is None else earlier
    connection.register("versions", earlier)
    connection.execute(
        f"""
        CREATE TABLE earlier AS
        SELECT item_id, {_DESCRIPTION.format(created="epoch_us(created_at)")} AS content,
               epoch_us(received_at) AS received_at
        FROM versions
        """
    )
    first_known = now if since is None else since
    connection.execute(
        f"""
        CREATE VIEW found AS
        WITH typed AS (
            SELECT place, error, nullif(trim(item_id), '') AS item_id, title, description,
                   coalesce(categories, []) AS categories, TRY_CAST(price AS DOUBLE) AS price,
                   coalesce({flag("available")}, true) AS available,
                   TRY_CAST(created_at AS BIGINT) AS created_at, image, audio, attributes,
                   TRY_CAST(coalesce(received_at, created_at, {first_known}::VARCHAR) AS BIGINT)
                       AS received_at,
                   price AS raw_price, created_at AS raw_created,
                   available IS NOT NULL AND {flag("available")} IS NULL AS bad_flag
            FROM input
        ),
        described AS (
            SELECT *, {_DESCRIPTION.format(created="created_at")} AS content FROM typed
        ),
        dated AS (
            SELECT * REPLACE (CASE
                WHEN {since is not None} AND item_id IN (SELECT item_id FROM earlier) THEN {now}
                WHEN {since is not None} THEN least(received_at, {now})
                ELSE received_at END AS received_at), received_at AS given_at
            FROM described
        ),
        repeated AS (
            SELECT item_id FROM described JOIN (
                SELECT item_id, arg_max(content, received_at) AS content FROM earlier
                GROUP BY item_id
            ) USING (item_id, content)
        ),
        ruled AS (SELECT *, {ITEM_RULES.format(now=now)} AS rule FROM dated)
        SELECT place, {", ".join(ITEM.names)}, item_id || ' ' || received_at AS version_id, CASE
            WHEN rule IS NOT NULL THEN rule
            WHEN {since is not None}
                 AND item_id IN (SELECT item_id FROM repeated)
                 AND (item_id, content) IN (SELECT (item_id, content) FROM earlier)
                 OR (item_id, content, received_at)
                 IN (SELECT (item_id, content, received_at) FROM earlier)
            THEN '{DUPLICATE}'
            WHEN content <> first_value(content) OVER (
                PARTITION BY item_id, given_at, rule IS NULL ORDER BY place)
            THEN '{SECOND}' END AS reason
        FROM ruled
        """
    )
    return _outcome(connection, table, ITEM, "version_id", "received_at, item_id", first_offset)


def validate_users(table: Rows, first_offset: int = 0) -> Validated:
    """Split users into those that can be used and those that cannot; see `validate_events`."""
    connection = connect()
    _register(connection, table, USER)
    connection.execute(
        f"""
        CREATE VIEW found AS
        WITH typed AS (
            SELECT place, error, nullif(trim(user_id), '') AS user_id, attributes FROM input
        )
        SELECT place, user_id, attributes, {USER_RULES} AS reason FROM typed
        """
    )
    return _outcome(connection, table, USER, "user_id", "user_id", first_offset)


def _register(connection: duckdb.DuckDBPyConnection, table: Rows, schema: pa.Schema) -> None:
    """View `input`: every column of `schema` as text (lists stay lists, times become µs), and
    `place`."""
    register(connection, "source", table)
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
        given = name if name in table.column_names else "NULL"
        columns.append(f"{given}::VARCHAR AS {name}")
    connection.execute(
        f"CREATE VIEW input AS SELECT row_number() OVER () - 1 AS place, {', '.join(columns)} "
        "FROM source"
    )


def _outcome(
    connection: duckdb.DuckDBPyConnection,
    table: Rows,
    schema: pa.Schema,
    identity: str,
    order: str,
    first_offset: int,
    known: Sequence[str] = (),
) -> Validated:
    """Sort the judged rows into good and bad.

    known: Parquet files; a row whose `identity` columns occur in them is a duplicate.
    """
    judged = Spool.of(batches(connection, "SELECT * FROM found"))
    register(connection, "judged", judged)
    # Use joins, because DuckDB can move their smaller side to disk if memory is short.
    repeated = f"""
        SELECT place FROM (
            SELECT place, row_number() OVER (PARTITION BY {identity} ORDER BY place) AS occurrence
            FROM judged WHERE reason IS NULL)
        WHERE occurrence > 1
        """
    if known:
        repeated += f"""
        UNION SELECT place FROM judged
        SEMI JOIN read_parquet([{literals(list(known))}], hive_partitioning = false) AS stored
        USING ({identity}) WHERE reason IS NULL
        """
    connection.execute(
        f"""
        CREATE TABLE bad AS
        SELECT place, reason FROM judged WHERE reason IS NOT NULL
        UNION ALL SELECT place, '{DUPLICATE}' FROM ({repeated});
        CREATE VIEW good AS SELECT * FROM judged ANTI JOIN bad USING (place)
        """
    )
    counted = connection.execute("SELECT reason, count(*) FROM bad GROUP BY 1 ORDER BY 1")
    reasons = dict(counted.fetchall())
    good = judged.num_rows - sum(reasons.values())
    return Validated(connection, (table, judged), schema, order, first_offset, good, reasons)
