"""A user's vector is the one that `implicit` would find, from the choices known at the request."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from base.arrays import Float32s
from features.items.catalogue import Catalogue
from features.ragged import Histories
from features.requests.requests import Queries
from features.schema import DAY, HOUR
from tests.training import market
from training.sources.als import Als, AlsParams
from training.sources.asked import Asked, ItemTables
from training.sources.log import Events, Log

ITEMS, NOW = 30, market.NOW
Entry = tuple[int, int, int]


@pytest.fixture(scope="module")
def fitted() -> Als:
    vectors = np.random.default_rng(1).normal(size=(ITEMS, 6)).astype(np.float32)
    return Als(vectors, confidence=8.0, reg=2.0, half_life_days=10.0)


def scores(als: Als, *histories: list[Entry]) -> Float32s:
    """[histories, ITEMS + 2]: the last two items came after the fit."""
    size = ITEMS + 2
    requests = replace(
        market.requests([[] for _ in histories], size), histories=Histories.from_rows(histories)
    )
    asked = Asked(requests, ItemTables(market.catalogue(size)), 1, 1.0)
    return als.attach(asked.tables.catalogue).scores(asked)


def test_a_users_vector_is_that_of_the_library(fitted: Als) -> None:
    entries = [(NOW - day * DAY, day % ITEMS, 1) for day in range(40, 0, -1)]
    weights = np.zeros(ITEMS)
    for moment, item, _ in entries:
        weights[item] += 0.5 ** ((NOW - moment) / DAY / fitted.half_life_days)
    confidence = np.where(weights > 0, 1.0 + fitted.confidence * weights, 0.0)
    model = AlternatingLeastSquares(6, regularization=fitted.reg, alpha=1.0, dtype=np.float64)
    model.item_factors = fitted.vectors.astype(np.float64)
    expected = model.recalculate_user(0, sparse.csr_matrix(confidence)) @ fitted.vectors.T
    np.testing.assert_allclose(scores(fitted, entries)[0, :ITEMS], expected, rtol=1e-4, atol=1e-6)


def test_the_newer_of_two_choices_counts_more(fitted: Als) -> None:
    alike = replace(fitted, vectors=np.eye(ITEMS, 6, dtype=np.float32))
    found = scores(alike, [(NOW - 30 * DAY, 0, 1), (NOW - HOUR, 1, 1)])[0]
    assert found[1] > found[0] > 0.0


def test_choices_of_items_that_came_after_the_fit_say_nothing(fitted: Als) -> None:
    known = [(NOW - 2 * HOUR, 3, 1)]
    both = scores(fitted, known, [*known, (NOW - HOUR, ITEMS + 1, 1)])
    np.testing.assert_array_equal(both[0], both[1])
    assert not both[:, ITEMS:].any()


class Tastes(Log):
    """People of `groups` groups, each of which chooses its own eight items only."""

    def __init__(self, groups: int) -> None:
        super().__init__(Path("unused"))
        self.groups = groups

    def events(self, until: int) -> Events:
        random = np.random.default_rng(2)
        users = np.repeat(np.arange(20 * self.groups), 6)
        items = users % self.groups + self.groups * random.integers(0, 8, len(users))
        return Events(users.astype(np.int32), items.astype(np.int32), np.full(len(users), until))

    def choices(self) -> tuple[Queries, Catalogue]:
        """Of one person of each group, who has chosen two of its items and then wants a third."""
        group = np.arange(self.groups)
        known, wanted = (
            [[int(g + self.groups * place) for place in places] for g in group]
            for places in ((0, 1), (2, 3))
        )
        items = 8 * self.groups
        return market.queries(known, wanted, items), market.catalogue(items)


def test_an_item_of_the_users_own_group_comes_first() -> None:
    als = Als.fit(Tastes(3), NOW, AlsParams(factors=3))
    assert als.vectors.shape == (24, 3)
    found = scores(als, [(NOW - 2 * HOUR, 4, 1), (NOW - HOUR, 1, 1)])[0, :24]
    assert set(np.argsort(-found)[:8] % 3) == {1}


def test_vectors_are_as_long_as_ranks_later_choices_best() -> None:
    """Eight numbers cannot tell 32 groups from each other."""
    assert Als.fit(Tastes(32), NOW, AlsParams()).vectors.shape[1] >= 32


def test_without_any_pull_somebody_without_a_choice_is_still_answered(fitted: Als) -> None:
    nothing = replace(fitted, vectors=np.zeros((ITEMS, 6), dtype=np.float32), reg=0.0)
    assert not scores(nothing, [], [(NOW - HOUR, 1, 1)]).any()


def test_a_log_without_a_choice_gives_a_source_that_says_nothing() -> None:
    als = Als.fit(Tastes(0), NOW, AlsParams(factors=4))
    assert not scores(als, [(NOW - HOUR, 1, 1)]).any()
