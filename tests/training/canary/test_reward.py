"""The comparison of two arms, against hand-drawn numbers and resampled users."""

import math

import numpy as np
import pytest

from tests.training.canary import users
from tests.training.canary.users import PARAMS
from training.canary.reward import half_width, people_missing, ratio


def test_the_ratio_of_clicks_per_slate() -> None:
    found = ratio(users.alike((200, 5, 0.4), (100, 3, 0.3)), PARAMS)
    assert found is not None
    assert found.log == pytest.approx(math.log(0.3 / 0.4))
    # Half of the users have twice the rate and half have none: each arm's relative variance is 1/n.
    assert found.variance == pytest.approx((1 / 200 + 1 / 100) * 100 / 99)
    assert found.low < found.log < found.high


def test_the_variance_is_that_of_resampled_users_across_phases() -> None:
    random = np.random.default_rng(3)
    rate = random.gamma(0.7, 0.5, 400)
    place = random.random(400)
    raw = np.zeros((400, 4, 2))
    for phase, share in enumerate((0.25, 0.5)):
        slates = random.poisson(3, 400)
        arm = 2 * phase + (place < share)
        raw[np.arange(400), arm, 0] += slates
        raw[np.arange(400), arm, 1] += random.poisson(slates * rate)
    found = ratio(users.of(raw, (0.25, 0.5)), PARAMS)
    assert found is not None
    logs = []
    for _ in range(500):
        again = ratio(users.of(raw[random.integers(400, size=400)], (0.25, 0.5)), PARAMS)
        assert again is not None
        logs.append(again.log)
    assert found.variance == pytest.approx(np.var(logs), rel=0.2)


def test_a_later_phase_with_other_days_does_not_bend_the_comparison() -> None:
    """More users are in the canary on the better days: pooled, it would look better than it is."""
    raw = np.zeros((4_000, 4, 2))
    for user in range(4_000):
        phase = user // 2_000
        canary = user % 10 < (1, 5)[phase]
        raw[user, 2 * phase + canary] = (4, (1, 3)[phase] + user // 10 % 2)
    found = ratio(users.of(raw, (0.1, 0.5)), PARAMS)
    assert found is not None
    assert found.log == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("canary", [(19, 4, 0.5), (60, 4, 0.0)])
def test_too_few_users_or_no_clicks_are_not_compared(canary: tuple[int, float, float]) -> None:
    assert ratio(users.alike((500, 4, 0.5), canary), PARAMS) is None


def test_the_people_that_are_missing_are_those_with_whom_it_would_succeed() -> None:
    found = ratio(users.alike((300, 4, 0.5), (300, 4, 0.5)), PARAMS)
    assert found is not None
    missing = people_missing(found, 600, PARAMS)
    assert missing is not None
    assert missing > 1_000
    enough, short = (
        ratio(users.alike((arm, 4, 0.5), (arm, 4, 0.5)), PARAMS)
        for arm in (int((600 + missing) / 2 * factor) for factor in (1.01, 0.99))
    )
    assert enough is not None
    assert short is not None
    assert short.low < math.log1p(-PARAMS.margin) < enough.low
    worse = ratio(users.alike((300, 4, 0.5), (300, 4, 0.4)), PARAMS)
    assert worse is not None
    assert people_missing(worse, 600, PARAMS) is None


def test_bounds_become_narrower_with_information() -> None:
    widths = [half_width(v, 0.05) for v in (0.1, 0.01, 0.001)]
    assert widths == sorted(widths, reverse=True)
    assert widths[1] > 1.96 * 0.1  # wider than an interval for one look
