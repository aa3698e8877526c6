"""Served slates of the rank and judge windows: requests of the log joined with their outcomes."""

from pathlib import Path

import duckdb

from features.event_log import read_parts
from features.schema import DAY, REQUEST, EventType
from features.splits.judged import last_of_parts
from features.splits.windowing import SplitParams

#: Outcomes by slot, as columns of `slates.parquet`.
OUTCOMES = {
    "clicks": EventType.CLICK,
    "carts": EventType.CART,
    "purchases": EventType.PURCHASE,
}


def build_slates(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    windows: dict[str, tuple[int, int]],
    params: SplitParams,
) -> str:
    """Create table `slates` from the requests of the log in `folder` and table `impressions`, and
    return the SQL of its rows in order, with their contexts.

    windows: [start, end) in µs by name. One row per request of a person (not set aside) with an
    impression in `impressions`, at most `max_slates` per window, evenly spaced in time: window,
    request_id, user, timestamp (µs), placement, release, source, fallback, arm, the lists items
    (index, -1 if unknown), propensities and OUTCOMES by slot, given, open and context. An outcome
    (0 or 1) counts within the attribution window, for the request that first showed the slot;
    given: how many of the first slots an earlier request showed. open: the attribution window ends
    after the window, so outcomes may be missing.
    """
    bounds = ", ".join(f"('{name}', {a}::BIGINT, {b}::BIGINT)" for name, (a, b) in windows.items())
    starts, ends = zip(*windows.values(), strict=True)
    days = (min(starts) // DAY, max(ends) // DAY + 1)
    requests = read_parts(connection, folder, "requests", REQUEST, days)
    flags = ", ".join(
        f"coalesce(bool_or(event_type = '{kind}'), false)::TINYINT AS {name}"
        for name, kind in OUTCOMES.items()
    )
    lists = ", ".join(f"list({name} ORDER BY slot) AS {name}" for name in OUTCOMES)
    kinds = ", ".join(f"'{kind}'" for kind in OUTCOMES.values())
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE slates AS
        WITH spans(window_name, window_start, window_end) AS (VALUES {bounds}),
        every AS (
            SELECT * EXCLUDE (context, timestamp), epoch_us(timestamp) AS timestamp FROM {requests}
        ),
        chosen AS (
            SELECT window_name AS "window", window_end, request_id, "user", timestamp, placement,
                   release, source, fallback, arm, items, propensities, origins,
                   timestamp + {params.attribution} > window_end AS open,
                   row_number() OVER (
                       PARTITION BY window_name ORDER BY timestamp, request_id) - 1 AS r,
                   count(*) OVER (PARTITION BY window_name) AS n
            FROM every JOIN user_index USING (user_id)
            JOIN spans ON timestamp >= window_start AND timestamp < window_end
            WHERE request_id IN (
                SELECT request_id FROM impressions WHERE set_aside_from IS NULL
            )
        ),
        kept AS (SELECT * FROM chosen WHERE {last_of_parts(params.max_slates)}),
        slots AS (
            SELECT request_id, timestamp, window_end, unnest(items) AS item_id,
                   unnest(propensities) AS propensity, unnest(origins) AS origin,
                   generate_subscripts(items, 1) AS slot
            FROM kept
        ),
        outcomes AS (
            SELECT request_id, item_id, timestamp AS happened, event_type FROM raw_events
            WHERE request_id IS NOT NULL AND event_type IN ({kinds})
        ),
        seen AS (
            SELECT slots.request_id, slot, any_value(slots.item_id) AS item_id,
                   any_value(propensity) AS propensity, any_value(origin) AS origin, {flags}
            FROM slots LEFT JOIN outcomes ON outcomes.request_id = slots.request_id
                AND outcomes.item_id = slots.item_id AND origin IS NULL
                AND {params.attributed("happened", "timestamp")}
                AND happened < window_end
            GROUP BY slots.request_id, slot
        ),
        rows AS (
            SELECT request_id, list(coalesce(item, -1) ORDER BY slot) AS items,
                   list(propensity ORDER BY slot) AS propensities, {lists},
                   count(origin)::INTEGER AS given
            FROM seen LEFT JOIN item_index USING (item_id) GROUP BY request_id
        )
        SELECT kept.* EXCLUDE (items, propensities, origins, r, n, window_end),
               rows.* EXCLUDE (request_id)
        FROM kept JOIN rows USING (request_id)
        """
    )
    return f"""
        SELECT slates.*, context FROM slates
        JOIN (SELECT request_id, context FROM {requests}) USING (request_id)
        ORDER BY timestamp, request_id
        """
