"""Accounts that push one item together.

An account is devoted to an item if it acts on it at least LEAST times and the item has a large
share of what it does, or if it is the only item it chose that is not popular (so clicks on popular
items are no camouflage). Few people are. If more of an item's people are devoted than chance allows
(Chernoff's bound of the binomial tail, at the share of devoted pairs of all items), these are set
aside. A visitor who looks at one item, puts it into the cart and buys it is not devoted.
"""

from features.people.params import PeopleParams

NAME = "push"

#: Events of an account with the item, or in total where the item is its only one not popular.
LEAST, LEAST_IN_ALL = 4, 5
#: An item is popular if it has this many times the people of the mean item.
POPULAR = 2.0


def evidence(params: PeopleParams) -> str:
    """SQL of user, day, strength, value (log of the chance), reason: of devoted accounts."""
    return f"""
        WITH daily AS (
            SELECT user, item, day, count(*) AS n FROM actions WHERE liked GROUP BY user, item, day
        ),
        days AS (SELECT DISTINCT day FROM daily),
        pairs AS (
            SELECT user, item, days.day, sum(n) AS n
            FROM daily JOIN days
              ON days.day >= daily.day AND days.day < daily.day + {params.push_days}
            GROUP BY user, item, days.day
        ),
        audience AS (SELECT item, day, count(*) AS people FROM pairs GROUP BY item, day),
        popular AS (
            SELECT item, day, people > {POPULAR} * avg(people) OVER (PARTITION BY day) AS popular,
                   people
            FROM audience
        ),
        totals AS (
            SELECT user, day, sum(n) AS total, count(*) FILTER (NOT popular) AS unpopular
            FROM pairs JOIN popular USING (item, day) GROUP BY user, day
        ),
        judged AS (
            SELECT user, item, day, people,
                   (n >= {LEAST} AND n >= {params.push_share} * total) OR
                   (NOT popular AND total >= {LEAST_IN_ALL} AND unpopular = 1) AS devoted
            FROM pairs JOIN popular USING (item, day) JOIN totals USING (user, day)
        ),
        shares AS (SELECT day, avg(devoted::INTEGER) AS usual FROM judged GROUP BY day),
        groups AS (
            SELECT item, day, people, count(*) AS k FROM judged WHERE devoted
            GROUP BY item, day, people HAVING k >= {params.push_people}
        ),
        tested AS (
            SELECT *, -people * (
                k / people * ln(k / people / usual)
                + CASE WHEN k < people
                       THEN (1 - k / people) * ln((1 - k / people) / (1 - usual)) ELSE 0 END
            ) AS log_chance
            FROM groups JOIN shares USING (day) WHERE usual < 1 AND k / people > usual
        )
        SELECT user, day, 1.0::DOUBLE AS strength, min(log_chance) AS value,
               printf('one of %d accounts that do little but push item %s',
                      arg_min(k, log_chance), arg_min(item_id, log_chance)) AS reason
        FROM judged JOIN tested USING (item, day) JOIN item_index USING (item)
        WHERE devoted AND log_chance <= ln({params.push_chance})
        GROUP BY user, day
    """
