"""Accounts that walk through the catalogue: most of its items in one day."""

from features.people.params import PeopleParams
from features.schema import DAY

NAME = "sweep"

#: A smaller catalogue is read by people, too.
LEAST_ITEMS = 200


def evidence(params: PeopleParams) -> str:
    """SQL of user, day, strength, value (share of the known catalogue) and reason."""
    return f"""
        WITH daily AS (
            SELECT user, day, max(items) AS items FROM (
                SELECT user, day, timestamp // {DAY} AS on_day, count(DISTINCT item) AS items
                FROM actions GROUP BY user, day, on_day
            ) GROUP BY user, day
        ),
        firsts AS (
            SELECT item, min(day) AS day FROM (
                SELECT item, min(day) AS day FROM actions GROUP BY item
                UNION ALL
                SELECT item, epoch_us(min(received_at)) // {DAY} + 1
                FROM raw_items JOIN item_index USING (item_id) GROUP BY item
            ) GROUP BY item
        ),
        catalogue AS (
            SELECT day, sum(count(*)) OVER (ORDER BY day) AS known FROM firsts GROUP BY day
        )
        SELECT user, daily.day, (items / known >= {params.sweep_share})::DOUBLE AS strength,
               items / known AS value,
               printf('touched %d of %d items in one day', items, known::BIGINT) AS reason
        FROM daily ASOF JOIN catalogue ON daily.day >= catalogue.day
        WHERE items >= {LEAST_ITEMS}
    """
