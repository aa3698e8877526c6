"""The order of items and users. It depends only on the log and only grows.

Ids are sorted by (first ingest range in which the id appears, id). A later ingest appends, so the
vocabulary of an older release is always a prefix of a newer one (docs/adr/0002).
"""

import duckdb


def index_ids(connection: duckdb.DuckDBPyConnection) -> None:
    """Create tables `item_index` (item_id, item) and `user_index` (user_id, user) from `raw_events`
    and `raw_items`.

    Indices are int32 and start at 0.
    """
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


def items_in_order(since: int, known: int) -> str:
    """SQL for rows of `schema.ITEM` in index order, with earlier versions; since, known: µs.

    Takes the newest version of each item that was received by `known`, or its first version if all
    came later. An item known only from events is available from its first event on. `past` and
    `past_content`: earlier states and contents that were in force at `since` or later (see
    `features.items.past`, `features.items.contents`). `first_known`: when the first version was
    received.
    """
    return f"""
    WITH versions AS (
        SELECT *, epoch_us(received_at) > {known} AS later,
               row(price, available, created_at) AS state,
               row(
                   coalesce(title, ''), coalesce(description, ''),
                   list_sort(coalesce(categories, []))
               ) AS content
        FROM raw_items
        QUALIFY row_number() OVER (
            PARTITION BY item_id, received_at ORDER BY part DESC, title, price
        ) = 1
    ),
    newest AS (
        SELECT *, true AS known FROM versions
        QUALIFY row_number() OVER (
            PARTITION BY item_id
            ORDER BY later, CASE WHEN later THEN received_at END, received_at DESC
        ) = 1
    ),
    replaced AS (
        SELECT *, lead(received_at) OVER successor AS until,
               lead(state) OVER successor AS next, lead(content) OVER successor AS next_content
        FROM versions WHERE NOT later
        WINDOW successor AS (PARTITION BY item_id ORDER BY received_at)
    ),
    pasts AS (
        SELECT item_id, list({{
            'until': until, 'price': price, 'available': available, 'created_at': created_at
        }} ORDER BY until) AS past
        FROM replaced
        WHERE epoch_us(until) > {since} AND state IS DISTINCT FROM next
        GROUP BY item_id
    ),
    past_contents AS (
        SELECT item_id, list({{
            'until': until, 'title': title, 'description': description, 'categories': categories
        }} ORDER BY until) AS past_content
        FROM replaced
        WHERE epoch_us(until) > {since} AND content IS DISTINCT FROM next_content
        GROUP BY item_id
    ),
    firsts AS (SELECT item_id, min(timestamp) AS first_event FROM raw_events GROUP BY item_id),
    arrivals AS (SELECT item_id, min(received_at) AS arrival FROM raw_items GROUP BY item_id)
    SELECT item_id, title, description, categories, price,
           coalesce(available, true) AS available,
           CASE WHEN known THEN created_at ELSE make_timestamptz(first_event) END AS created_at,
           image, audio, attributes,
           coalesce(received_at, make_timestamptz(first_event)) AS received_at, past,
           past_content, coalesce(arrival, make_timestamptz(first_event)) AS first_known
    FROM item_index
    LEFT JOIN newest USING (item_id)
    LEFT JOIN pasts USING (item_id)
    LEFT JOIN past_contents USING (item_id)
    LEFT JOIN firsts USING (item_id)
    LEFT JOIN arrivals USING (item_id)
    ORDER BY item
    """


USERS_IN_ORDER = "SELECT user_id FROM user_index ORDER BY user"
