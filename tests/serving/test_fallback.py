"""What is shown when there is no release."""

import numpy as np
import pytest

from features.schema import ITEM_FEATURES
from serving.fallback import WIDTH, rank
from tests.training import market

EVENTS = {days: ITEM_FEATURES.index(f"item_events_{days}d") for days in (1, 3, 7, 30)}


def ask(columns: dict[int, list[float]], items: int = 12) -> tuple[list[int], str]:
    """Candidates, best first, where each column of events is given; item 0 is not eligible."""
    requests = market.requests([[]], items)
    features = np.full_like(requests.item_features, np.nan)
    for days, values in columns.items():
        features[:, :, EVENTS[days]] = values
    eligible = np.ones((1, items), dtype=bool)
    eligible[0, 0] = False
    asked = type(requests)(**{**requests.__dict__, "item_features": features})
    created = np.arange(items, dtype=np.int64)[::-1].copy()
    found, scores, source = rank(asked, eligible, created)
    assert scores.shape == found.shape
    assert (np.diff(scores[0]) <= 0).all()
    return found[0].tolist(), source


def test_the_shortest_window_in_which_ten_items_were_chosen_decides() -> None:
    quiet, busy = [0.0] * 11 + [9.0], [float(n) for n in range(12)]
    found, source = ask({1: quiet, 3: busy, 7: busy[::-1], 30: busy[::-1]})
    assert found == list(range(11, 0, -1))
    assert source == "recency-popular"


def test_with_few_events_the_longest_window_decides() -> None:
    found, source = ask({1: [0.0] * 12, 30: [0, 5, 0, 7, *[0.0] * 8]})
    assert found[:2] == [3, 1]
    assert source == "recency-popular"


def test_where_nothing_is_known_the_newest_items_come_first() -> None:
    found, source = ask({})
    assert found == list(range(1, 12))
    assert source == "catalogue"


@pytest.mark.parametrize("items", [WIDTH + 50])
def test_a_large_catalogue_is_cut(items: int) -> None:
    found, _ = ask({7: list(np.arange(items, dtype=float))}, items)
    assert len(found) == WIDTH
