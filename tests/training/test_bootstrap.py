"""Intervals cover as often as stated, resample users, and are unknown without enough data."""

import numpy as np
import pytest
from scipy import stats

from training.bootstrap import interval, paired_interval, user_means


def test_the_interval_covers_the_true_mean_as_often_as_it_claims() -> None:
    random = np.random.default_rng(0)
    users = np.arange(80)
    covered = 0
    for seed in range(300):
        found = interval(random.exponential(1.0, 80), users, seed, samples=400, confidence=0.9)
        covered += found.low <= 1.0 <= found.high
    # 90 % nominal; a percentile interval of a skewed mean of 80 falls a little short.
    assert 0.84 <= covered / 300 <= 0.95


def test_the_interval_agrees_with_the_normal_one_on_many_users() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, 2000)
    found = interval(values, np.arange(2000), seed=1, samples=4000)
    low, high = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert found.low == pytest.approx(low, abs=0.005)
    assert found.high == pytest.approx(high, abs=0.005)


def test_every_user_counts_once_however_many_queries_they_have() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0])
    users = np.array([7, 7, 7, 3])
    np.testing.assert_array_equal(user_means(values, users), [0.0, 1.0])
    assert interval(values, users, seed=1).mean == pytest.approx(0.5)


def test_repeating_each_users_queries_does_not_narrow_the_interval() -> None:
    values = np.random.default_rng(2).normal(size=50)
    once = interval(values, np.arange(50), seed=3)
    often = interval(np.repeat(values, 9), np.repeat(np.arange(50), 9), seed=3)
    assert often.low == pytest.approx(once.low)
    assert often.high == pytest.approx(once.high)


def test_a_paired_difference_is_sharper_than_the_two_means() -> None:
    random = np.random.default_rng(4)
    b = random.normal(0.0, 1.0, 400)
    a = b + 0.05 + random.normal(0.0, 0.1, 400)
    found = paired_interval(a, b, np.arange(400), seed=5)
    assert found.low > 0.0
    assert interval(a, np.arange(400), seed=5).low < 0.0


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(6).normal(size=30)
    assert interval(values, np.arange(30), seed=1) == interval(values, np.arange(30), seed=1)
    assert interval(values, np.arange(30), seed=1) != interval(values, np.arange(30), seed=2)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, np.nan, 2.0]])
def test_nothing_to_estimate_from_gives_an_unknown_interval(values: list[float]) -> None:
    found = interval(np.array(values, dtype=np.float64), np.arange(len(values)), seed=1)
    assert not found.known


def test_pairs_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        paired_interval(np.zeros(3), np.zeros(4), np.arange(3), seed=1)
