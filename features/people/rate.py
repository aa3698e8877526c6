"""Accounts that act too often: at too many times in an hour, or around the clock.

Moments are counted, not events: a form sends many ratings at one time.
"""

from features.people.params import PeopleParams
from features.schema import DAY, HOUR

NAME = "rate"


def evidence(params: PeopleParams) -> str:
    """SQL of user, day, strength, value (moments in the busiest hour) and reason."""
    return f"""
        WITH hours AS (
            SELECT user, day, timestamp // {HOUR} AS hour, count(DISTINCT timestamp) AS moments
            FROM actions GROUP BY user, day, hour
        ),
        daily AS (
            SELECT user, day, max(moments) AS busiest FROM hours GROUP BY user, day
        ),
        clock AS (
            SELECT user, day, max(hours) AS hours FROM (
                SELECT user, day, hour * {HOUR} // {DAY} AS on_day, count(*) AS hours
                FROM hours GROUP BY user, day, on_day
            ) GROUP BY user, day
        )
        SELECT user, day,
               (busiest >= {params.moments_per_hour} OR hours >= {params.hours_per_day})::DOUBLE
                   AS strength,
               busiest::DOUBLE AS value,
               printf('acted at %d different times in one hour, in %d hours of a day',
                      busiest, hours) AS reason
        FROM daily JOIN clock USING (user, day)
    """
