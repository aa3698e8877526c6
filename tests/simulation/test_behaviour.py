"""The laws, compared with numbers computed by hand."""

import itertools

import numpy as np
import pytest

from simulation import behaviour


def test_examination_falls_with_position_as_a_power() -> None:
    np.testing.assert_allclose(behaviour.examination(4, 0.5), [1, 0.70711, 0.57735, 0.5], atol=1e-5)


def test_trust_falls_with_position_as_its_inverse() -> None:
    np.testing.assert_allclose(behaviour.trust(3, 0.06), [0.06, 0.03, 0.02])


def test_the_odds_of_an_ageing_item_halve_every_half_life_down_to_a_floor() -> None:
    taken = behaviour.ageing(np.array([-1.0, 0.0, 3.0, 6.0, 1000.0]), 3.0, 3.0)
    np.testing.assert_allclose(np.exp(-taken), [1, 1, 1 / 2, 1 / 4, np.exp(-3)])


def test_satisfaction_moves_the_chance_to_return_in_logits() -> None:
    chance = behaviour.return_probability(np.array([0.2, 0.2]), np.array([0.0, 1.0]), np.log(4))
    np.testing.assert_allclose(chance, [0.2, 0.5])


def test_a_turned_direction_keeps_its_length_and_turns_by_the_angle() -> None:
    random = np.random.default_rng(0)
    before = random.normal(size=(5, 8))
    before /= np.linalg.norm(before, axis=1, keepdims=True)
    after = behaviour.turned(before, random.normal(size=(5, 8)), 0.3)
    np.testing.assert_allclose(np.linalg.norm(after, axis=1), 1.0)
    np.testing.assert_allclose((before * after).sum(axis=1), np.cos(0.3))


def test_no_order_of_a_slate_is_worth_more_than_the_one_by_attraction() -> None:
    attractions = np.array([0.5, 0.1, 0.9, 0.3])
    orders = np.array(list(itertools.permutations(attractions)))
    best = behaviour.expected_reward(-np.sort(-attractions)[None, :], 0.6)[0]
    assert best == pytest.approx(behaviour.expected_reward(orders, 0.6).max())
