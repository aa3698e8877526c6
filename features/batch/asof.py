"""Our own point-in-time join, a DuckDB ASOF JOIN, for tables too large for Feast's DuckDB store."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from features.event_log import connect


def asof_join(entities: pa.Table, source: Path, key: str, features: Sequence[str]) -> pa.Table:
    """The newest row of `source` for each entity row, as known at the entity's time.

    entities: columns `key`, `event_timestamp` (TIMESTAMP) and any others, which are kept; source:
    Parquet with `key`, `event_timestamp`, `created_timestamp` and `features`. A row counts if both
    its timestamps are at or before the entity's. Of these rows, the one with the newest
    event_timestamp wins, then the newest created_timestamp. Feast uses the same rule with
    `filter_by_created_timestamp`. Rows come back in the order of `entities`.
    """
    connection = connect()
    connection.register("entities", entities)
    path = str(source).replace("'", "''")
    kept = ", ".join(f"numbered.{name}" for name in entities.column_names)
    found = ", ".join(f"source.{name}" for name in features)
    # The best row changes only at moments when a row has both happened and become known. So the
    # best row so far is a step function of time, which an ASOF join can read.
    query = f"""
        WITH numbered AS (SELECT *, row_number() OVER () AS entity_row FROM entities),
        source AS (SELECT *, file_row_number FROM read_parquet('{path}', file_row_number = true)),
        running AS (
            SELECT {key}, greatest(event_timestamp, created_timestamp) AS since,
                   max(row(event_timestamp, created_timestamp, file_row_number)) OVER (
                       PARTITION BY {key}
                       ORDER BY greatest(event_timestamp, created_timestamp)
                   ) AS best
            FROM source
        ),
        steps AS (SELECT {key}, since, max(best) AS best FROM running GROUP BY {key}, since)
        SELECT {kept}, {found}
        FROM numbered
        ASOF LEFT JOIN steps
          ON numbered.{key} = steps.{key} AND numbered.event_timestamp >= steps.since
        LEFT JOIN source ON source.file_row_number = steps.best[3]
        ORDER BY entity_row
    """
    table: pa.Table = connection.execute(query).to_arrow_table()
    return table
