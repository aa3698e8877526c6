"""Queries: moments with a known outcome, for any time window."""

import duckdb

from features.splits.judged import last_of_parts
from features.splits.windowing import SplitParams


def build_queries(
    connection: duckdb.DuckDBPyConnection,
    windows: dict[str, tuple[int, int]],
    params: SplitParams,
    repeats: bool,
) -> None:
    """Create table `queries` from tables `positives` and `impressions`, for each window [start,
    end).

    An organic query is one moment of a user; its targets are the organic positives of that moment,
    without items that the user had before unless `repeats`. There are at most
    `max_queries_per_user`, evenly spaced. A slate query is the impressions of one request; its
    targets are the clicked ones. Slates without a click are left out, and so are those whose
    attribution window ends after the window. Of each kind there are at most `max_queries` per
    window, evenly spaced in time. Users who are set aside have none.
    """
    bounds = ", ".join(
        f"({order}, '{name}', {start}::BIGINT, {end}::BIGINT)"
        for order, (name, (start, end)) in enumerate(windows.items())
    )
    connection.execute(
        f"CREATE OR REPLACE TABLE bounds AS SELECT * FROM "
        f"(VALUES {bounds}) AS b(window_order, window_name, window_start, window_end)"
    )
    fresh = "true" if repeats else "timestamp = first_time"
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE queries AS
        WITH first_times AS (
            SELECT user, item, min(timestamp) AS first_time FROM positives GROUP BY user, item
        ),
        organic AS (
            SELECT window_order, window_name, user, timestamp,
                   list_sort(list(DISTINCT item)) AS targets,
                   window_start
            FROM positives
            JOIN first_times USING (user, item)
            JOIN bounds ON timestamp >= window_start AND timestamp < window_end
            WHERE organic AND set_aside_from IS NULL AND {fresh}
            GROUP BY window_order, window_name, window_start, user, timestamp
        ),
        numbered AS (
            SELECT *,
                   row_number() OVER (PARTITION BY window_order, user ORDER BY timestamp) - 1 AS r,
                   count(*) OVER (PARTITION BY window_order, user) AS n
            FROM organic
        ),
        slates AS (
            SELECT window_order, window_name, user, timestamp, request_id,
                   list(item ORDER BY position, item) AS shown,
                   list_sort(list(DISTINCT item) FILTER (clicked)) AS targets
            FROM impressions
            JOIN bounds ON timestamp >= window_start
                       AND timestamp + {params.attribution} <= window_end
            WHERE request_id IS NOT NULL AND set_aside_from IS NULL
            GROUP BY window_order, window_name, user, timestamp, request_id
            HAVING bool_or(clicked)
        ),
        every AS (
            SELECT window_order, window_name, 'organic' AS kind, user, timestamp, '' AS request_id,
                   targets, []::INTEGER[] AS shown
            FROM numbered
            WHERE {last_of_parts(params.max_queries_per_user)}
            UNION ALL
            SELECT window_order, window_name, 'slate', user, timestamp, request_id, targets, shown
            FROM slates
        ),
        ordered AS (
            SELECT *,
                   row_number() OVER (
                       PARTITION BY window_order, kind ORDER BY timestamp, user, request_id
                   ) - 1 AS r,
                   count(*) OVER (PARTITION BY window_order, kind) AS n
            FROM every
        )
        SELECT (row_number() OVER (
                   ORDER BY window_order, kind, timestamp, user, request_id) - 1)::INTEGER AS query,
               window_name AS "window", kind, user, timestamp, targets, shown, request_id
        FROM ordered
        WHERE {last_of_parts(params.max_queries)}
        """
    )


QUERIES_IN_ORDER = "SELECT * FROM queries ORDER BY query"
