"""Accounts that click whatever they are shown, wherever it stands.

Two signs: the share of slots that are clicked (strong from `click_share` on, weak from half of it),
and clicks that lie lower in the slates than everybody's (weak: people may scroll).
"""

from features.people.params import PeopleParams

SHARE, PLACE = "clicks", "places"

_RUNNING = """
    WITH running AS (
        SELECT user, day, sum(shown) OVER so_far AS shown, sum(clicked) OVER so_far AS clicked,
               sum(placed) OVER so_far AS placed, sum(places) OVER so_far AS places
        FROM slots WINDOW so_far AS (PARTITION BY user ORDER BY day)
    ),
    everybody AS (
        SELECT day, sum(sum(clicked)) OVER so_far AS all_clicked,
               sum(sum(shown)) OVER so_far AS all_shown,
               sum(sum(placed)) OVER so_far AS all_placed,
               sum(sum(places)) OVER so_far AS all_places,
               sum(sum(squares)) OVER so_far AS all_squares
        FROM slots GROUP BY day WINDOW so_far AS (ORDER BY day)
    )
"""


def share(params: PeopleParams) -> str:
    """SQL of user, day, strength (0, ½ or 1), value (share of clicked slots) and reason."""
    half = params.click_share / 2
    return f"""
        {_RUNNING}
        SELECT user, day,
               CASE WHEN clicked / shown < {params.click_ratio} * all_clicked / all_shown THEN 0.0
                    WHEN clicked / shown >= {params.click_share} THEN 1.0
                    WHEN clicked / shown >= {half} THEN 0.5 ELSE 0.0 END::DOUBLE AS strength,
               clicked / shown AS value,
               printf('clicked %d of %d shown items, people click %.1f %%',
                      clicked::BIGINT, shown::BIGINT, 100 * all_clicked / all_shown) AS reason
        FROM running JOIN everybody USING (day) WHERE shown >= {params.least_slots}
    """


def place(params: PeopleParams) -> str:
    """SQL of user, day, strength (0 or ½), value (standard errors) and reason."""
    return f"""
        {_RUNNING},
        tested AS (
            SELECT user, day, placed, places / placed AS mean, all_places / all_placed AS usual,
                   (places / placed - all_places / all_placed)
                   / sqrt((all_squares / all_placed - (all_places / all_placed) ** 2) / placed)
                   AS deviations
            FROM running JOIN everybody USING (day)
            WHERE placed >= {params.least_slots}
              AND all_squares * all_placed > all_places * all_places
        )
        SELECT user, day,
               CASE WHEN deviations >= {params.blind_deviations} THEN 0.5 ELSE 0.0 END::DOUBLE
                   AS strength,
               deviations AS value,
               printf('the mean place of %d clicks is %.1f, that of people %.1f',
                      placed::BIGINT, 1 + mean, 1 + usual) AS reason
        FROM tested
    """
