"""Scores to lists: order, padding, ties, broken scores."""

import numpy as np
import pytest

from features.ragged import Ragged
from training.metrics.lists import against_ties, best_columns, top_lists
from training.metrics.mrr import mrr

SCORES = np.array([[0.1, 0.9, 0.5], [0.3, -np.inf, 0.4]], dtype=np.float32)


def test_the_best_score_comes_first_and_what_may_not_be_shown_never_comes() -> None:
    np.testing.assert_array_equal(top_lists(SCORES, 3), [[1, 2, 0], [2, 0, -1]])


def test_lists_longer_than_the_catalogue_are_padded() -> None:
    np.testing.assert_array_equal(top_lists(SCORES, 5)[0], [1, 2, 0, -1, -1])


def test_candidates_are_named_by_their_items() -> None:
    items = np.array([[7, 8, 9], [4, 5, 6]], dtype=np.int32)
    np.testing.assert_array_equal(top_lists(SCORES, 2, items), [[8, 9], [6, 4]])


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused_rather_than_ranked_first(broken: float) -> None:
    scores = SCORES.copy()
    scores[0, 0] = broken
    with pytest.raises(ValueError, match="NaN or infinity"):
        top_lists(scores, 3)


@pytest.mark.parametrize("target", [0, 1, 2, 3])
def test_a_model_that_scores_everything_alike_gets_the_worst_place(target: int) -> None:
    scores = np.zeros((1, 4), dtype=np.float32)
    targets = Ragged.from_lists([[target]])
    lists = top_lists(against_ties(scores, targets), 4)
    assert mrr(lists, targets)[0] == pytest.approx(1 / 4)


def test_a_target_ahead_by_the_smallest_step_is_not_pushed_behind() -> None:
    above = np.nextafter(np.float32(1.0), np.float32(2.0))
    two_above = np.nextafter(above, np.float32(2.0))
    scores = np.array([[1.0, two_above]], dtype=np.float32)
    targets = Ragged.from_lists([[1]])
    assert top_lists(against_ties(scores, targets), 2)[0, 0] == 1


@pytest.mark.parametrize("k", [1, 5, 30])
def test_lists_are_those_of_a_stable_sort_of_everything(k: int) -> None:
    random = np.random.default_rng(k)
    scores = random.integers(0, 9, size=(50, 30)).astype(np.float32)
    scores[random.random(scores.shape) < 0.3] = -np.inf
    scores[7] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    shown = np.isfinite(np.take_along_axis(scores, order, axis=1))
    np.testing.assert_array_equal(top_lists(scores, k), np.where(shown, order, -1))


@pytest.mark.parametrize("k", [1, 10, 100, 300])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.97])
def test_the_best_columns_are_those_of_a_stable_sort_whatever_the_sign(
    k: int, zeros: float
) -> None:
    random = np.random.default_rng(k)
    size = (20, 200)
    scores = (random.normal(size=size) * 10.0 ** random.integers(-42, 38, size)).astype(np.float32)
    scores[random.random(size) < 0.1] = -np.inf
    scores[random.random(size) < 0.1] = np.inf
    scores[random.random(size) < zeros] = 0.0
    scores[random.random(size) < zeros / 2] = -0.0
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(best_columns(scores, k), order)
