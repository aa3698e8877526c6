"""Item features that are looked up equal those in the full array."""

import numpy as np
import pyarrow as pa

from features.requests.item_steps import ItemSteps
from features.schema import DAY, ITEM_FEATURES

MOMENTS = np.array([3, 4, 9]) * DAY


def table(rows: list[tuple[int, int, float]]) -> pa.Table:
    """A table from entries (snapshot, item, value of every feature)."""
    snapshots, items, values = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "snapshot": pa.array([MOMENTS[s] for s in snapshots], pa.int64()),
            "item": pa.array(items, pa.int32()),
            **dict.fromkeys(ITEM_FEATURES, pa.array(values, pa.float64())),
        }
    )


def test_a_row_holds_until_the_items_next_and_what_is_unknown_is_nan() -> None:
    steps = ItemSteps.from_table(table([(1, 0, 5.0), (0, 2, 1.0), (2, 2, 2.0)]), MOMENTS, 4)
    assert steps.shape == (3, 4, len(ITEM_FEATURES))
    nan = np.nan
    expected = np.array([[nan, nan, 1.0, nan], [5.0, nan, 1.0, nan], [5.0, nan, 2.0, nan]])
    whole = np.stack([steps[snapshot] for snapshot in range(3)])
    np.testing.assert_array_equal(whole[:, :, 0], expected)
    snapshots, items = np.array([[2], [0]]), np.array([[3, 2, 0], [2, 2, 1]])
    np.testing.assert_array_equal(steps[snapshots, items], whole[snapshots, items])


def test_a_catalogue_of_which_nothing_is_known_is_nan() -> None:
    steps = ItemSteps.from_table(table([]), MOMENTS, 2)
    assert np.isnan(steps[0]).all()
    assert steps[np.array([[0]]), np.array([[0, 1, 1]])].shape == (1, 3, len(ITEM_FEATURES))
