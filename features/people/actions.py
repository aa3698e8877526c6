"""What accounts did, as tables that the detectors read.

Everything is known from a midnight on, given as a day number: the first one after an event both
happened and was received. So what a detector says at a midnight never changes later.
"""

import duckdb

from features.event_log import literals
from features.schema import DAY, HIDING, MINUTE, SECOND, EventType

#: A longer pause between two actions is no step.
PAUSE = 5 * MINUTE


def build_actions(connection: duckdb.DuckDBPyConnection) -> None:
    """Create tables `actions`, `steps` and `slots` from `raw_events`, `user_index`, `item_index`.

    actions: user, item, timestamp (µs), day, liked (not hidden or disliked), request_id, position,
    one row per event with an item that is no impression. steps: user, day, seconds, other (whether
    the item is another one), from one moment of an account to the next. slots: user, day, shown,
    clicked, and sums over the clicked positions.
    """
    connection.execute(
        f"""
        CREATE TEMP TABLE actions AS
        SELECT user, item, timestamp, greatest(timestamp, received_at) // {DAY} + 1 AS day,
               event_type NOT IN ({literals([*HIDING])}) AS liked, request_id, position, event_id
        FROM raw_events JOIN user_index USING (user_id) JOIN item_index USING (item_id)
        WHERE event_type <> '{EventType.IMPRESSION}'
        """
    )
    # Within a day of arrival, so that a late event does not change steps that were known before.
    connection.execute(
        f"""
        CREATE TEMP TABLE steps AS
        SELECT user, day, (timestamp - before) / {SECOND} AS seconds, item <> former AS other
        FROM (
            SELECT user, day, timestamp, item, lag(timestamp) OVER former AS before,
                   lag(item) OVER former AS former
            FROM actions
            WINDOW former AS (PARTITION BY user, day ORDER BY timestamp, event_id)
        )
        WHERE timestamp > before AND timestamp - before < {PAUSE}
        """
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE slots AS
        WITH clicks AS (
            SELECT user, request_id, item, min(day) AS day, min(position) AS position
            FROM actions WHERE liked AND request_id IS NOT NULL
            GROUP BY user, request_id, item
        ),
        entries AS (
            SELECT user, day, 0 AS shown, 1 AS clicked, position FROM clicks
            UNION ALL
            SELECT user, greatest(timestamp, received_at) // {DAY} + 1, 1, 0, NULL
            FROM raw_events JOIN user_index USING (user_id)
            WHERE event_type = '{EventType.IMPRESSION}'
        )
        SELECT user, day, sum(shown) AS shown, sum(clicked) AS clicked,
               count(position) AS placed, coalesce(sum(position), 0) AS places,
               coalesce(sum(position * position), 0) AS squares
        FROM entries GROUP BY user, day
        """
    )


def drop_actions(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("actions", "steps", "slots"):
        connection.execute(f"DROP TABLE {name}")
