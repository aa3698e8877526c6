"""Ragged rows select and trim like the lists they stand for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.ragged import Histories, Ragged, offsets_of, spans

LISTS = st.lists(st.lists(st.integers(0, 99), max_size=6), min_size=1, max_size=8)


def histories(lists: list[list[int]]) -> Histories:
    rows = Ragged.from_lists(lists)
    return Histories(
        rows.offsets,
        rows.items,
        np.zeros(len(rows.items), dtype=np.int8),
        np.arange(len(rows.items), dtype=np.int64),
    )


def lists_of(rows: Ragged | Histories) -> list[list[int]]:
    bounds = zip(rows.offsets[:-1], rows.offsets[1:], strict=True)
    return [rows.items[start:stop].tolist() for start, stop in bounds]


def test_histories_are_made_of_the_entries_of_each_request() -> None:
    made = Histories.from_rows([[(10, 4, 1), (20, 2, 3)], [], [(15, 0, 10)]])
    assert lists_of(made) == [[4, 2], [], [0]]
    assert made.timestamps.tolist() == [10, 20, 15]
    assert made.event_types.tolist() == [1, 3, 10]
    kinds = (made.items.dtype, made.event_types.dtype, made.timestamps.dtype)
    assert kinds == (np.int32, np.int8, np.int64)
    assert lists_of(Histories.from_rows([[]])) == lists_of(Ragged.empty(1)) == [[]]


@given(LISTS)
def test_rows_come_back_as_they_went_in(lists: list[list[int]]) -> None:
    rows = Ragged.from_lists(lists)
    assert lists_of(rows) == lists
    assert rows[0].tolist() == lists[0]
    assert rows.rows.tolist() == [r for r, row in enumerate(lists) for _ in row]


@given(LISTS, st.integers(1, 4))
def test_the_last_entries_are_kept(lists: list[list[int]], count: int) -> None:
    assert lists_of(histories(lists).last(count)) == [row[-count:] for row in lists]


@given(LISTS, st.data())
def test_a_selection_keeps_the_asked_order(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10))
    selected = histories(lists).select(np.array(rows, dtype=np.int64))
    assert lists_of(selected) == [lists[row] for row in rows]


def test_spans_are_concatenated_ranges() -> None:
    starts, lengths = np.array([5, 0, 9]), np.array([2, 0, 3])
    assert spans(starts, lengths).tolist() == [5, 6, 9, 10, 11]
    assert offsets_of(lengths).tolist() == [0, 2, 2, 5]
