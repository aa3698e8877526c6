"""The benchmark of canaries, small."""

import numpy as np

from benchmarks.canary import LOOKS, Case, canaries, summary, traffic


def test_equal_canaries_are_seldom_rolled_back_and_bad_ones_are() -> None:
    equal = summary(canaries(Case(0.0, 4_000, 0.5), 1, range(30)))
    worse = summary(canaries(Case(-0.2, 16_000, 0.5), 1, range(12)))
    assert equal["rolled_back"] <= 0.1
    assert worse["rolled_back"] == 1.0
    assert worse["most_users_an_arm"] < 10_000


def test_a_canary_that_is_safe_grows() -> None:
    equal = summary(canaries(Case(0.0, 20_000, 0.1), 2, range(5)))
    assert equal["share_at_the_end"] > 0.2


def test_users_come_again_and_click_in_a_skewed_way_together() -> None:
    visits = traffic(np.random.default_rng(1), 5_000)
    slates = np.bincount(visits.user, minlength=5_000)
    clicks = np.bincount(visits.user, visits.clicks, minlength=5_000)
    assert slates.min() == 1
    assert np.sort(slates)[-50:].sum() > 0.04 * slates.sum()  # 1 % of the users
    assert visits.look.max() == LOOKS - 1
    rate = clicks / slates
    often = slates >= 6
    # More than independent clicks of equal users would vary.
    assert rate[often].var() > 1.5 * (clicks.sum() / slates.sum()) / slates[often].mean()
