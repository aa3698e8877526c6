"""Items that became known after a request are ruled out, beside what it excludes."""

import numpy as np

from features.ragged import Ragged
from features.requests.late_items import late_items, without_late_items
from features.requests.requests import Requests

FEATURES = np.zeros((1, 6, 3), dtype=np.float32)


def requests(moments: list[int], excluded: Ragged | None = None) -> Requests:
    users = [f"u{i}" for i in range(len(moments))]
    return Requests.of(users, moments, FEATURES, excluded=excluded)


def test_an_item_is_ruled_out_until_it_is_known() -> None:
    known = np.array([0, 50, 10, 30, 20, 20], dtype=np.int64)
    excluded = Ragged.from_lists([[3], [], [0]])
    found = without_late_items(requests([20, 5, 60], excluded), known).excluded
    assert found is not None
    assert [sorted(set(found[row].tolist())) for row in range(3)] == [[1, 3], [1, 2, 3, 4, 5], [0]]


def test_it_equals_a_comparison_of_every_item_with_every_request() -> None:
    random = np.random.default_rng(0)
    known = random.integers(0, 100, size=400)
    moments = random.integers(0, 120, size=50)
    found = without_late_items(requests(moments.tolist()), known).excluded
    assert found is not None
    for row, moment in enumerate(moments.tolist()):
        assert sorted(found[row].tolist()) == np.flatnonzero(known > moment).tolist()


def test_items_that_all_requests_knew_cost_nothing() -> None:
    known = np.zeros(100_000, dtype=np.int64)
    assert len(late_items(requests([1, 2]), known)) == 0
    found = without_late_items(requests([1, 2]), known).excluded
    assert found is not None
    assert len(found.items) == 0
    assert len(without_late_items(requests([]), known)) == 0
