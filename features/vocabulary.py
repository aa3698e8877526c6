"""The order of items and users: a function of the log that only grows.

An id's place is (first ingest range in which it appears, id). A later ingest appends, so an older
release's vocabulary is always a prefix of a newer one (docs/adr/0002).
"""

import duckdb


def index_ids(connection: duckdb.DuckDBPyConnection) -> None:
    """From `raw_events` and `raw_items`: tables `item_index` (item_id, item) and `user_index`
    (user_id, user), int32 from 0."""
    connection.execute(
        """
        CREATE TABLE item_index AS
        SELECT item_id, (row_number() OVER (ORDER BY first_part, item_id) - 1)::INTEGER AS item
        FROM (
            SELECT item_id, min(part) AS first_part FROM (
                SELECT item_id, part FROM raw_events WHERE item_id IS NOT NULL
                UNION ALL SELECT item_id, part FROM raw_items
            ) GROUP BY item_id
        )
        """
    )
    connection.execute(
        """
        CREATE TABLE user_index AS
        SELECT user_id, (row_number() OVER (ORDER BY first_part, user_id) - 1)::INTEGER AS user
        FROM (SELECT user_id, min(part) AS first_part FROM raw_events GROUP BY user_id)
        """
    )


#: Rows of `schema.ITEM` in index order: of each item the newest version that was known by the last
#: event (of one announced later, its first). An item known only from events is available from its
#: first event on.
ITEMS_IN_ORDER = """
    WITH last_event AS (SELECT make_timestamptz(max(received_at)) AS moment FROM raw_events)
    SELECT item_id, title, description, categories, price,
           coalesce(available, true) AS available,
           CASE WHEN known THEN created_at ELSE make_timestamptz(first_event) END AS created_at,
           image, audio, attributes,
           coalesce(received_at, make_timestamptz(first_event)) AS received_at
    FROM item_index
    LEFT JOIN (
        SELECT raw_items.*, true AS known FROM raw_items, last_event
        QUALIFY row_number() OVER (
            PARTITION BY item_id
            ORDER BY received_at > moment,
                     CASE WHEN received_at > moment THEN received_at END,
                     received_at DESC, part DESC, title, price
        ) = 1
    ) USING (item_id)
    LEFT JOIN (
        SELECT item_id, min(timestamp) AS first_event FROM raw_events GROUP BY item_id
    ) USING (item_id)
    ORDER BY item
"""

USERS_IN_ORDER = "SELECT user_id FROM user_index ORDER BY user"
