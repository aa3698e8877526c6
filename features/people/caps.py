"""How much one person adds to what is counted and learned from.

Events beyond the caps stay in their user's history. They are no targets and are not counted. The
first ones to arrive count, so that a later event changes nothing that was known before.
"""

from features.people.params import PeopleParams
from features.schema import DAY


def capped(params: PeopleParams) -> str:
    """SQL condition on positive events (user, item, timestamp, received_at, event_id): whether the
    event is beyond `per_day` of its user on its day, or `per_item` of its user and item in its
    week."""
    arrived = "received_at, timestamp, event_id"
    return f"""(
        row_number() OVER (
            PARTITION BY user, timestamp // {DAY} ORDER BY {arrived}
        ) > {params.per_day}
        OR row_number() OVER (
            PARTITION BY user, item, timestamp // {7 * DAY} ORDER BY {arrived}
        ) > {params.per_item}
    )"""
