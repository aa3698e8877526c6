"""Accounts that go from item to item faster than people can look.

Steps between different items at the same recorded time are left out: clocks may be coarse.
"""

from features.people.params import PeopleParams

NAME = "pace"


def evidence(params: PeopleParams) -> str:
    """SQL of user, day, strength, value (share of fast steps so far) and reason."""
    return f"""
        WITH daily AS (
            SELECT user, day, count(*) AS n, count(*) FILTER (seconds < 1) AS fast
            FROM steps WHERE other GROUP BY user, day
        ),
        running AS (
            SELECT user, day, sum(n) OVER so_far AS n, sum(fast) OVER so_far AS fast
            FROM daily WINDOW so_far AS (PARTITION BY user ORDER BY day)
        )
        SELECT user, day, (fast / n >= {params.fast_share})::DOUBLE AS strength,
               fast / n AS value,
               printf('%d of %d steps from one item to another took less than a second',
                      fast::BIGINT, n::BIGINT) AS reason
        FROM running WHERE n >= {params.least_steps}
    """
