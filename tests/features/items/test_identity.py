"""A catalogue is identified by its items and their order."""

import numpy as np
import pytest

from features.items.identity import BETWEEN, BETWEEN_IN_SOURCES, begins_with, digest

ITEMS = np.array(["a", "b", "c", "d"], dtype=object)


@pytest.mark.parametrize("between", [BETWEEN, BETWEEN_IN_SOURCES])
def test_a_longer_catalogue_begins_with_a_shorter_one_and_no_other_does(between: str) -> None:
    known = digest(ITEMS[:3], between)
    assert begins_with(ITEMS, 3, known, between)
    assert begins_with(ITEMS[:3], 3, known, between)
    assert not begins_with(ITEMS[:2], 3, known, between)
    assert not begins_with(ITEMS[[0, 2, 1, 3]], 3, known, between)


def test_digests_in_stored_releases_keep_their_meaning() -> None:
    assert digest(ITEMS[:2]).startswith("59b271ae1bbcb1d3")
    assert digest(ITEMS[:2], BETWEEN_IN_SOURCES).startswith("7e18f737311b2dc3")
