"""Accuracy metrics, compared with hand-made tables and with their definitions in plain Python."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from features.ragged import Ragged
from training.metrics.hits import Lists, PerQuery
from training.metrics.map import average_precision
from training.metrics.mrr import mrr
from training.metrics.ndcg import ndcg
from training.metrics.precision import precision
from training.metrics.recall import recall

Metric = Callable[[Lists, Ragged], PerQuery]

# Three users, lists of three. Worked by hand:
#   [1, 2, 3] with targets {2}    : hit at place 2
#   [4, 5, 6] with targets {4, 6, 7, 8}: hits at places 1 and 3
#   [7, 8, -1] with targets {9}   : no hit
LISTS = np.array([[1, 2, 3], [4, 5, 6], [7, 8, -1]], dtype=np.int32)
TARGETS = Ragged.from_lists([[2], [4, 6, 7, 8], [9]])
HALF = 1 / math.log2(3)
HAND_DRAWN: dict[Metric, list[float]] = {
    ndcg: [HALF, (1 + 0.5) / (1 + HALF + 0.5), 0],
    recall: [1, 2 / 4, 0],
    precision: [1 / 3, 2 / 3, 0],
    mrr: [1 / 2, 1, 0],
    average_precision: [1 / 2, (1 + 2 / 3) / 3, 0],
}


@pytest.mark.parametrize("metric", HAND_DRAWN)
def test_a_metric_gives_the_values_of_the_hand_drawn_table(metric: Metric) -> None:
    np.testing.assert_allclose(metric(LISTS, TARGETS), HAND_DRAWN[metric], rtol=1e-12)


def plain_ndcg(ranked: list[int], wanted: set[int], k: int) -> float:
    gained = sum(1 / math.log2(i + 2) for i, item in enumerate(ranked) if item in wanted)
    return gained / sum(1 / math.log2(i + 2) for i in range(min(k, len(wanted))))


def plain_recall(ranked: list[int], wanted: set[int], _: int) -> float:
    return len(wanted & set(ranked)) / len(wanted)


def plain_precision(ranked: list[int], wanted: set[int], k: int) -> float:
    return len(wanted & set(ranked)) / k


def plain_mrr(ranked: list[int], wanted: set[int], _: int) -> float:
    return next((1 / (i + 1) for i, item in enumerate(ranked) if item in wanted), 0.0)


def plain_map(ranked: list[int], wanted: set[int], k: int) -> float:
    precisions = [
        len(wanted & set(ranked[: i + 1])) / (i + 1)
        for i, item in enumerate(ranked)
        if item in wanted
    ]
    return sum(precisions) / min(k, len(wanted))


@pytest.mark.parametrize(
    ("metric", "plain"),
    [
        (ndcg, plain_ndcg),
        (recall, plain_recall),
        (precision, plain_precision),
        (mrr, plain_mrr),
        (average_precision, plain_map),
    ],
)
@pytest.mark.parametrize("k", [1, 5, 10])
def test_a_metric_agrees_with_its_definition_on_random_lists(
    metric: Metric, plain: Callable[[list[int], set[int], int], float], k: int
) -> None:
    random = np.random.default_rng(k)
    lists = np.stack([random.permutation(30)[:k] for _ in range(200)]).astype(np.int32)
    lists[::7, k // 2 :] = -1
    wanted = [random.permutation(30)[: random.integers(1, 15)].tolist() for _ in range(200)]
    expected = [
        plain([i for i in row.tolist() if i >= 0], set(targets), k)
        for row, targets in zip(lists, wanted, strict=True)
    ]
    np.testing.assert_allclose(metric(lists, Ragged.from_lists(wanted)), expected, rtol=1e-12)


@pytest.mark.parametrize("metric", HAND_DRAWN)
def test_a_query_without_targets_is_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match="at least one target"):
        metric(LISTS, Ragged.from_lists([[1], [], [2]]))


def test_lists_and_targets_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 lists for 1 target sets"):
        ndcg(LISTS, Ragged.from_lists([[1]]))
