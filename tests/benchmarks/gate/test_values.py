"""Coverage, bias and errors of values, on arrays whose truth is known."""

import numpy as np
import pytest

from benchmarks.gate import values
from tests.benchmarks.gate.played import played


def test_intervals_of_honest_estimates_cover_as_often_as_they_say() -> None:
    tasks = [list(values.windows(played({"a": 0.03}, s), "a", "a", 1)) for s in range(30)]
    found = values.figures(tasks)
    assert found["coverage"]["count"] == 600
    assert found["coverage"]["low"] < 0.95 < found["coverage"]["high"]
    assert found["bias"]["low"] < 0.0 < found["bias"]["high"]
    assert found["se_10000"] == pytest.approx(found["told_se_10000"], rel=0.1)
    # The two releases' slates differ by noise of 0.7 clicks each, of about 1.02.
    assert found["se_10000"] == pytest.approx(0.7 / 1.02 / 100, rel=0.1)


def test_a_biased_estimate_is_found_out() -> None:
    tasks = []
    for seed in range(5):
        run = played({"a": 0.0}, seed)
        run["second a"] += 0.1 * run["true"]
        tasks.append(list(values.windows(run, "a", "a", 3)))
    found = values.figures(tasks)
    assert found["bias"]["mean"] == pytest.approx(0.1, abs=0.01)
    assert found["coverage"]["high"] < 0.5


def test_windows_do_not_overlap_and_end_within_the_days() -> None:
    run = played({"a": 0.0})
    assert [w.slates for w in values.windows(run, "a", "a", 3)] == [2_400] * 6
    assert [w.slates for w in values.windows(run, "a", "a", 10)] == [8_000] * 2


def test_the_on_policy_error_is_that_of_two_releases_that_both_serve() -> None:
    random = np.random.default_rng(1)
    run = {
        "day": np.zeros(10_000),
        "people": np.arange(10_000),
        "clicks": random.poisson(1.0, 10_000).astype(float),
    }
    assert values.on_policy([run]) == pytest.approx(np.sqrt(2.0) / 100, rel=0.05)
