"""The numbers that the gate limits, on hand-made lists."""

import numpy as np
import pytest

from tests.training.market import catalogue
from training.evaluate import list_numbers
from training.limits import DATA, LISTS


def test_the_numbers_of_the_lists_are_what_a_person_counts() -> None:
    lists = np.array([[0, 1], [0, 1], [2, -1]], dtype=np.int32)
    found = list_numbers(lists, catalogue(10))
    counted = {"coverage": 0.3, "full_share": 2 / 3, "common_share": 2 / 3, "distinct_items": 3}
    assert {name: found[name] for name in counted} == pytest.approx(counted)


def test_without_lists_nothing_is_known() -> None:
    assert list_numbers(np.zeros((0, 2), dtype=np.int32), catalogue(10)) == {}


def test_no_two_limits_are_of_one_number() -> None:
    names = [limit.name for limit in (*DATA, *(limit for limit, _ in LISTS))]
    assert len(set(names)) == len(names)
