"""Blends with the truth, and true values, which drawn slates confirm."""

import numpy as np

from benchmarks.gate.blend import blended
from benchmarks.gate.truth import true_rewards
from serving.policy import PolicyParams, draw
from simulation import behaviour
from simulation.world_params import WorldParams
from training.recommender import Ranked
from training.value.exposures import Policy

ITEMS, CANDIDATES, DRAWS = 400, 40, 20_000


def ranked(random: np.random.Generator, rows: int = 3) -> Ranked:
    candidates = np.stack([random.permutation(ITEMS)[:CANDIDATES] for _ in range(rows)])
    scores = random.normal(size=candidates.shape).astype(np.float32)
    features = np.zeros((*candidates.shape, 0), dtype=np.float32)
    return Ranked(candidates.astype(np.int32), scores, features, np.zeros(scores.shape, np.uint8))


def test_a_large_weight_orders_by_truth_and_none_by_the_release() -> None:
    random = np.random.default_rng(1)
    release, wanted = ranked(random), random.random((3, ITEMS)).astype(np.float32)
    for weight, key in ((0.0, release.scores), (1e4, None), (-1e4, None)):
        values = np.take_along_axis(wanted, release.candidates, axis=1) if key is None else key
        order = np.argsort(-values if weight >= 0 else values, axis=1)
        expected = np.take_along_axis(release.candidates, order, axis=1)
        assert np.array_equal(blended(release, wanted, weight).items, expected)


def test_true_rewards_are_the_mean_of_drawn_slates() -> None:
    random = np.random.default_rng(2)
    release, world = ranked(random, 1), WorldParams()
    wanted = random.random((1, ITEMS)).astype(np.float32)
    policy = PolicyParams()
    eligible = np.ones((DRAWS, ITEMS), dtype=np.bool_)
    slates = draw(
        np.repeat(release.scores, DRAWS, axis=0),
        np.repeat(release.candidates, DRAWS, axis=0),
        eligible,
        world.slate_size,
        policy,
        random.random((DRAWS, world.slate_size)),
    ).items
    looks = behaviour.examination(world.slate_size, world.examination)
    trust = behaviour.trust(world.slate_size, world.trust)
    attraction = wanted[0, slates]
    drawn = [
        (attraction + trust * (1 - attraction)) @ looks,
        behaviour.expected_reward(attraction, world.examination),
    ]
    found = true_rewards(
        blended(release, wanted, 0.0),
        np.array([ITEMS]),
        wanted,
        wanted.sum(axis=1, dtype=np.float64),
        Policy(policy.temperature, policy.epsilon),
        world,
    )
    for mine, slate_by_slate in zip(found, drawn, strict=True):
        error = slate_by_slate.std() / np.sqrt(DRAWS)
        assert abs(float(mine[0]) - slate_by_slate.mean()) < 4 * error
