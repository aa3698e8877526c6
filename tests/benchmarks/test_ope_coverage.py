"""In a world whose truth is a sum, intervals cover and estimates have no bias."""

import numpy as np
import pytest

from benchmarks.ope.coverage import study
from benchmarks.ope.enumerable import APPEAL, LOGGING, LOOKS, SLATES, sample, target


def test_the_world_earns_what_its_sum_says() -> None:
    found = sample(np.random.default_rng(0), 20_000, target(0.0), likes=1.0)
    assert found.logged.rewards.sum(axis=1).mean() == pytest.approx(LOGGING.value(1.0), rel=0.03)
    slates = (LOGGING.chance[:, None] * LOOKS * APPEAL[SLATES]).sum()
    assert slates == pytest.approx(LOGGING.value(1.0), abs=1e-12)


def test_estimates_of_a_near_policy_are_right_and_their_intervals_cover() -> None:
    found = study(200, users=200, distance=0.0)
    for name, row in found.items():
        if name != "pbm_clipped":
            assert abs(row["bias"]) < 4 * row["bias_error"] + 0.01, name
        assert row["coverage"] >= 0.9, name
    assert found["pbm"]["width"] < found["item_position"]["width"] * 1.05
    assert found["pbm_dr"]["width"] < found["ips"]["width"]
