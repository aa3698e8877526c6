"""Accounts that act by a clock: the time between their actions hardly varies."""

from features.people.params import PeopleParams

NAME = "regularity"


def evidence(params: PeopleParams) -> str:
    """SQL of user, day, strength, value (standard deviation of log seconds) and reason."""
    return f"""
        WITH daily AS (
            SELECT user, day, count(*) AS n, sum(ln(seconds)) AS total,
                   sum(ln(seconds) * ln(seconds)) AS squares
            FROM steps GROUP BY user, day
        ),
        running AS (
            SELECT user, day, sum(n) OVER so_far AS n, sum(total) OVER so_far AS total,
                   sum(squares) OVER so_far AS squares
            FROM daily WINDOW so_far AS (PARTITION BY user ORDER BY day)
        ),
        spreads AS (
            SELECT *, sqrt(greatest(squares / n - (total / n) * (total / n), 0)) AS spread
            FROM running WHERE n >= {3 * params.least_steps}
        )
        SELECT user, day, (spread < {params.regular_spread})::DOUBLE AS strength, spread AS value,
               printf('%d pauses between actions are all about %.1f seconds',
                      n::BIGINT, exp(total / n)) AS reason
        FROM spreads
    """
