"""A source's setting is the one that ranks later choices best."""

from collections.abc import Callable

import numpy as np

from base.arrays import Scores
from features.requests.requests import Requests
from tests.training import market
from training.sources.choosing import best

SETTINGS = (5, 7, 9)


def favours(item: int) -> Callable[[Requests], Scores]:
    def scores(requests: Requests) -> Scores:
        found = np.zeros((len(requests), market.ITEMS), dtype=np.float32)
        found[:, item] = 1.0
        return found

    return scores


def chosen(wanted: list[list[int]], scorer: Callable[[int], Callable[[Requests], Scores]]) -> int:
    queries = market.queries([[1] for _ in wanted], wanted)
    return best(SETTINGS, scorer, queries, market.catalogue())


def test_the_setting_that_ranks_best_is_taken_and_the_first_of_equal_ones() -> None:
    assert chosen([[9], [9]], favours) == 9
    assert chosen([[7], [9], [7]], favours) == 7
    assert chosen([[7], [9]], lambda _: favours(9)) == 5


def test_without_later_choices_the_middle_one_is_taken() -> None:
    assert chosen([], favours) == 7
