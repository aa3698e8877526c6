"""New choices and evenly spaced moments, compared with plain loops over the same rows."""

import duckdb
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.splits.judged import first_choices, first_of_parts, last_of_parts

COUNTS = st.lists(st.integers(0, 30), max_size=5)
KEPT = st.integers(1, 7)


def parts(count: int, kept: int) -> list[list[int]]:
    """The part of each row from 0 to count − 1. With fewer rows than `kept`, each is a part."""
    found: dict[int, list[int]] = {}
    for row in range(count):
        found.setdefault(row * kept // max(count, kept), []).append(row)
    return list(found.values())


@given(COUNTS, KEPT)
def test_the_first_of_each_part_is_kept_of_every_user(counts: list[int], kept: int) -> None:
    users = np.repeat(np.arange(len(counts)), counts)
    mask = first_of_parts(users, kept)
    expected = [
        row in [part[0] for part in parts(count, kept)] for count in counts for row in range(count)
    ]
    assert mask.tolist() == expected
    assert np.bincount(users[mask], minlength=len(counts)).tolist() == [
        min(count, kept) for count in counts
    ]


@settings(deadline=None)
@given(st.integers(0, 40), KEPT)
def test_the_last_of_the_same_parts_is_kept_in_sql(count: int, kept: int) -> None:
    with duckdb.connect() as connection:
        query = f"SELECT r FROM (SELECT range AS r, {count} AS n FROM range({count})) WHERE "
        found = connection.execute(f"{query}{last_of_parts(kept)} ORDER BY r").fetchall()
    assert [row for (row,) in found] == [part[-1] for part in parts(count, kept)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 4))))
def test_a_choice_is_new_once(rows: list[tuple[int, int]]) -> None:
    users = np.array([user for user, _ in rows], dtype=np.int64)
    items = np.array([item for _, item in rows], dtype=np.int32)
    expected = [row not in rows[:place] for place, row in enumerate(rows)]
    assert first_choices(users, items).tolist() == expected
