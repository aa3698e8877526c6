"""The sequential tests of counts, against scipy and against many looks."""

import math

import numpy as np
import pytest
from scipy import stats

from training.canary import proportion, sample_ratio


def test_the_evidence_of_a_mismatch_is_the_ratio_of_two_known_likelihoods() -> None:
    arrivals = np.array([[880.0, 120.0], [300.0, 90.0]])
    expected = 0.0
    for counts, share in zip(arrivals, (0.1, 0.25), strict=True):
        null = np.array([1 - share, share])
        prior = sample_ratio.CONCENTRATION * null
        n = counts.astype(int)
        expected += float(stats.dirichlet_multinomial.logpmf(n, prior, n.sum()))
        expected -= float(stats.multinomial.logpmf(n, n.sum(), null))
    assert sample_ratio.log_evidence(arrivals, (0.1, 0.25)) == pytest.approx(expected)


def test_a_true_split_is_seldom_called_a_mismatch_over_a_hundred_looks_and_a_wrong_one_is() -> None:
    random = np.random.default_rng(5)

    def ever(share: float) -> float:
        steps = random.binomial(100, share, (300, 100)).cumsum(axis=1)
        total = np.arange(1, 101) * 100
        return float(
            np.mean(
                [
                    any(
                        sample_ratio.log_evidence(np.array([[n - c, c]]), (0.1,)) > math.log(20)
                        for n, c in zip(total, row, strict=True)
                    )
                    for row in steps
                ]
            )
        )

    assert ever(0.1) <= 0.05
    assert ever(0.08) > 0.9


def test_bounds_of_a_share_are_where_the_mixed_likelihood_is_twenty_times_larger() -> None:
    low, high = proportion.bounds(7, 100, 0.05)
    mixed = 1 / 101  # of a uniform prior, with the binomial coefficient
    for bound in (low, high):
        assert stats.binom(100, bound).pmf(7) == pytest.approx(mixed * 0.05, rel=1e-6)
    assert low < 0.07 < high
    assert proportion.bounds(0, 50, 0.05)[0] == 0
    assert proportion.bounds(50, 50, 0.05)[1] == 1
    assert proportion.bounds(0, 0, 0.05) == (0, 1)
