"""User data in terms of a catalogue's indices."""

import numpy as np

from features.items.catalogue import Catalogue
from features.merge import UserHistory
from features.requests.user_rows import UserRows
from features.schema import ITEM, ITEM_FEATURES, USER_FEATURES
from tests.features.logs import item, table

CATALOGUE = Catalogue.from_table(table([item(f"i{n}") for n in range(4)], ITEM))
ITEM_VALUES = np.zeros((1, 4, len(ITEM_FEATURES)), dtype=np.float32)


def test_items_that_the_catalogue_does_not_know_are_left_out_with_all_that_is_said_of_them() -> (
    None
):
    rows = UserRows.of(
        [
            UserHistory(["i3", "gone", "i0"], [1, 2, 4], [10, 20, 30], ["gone", "i2"]),
            UserHistory(hidden=["i1"]),
        ],
        CATALOGUE,
        impressed=[[("i1", 2), ("gone", 5), ("i2", 1)], []],
    )
    assert rows.histories.lengths.tolist() == [2, 0]
    assert rows.histories.items.tolist() == [3, 0]
    assert rows.histories.event_types.tolist() == [1, 4]
    assert rows.histories.timestamps.tolist() == [10, 30]
    assert [rows.hidden[row].tolist() for row in range(2)] == [[2], [1]]
    assert [rows.impressed[row].tolist() for row in range(2)] == [[1, 2], []]
    assert rows.impressed_counts.tolist() == [2.0, 1.0]
    assert rows.user_features.shape == (2, len(USER_FEATURES))
    assert np.isnan(rows.user_features).all()


def test_requests_of_users_carry_what_is_known_of_them() -> None:
    rows = UserRows.of([UserHistory(["i1"], [1], [10], ["i2"])], CATALOGUE)
    requests = rows.requests(["ann"], [50], ITEM_VALUES)
    assert (requests.histories, requests.hidden) == (rows.histories, rows.hidden)
    assert requests.user_ids.tolist() == ["ann"]
    assert requests.snapshot.tolist() == [0]
    assert requests.excluded is None
    other = UserRows.of([UserHistory()], CATALOGUE).histories
    assert rows.requests(["ann"], [50], ITEM_VALUES, histories=other).histories is other
