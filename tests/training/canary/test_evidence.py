"""The sums of a canary are those of its users, however the users came."""

from dataclasses import replace

import numpy as np

from tests.training.canary import users
from tests.training.canary.users import PARAMS
from training.canary.evidence import Counts, Evidence, contribution


def test_sums_do_not_depend_on_how_often_users_were_looked_at() -> None:
    random = np.random.default_rng(1)
    raw = np.zeros((30, 4, 2))
    found = Evidence.start(0.1).grown(0.2)
    for _ in range(50):
        who = random.choice(30, 5, replace=False)
        before = contribution(raw[who], PARAMS)
        raw[who, random.integers(4, size=5)] += random.poisson((2, 1), (5, 2))
        found = found.with_users(before, contribution(raw[who], PARAMS))
    values = contribution(raw, PARAMS)
    assert np.allclose(found.totals, values.sum(axis=0))
    assert np.allclose(found.products, values.T @ values)
    assert found.users.tolist() == (values[:, 0::2] > 0).sum(axis=0).tolist()


def test_a_user_who_moves_to_the_canary_is_in_both_arms_and_arrived_once() -> None:
    raw = np.zeros((1, 4, 2))
    raw[0, 0] = (3, 1)
    before = contribution(raw, PARAMS)
    found = Evidence.start(0.1).grown(0.2).with_arrivals([0])
    found = found.with_users(np.zeros_like(before), before)
    raw[0, 3] = (2, 0)
    found = found.with_users(before, contribution(raw, PARAMS))
    assert found.arrivals.tolist() == [[1, 0], [0, 0]]
    assert found.by_arm().tolist() == [1, 1]


def test_one_user_can_neither_outweigh_the_others_nor_click_without_end() -> None:
    raw = np.array([[[1_000.0, 500.0], [0.0, 0.0]], [[2.0, 1_000.0], [0.0, 0.0]]])
    params = replace(PARAMS, max_slates=100, max_clicks=5.0)
    assert contribution(raw, params)[:, :2].tolist() == [[100.0, 50.0], [2.0, 10.0]]


def test_evidence_is_stored_as_it_was() -> None:
    found = users.alike((3, 4, 0.5), (5, 2, 0.25)).with_counts(
        Counts(*(np.array([n, 2.0]) for n in range(5)))
    )
    again = Evidence.stored(found.plain())
    assert again.plain() == found.plain()
    assert again.grown(0.6).shares == (0.5, 0.6)
    assert again.closed is None
    assert Evidence.stored(replace(found, closed=7).plain()).closed == 7
