"""SQL of the split's tables: positive events, impressions and hidden items, with user and item
indices."""

import duckdb

from features.event_log import literals
from features.people.caps import capped
from features.people.params import PeopleParams
from features.positive import positive_sql
from features.schema import EVENT_CODES, HIDING, EventType
from features.splits.windowing import SplitParams

_CODE = " ".join(f"WHEN '{name}' THEN {code}" for name, code in EVENT_CODES.items())


def build_tokens(
    connection: duckdb.DuckDBPyConnection, params: SplitParams, people: PeopleParams
) -> None:
    """Create tables `positives`, `impressions`, `hides` and `prices` from the log, its vocabulary
    and table `people`.

    Times are in µs. `set_aside_from`: since when the user is set aside, null for people. `capped`:
    beyond what one person may add (`features.people.caps`). `clicked`: a positive event with the
    same request_id and item happened within the attribution window of the impression.
    """
    connection.execute(
        f"""
        CREATE TABLE positives AS
        SELECT user, item, (CASE event_type {_CODE} END)::TINYINT AS event_type, timestamp,
               received_at, value, request_id, position, propensity,
               request_id IS NULL AS organic, {capped(people)} AS capped, set_aside_from, event_id
        FROM raw_events JOIN user_index USING (user_id) JOIN item_index USING (item_id)
        LEFT JOIN people USING (user)
        WHERE {positive_sql(params.min_rating)}
        """
    )
    connection.execute(
        f"""
        CREATE TABLE impressions AS
        WITH shown AS (
            SELECT user, item, timestamp, received_at, request_id, position, propensity,
                   release, set_aside_from, event_id
            FROM raw_events JOIN user_index USING (user_id) JOIN item_index USING (item_id)
            LEFT JOIN people USING (user)
            WHERE event_type = '{EventType.IMPRESSION}'
        ),
        outcomes AS (
            SELECT shown.event_id FROM shown JOIN positives USING (request_id, item)
            WHERE {params.attributed("positives.timestamp", "shown.timestamp")}
        )
        SELECT *, event_id IN (SELECT event_id FROM outcomes) AS clicked FROM shown
        """
    )
    connection.execute(
        f"""
        CREATE TABLE hides AS
        SELECT user, item, timestamp, received_at, event_id
        FROM raw_events JOIN user_index USING (user_id) JOIN item_index USING (item_id)
        WHERE event_type IN ({literals([*HIDING])})
        """
    )
    connection.execute(
        """
        CREATE TABLE prices AS
        SELECT item, epoch_us(received_at) AS received_at, last(price ORDER BY part, price) AS price
        FROM raw_items JOIN item_index USING (item_id)
        WHERE price IS NOT NULL
        GROUP BY item, received_at
        """
    )


EVENTS_IN_ORDER = "SELECT * EXCLUDE (event_id) FROM positives ORDER BY user, timestamp, event_id"
IMPRESSIONS_IN_ORDER = """
    SELECT * EXCLUDE (event_id) FROM impressions
    ORDER BY timestamp, request_id, position, event_id
"""
HIDDEN_IN_ORDER = "SELECT * EXCLUDE (event_id) FROM hides ORDER BY user, timestamp, event_id"
PRICES_IN_ORDER = "SELECT * FROM prices ORDER BY item, received_at"
