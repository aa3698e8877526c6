"""Arrays of features find their columns by name."""

import numpy as np

from features.requests.requests import aligned


def test_features_of_before_are_put_where_they_are_now_and_new_ones_are_unknown() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    found = aligned(values, ("a", "b"), ("new", "b", "a"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[np.nan, 2, 1], [np.nan, 4, 3]])
    np.testing.assert_array_equal(aligned(found, ("new", "b", "a"), ("a", "b")), values)
    assert aligned(values, ("a", "b"), ("a", "b")) is values
