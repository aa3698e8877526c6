"""Swing by who serves, and rank correlation, on arrays drawn by hand."""

import numpy as np
import pytest

from benchmarks.gate import fairness


def test_the_swing_is_what_the_second_gains_when_it_does_not_serve() -> None:
    run = {
        "served": np.array([0, 0, 1, 1]),
        "earned": np.array([[100.0, 103.0], [100.0, 101.0], [100.0, 100.0], [100.0, 98.0]]),
        "true": np.array([[100.0, 100.0]] * 2 + [[100.0, 99.0]] * 2),
        "ndcg": np.array([[0.1, 0.11]] * 2 + [[0.1, 0.09]] * 2),
        "ndcg all": np.array([[0.2, 0.19]] * 2 + [[0.2, 0.21]] * 2),
    }
    found = fairness.swing([run, run])
    assert found["value"]["mean"] == pytest.approx(0.03)
    assert found["excess"]["mean"] == pytest.approx(0.02)
    assert found["organic_ndcg"]["mean"] == pytest.approx(0.2)
    assert found["ndcg_with_clicks"]["mean"] == pytest.approx(-0.1)


def test_releases_are_ranked_among_the_good_ones_only() -> None:
    served, days = 100.0, 10
    true = np.array([101.0, 99.0, 98.0, 97.0, 60.0])
    estimates = np.array([101.0, 99.0, 98.0, 97.0, 150.0])
    ndcg = np.array([4.0, 3.0, 1.0, 2.0, 9.0])
    found = np.stack([np.full(5, served), estimates, true, true, ndcg], axis=1)
    run = {"found": np.stack([found] * days), "served": np.full((days, 2), served)}
    result = fairness.ranks([run])
    assert result["3 days"]["value"]["mean"] == pytest.approx(1.0)
    assert result["3 days"]["organic_ndcg"]["mean"] == pytest.approx(0.8)
    assert result["3 days"]["value"]["count"] == 3
    assert result["10 days"]["releases"] == 4.0
