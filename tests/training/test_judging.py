"""Judging: averages by user, ties count against the model, slices hold what their names say."""

import numpy as np
import pytest

from base.arrays import Scores
from features.requests.requests import Requests
from tests.training import market
from training.judging import beyond_accuracy, judge, judge_by, judge_scores
from training.slices import slices

QUERIES = market.queries([[0], [0, 1], list(range(6)), list(range(55))], [[9], [58], [7], [56]])


def test_all_metrics_carry_the_length_of_the_lists_in_their_names() -> None:
    judged = judge(QUERIES, np.tile(np.arange(5, 10, dtype=np.int32), (4, 1)))
    assert set(judged.metrics) == {"ndcg@5", "recall@5", "precision@5", "mrr@5", "map@5"}
    np.testing.assert_allclose(judged.metrics["mrr@5"], [1 / 5, 0, 1 / 3, 0])


def test_a_target_that_was_not_retrieved_scores_nothing() -> None:
    items = np.tile(np.arange(10, 20, dtype=np.int32), (4, 1))
    judged = judge_scores(QUERIES, np.random.default_rng(1).random((4, 10), np.float32), 5, items)
    assert all(values.sum() == 0 for values in judged.metrics.values())


def test_a_constant_model_scores_nothing_where_it_could_have_been_lucky() -> None:
    judged = judge_scores(QUERIES, np.zeros((4, 60), dtype=np.float32), 10)
    assert judged.metrics["recall@10"].sum() == 0


def test_judging_a_few_queries_at_a_time_gives_what_judging_all_at_once_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = np.random.default_rng(2).integers(0, 9, (4, 60)).astype(np.float32)
    asked: list[int] = []

    def score(requests: Requests) -> Scores:
        asked.append(len(requests))
        return table[requests.histories.lengths % 4]

    whole = judge_scores(QUERIES, table[QUERIES.requests.histories.lengths % 4], 10)
    for chunk, parts in ((60 * 3, [3, 1]), (1, [1] * 4), (10**6, [4])):
        monkeypatch.setattr("training.judging.CHUNK_SCORES", chunk)
        asked.clear()
        judged = judge_by(QUERIES, score, 10, 60)
        assert asked == parts
        np.testing.assert_array_equal(judged.lists, whole.lists)
        np.testing.assert_array_equal(judged.metrics["ndcg@10"], whole.metrics["ndcg@10"])
    nobody = QUERIES.select(np.zeros(0, dtype=np.int64))
    assert judge_by(nobody, score, 10, 60).lists.shape == (0, 10)


def test_a_perfect_model_scores_one() -> None:
    scores = np.zeros((4, 60), dtype=np.float32)
    scores[QUERIES.targets.rows, QUERIES.targets.items] = 1.0
    judged = judge_scores(QUERIES, scores, 10)
    np.testing.assert_allclose(judged.metrics["ndcg@10"], 1.0)


def test_slices_follow_history_length_and_items_new_at_training() -> None:
    parts = slices(QUERIES, np.arange(60) >= 50)
    assert parts["new_users"].tolist() == [True, True, False, False]
    assert parts["short_history"].tolist() == [False, False, True, False]
    assert parts["long_history"].tolist() == [False, False, False, True]
    assert parts["new_items"].tolist() == [False, True, False, True]


def test_list_statistics_are_named_and_within_their_ranges() -> None:
    lists = np.array([[0, 1], [2, 4]], dtype=np.int32)
    found = beyond_accuracy(lists, market.catalogue(), np.arange(60.0))
    assert found["coverage@2"] == pytest.approx(4 / 60)
    assert found["novelty@2"] > 0
    assert 0 < found["diversity@2"] < 2


def test_queries_and_lists_must_be_of_one_length() -> None:
    with pytest.raises(ValueError, match="2 lists for 4 target sets"):
        judge(QUERIES, np.zeros((2, 3), dtype=np.int32))
