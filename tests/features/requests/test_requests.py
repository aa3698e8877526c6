"""Requests with few known values, and features of older versions by name."""

import numpy as np

from features.requests.requests import Requests, aligned
from features.schema import ITEM_FEATURES, USER_FEATURES


def test_what_is_not_given_is_not_known() -> None:
    item_features = np.zeros((1, 5, len(ITEM_FEATURES)), dtype=np.float32)
    requests = Requests.of(["ann", "bob"], [10, 20], item_features)
    assert requests.user_ids.dtype == object
    assert requests.timestamps.dtype == np.int64
    for rows in (requests.histories, requests.impressed, requests.hidden):
        assert rows.lengths.tolist() == [0, 0]
        assert rows.items.dtype == np.int32
    assert requests.impressed_counts.shape == (0,)
    assert requests.user_features.shape == (2, len(USER_FEATURES))
    assert np.isnan(requests.user_features).all()
    assert requests.snapshot.tolist() == [0, 0]
    assert requests.excluded is None
    assert requests.select(np.array([1])).user_ids.tolist() == ["bob"]


def test_features_of_before_are_put_where_they_are_now_and_new_ones_are_unknown() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    found = aligned(values, ("a", "b"), ("new", "b", "a"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[np.nan, 2, 1], [np.nan, 4, 3]])
    np.testing.assert_array_equal(aligned(found, ("new", "b", "a"), ("a", "b")), values)
    assert aligned(values, ("a", "b"), ("a", "b")) is values
