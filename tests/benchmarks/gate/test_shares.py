"""Intervals of shares and means, by their definitions."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.gate.shares import mean, share


@pytest.mark.parametrize(("hits", "count"), [(0, 40), (7, 300), (300, 300)])
def test_a_share_has_its_exact_interval(hits: int, count: int) -> None:
    low = stats.beta.ppf(0.025, hits, count - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, count - hits) if hits < count else 1.0
    found = share(hits, count)
    assert found["low"] == pytest.approx(low, abs=1e-4)
    assert found["high"] == pytest.approx(high, abs=1e-4)


def test_a_mean_has_students_interval_and_one_value_has_none() -> None:
    values = np.array([0.1, 0.4, 0.3, 0.2])
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    found = mean(values)
    assert [found["low"], found["high"]] == pytest.approx([low, high], abs=1e-5)
    assert mean(values[:1])["mean"] is None
