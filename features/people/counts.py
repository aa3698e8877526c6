"""How many users and events were set aside, and why."""

from pathlib import Path
from typing import Any, Final

import duckdb

from base.record import Record

#: What the users do whom a detector suspects.
WORDS: Final = {
    "rate": "act too often, or around the clock",
    "pace": "go from item to item in less than a second",
    "regularity": "act by a clock",
    "sweep": "walk through the catalogue",
    "clicks": "click much of whatever they are shown",
    "places": "click lower in slates than others",
    "push": "push one item together",
}


class SetAside(Record):
    """Counts of a log. Events are positive ones."""

    users: int
    """Users who are set aside, ..."""
    all_users: int
    """... of so many."""
    events: int
    """Their events, ..."""
    all_events: int
    """... of so many."""
    capped: int
    """Events of others beyond what one person may add."""
    reasons: dict[str, int]
    """Users by what they do. One may have several reasons."""

    def told(self) -> str:
        """In one line."""
        return (
            f"{self.users:,} of {self.all_users:,} users with {self.events:,} of "
            f"{self.all_events:,} events; {self.capped:,} more events are beyond the caps"
        )


def count(split: Path) -> SetAside:
    """The counts of `data/split`."""
    with duckdb.connect() as connection:

        def read(query: str, *names: str) -> list[tuple[Any, ...]]:
            paths = [str(split / f"{name}.parquet") for name in names]
            return connection.execute(query, paths).fetchall()

        [(users,)] = read("SELECT count(*) FROM read_parquet(?)", "people")
        [(all_users,)] = read("SELECT count(*) FROM read_parquet(?)", "users")
        [(events, capped, all_events)] = read(
            """
            SELECT count(set_aside_from), count(*) FILTER (set_aside_from IS NULL AND capped),
                   count(*) FROM read_parquet(?)
            """,
            "events",
        )
        reasons = read(
            """
            SELECT detector, count(DISTINCT user_id)
            FROM read_parquet(?) AS signs JOIN read_parquet(?) AS people USING (user_id)
            WHERE since <= set_aside_from GROUP BY detector ORDER BY detector
            """,
            "signs",
            "people",
        )
    return SetAside(
        users=users,
        all_users=all_users,
        events=events,
        all_events=all_events,
        capped=capped,
        reasons={WORDS[name]: number for name, number in reasons},
    )
