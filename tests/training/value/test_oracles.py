"""Estimates are those of the Open Bandit Pipeline on the same numbers, bounds those of confseq."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import oracles
from training.value import (
    bounded,
    cascade_dr,
    clipping,
    dr,
    ips,
    item_position,
    reward_interaction,
    self_normalised,
    snips,
)
from training.value.logged import Logged

LIMIT, SHARE = 1.5, 0.3
N, K, ITEMS = 300, 3, 6


@pytest.fixture(scope="module")
def given():
    random = np.random.default_rng(7)
    dist = random.dirichlet(np.ones(ITEMS), N)
    action = random.integers(0, ITEMS, N)
    slate_dist = random.dirichlet(np.ones(ITEMS), (N, K))
    items = np.argsort(random.random((N, ITEMS)), axis=1)[:, :K]
    return {
        "action": action,
        "reward": random.exponential(1.0, N),
        "pscore": random.uniform(0.05, 0.9, N),
        "action_dist": dist,
        "q": random.random((N, ITEMS)),
        "rewards": random.exponential(1.0, (N, K)),
        "items": items,
        "logging": random.uniform(0.1, 0.9, (N, K)),
        "target": np.take_along_axis(slate_dist, items[:, :, None], axis=2)[:, :, 0],
        "exposure": random.uniform(0.1, 0.9, (N, K)),
        "target_exposure": random.uniform(0.0, 1.0, (N, K)),
        "slate_q": random.random((N, K, ITEMS)),
        "slate_dist": slate_dist,
        "bounded": random.beta(0.5, 3.0, 1000),
        "limit": np.array(LIMIT),
        "share": np.array(SHARE),
    }


@pytest.fixture(scope="module")
def said(checkout: Path, tmp_path_factory: pytest.TempPathFactory, given):
    folder = checkout / ".rondo" / "oracles"
    if not oracles.is_complete(folder):
        pytest.skip("no Open Bandit Pipeline: python -m benchmarks.oracles installs it")
    inputs = tmp_path_factory.mktemp("oracles") / "inputs.npz"
    results = inputs.with_name("results.json")
    np.savez(inputs, **given)
    script = Path(__file__).with_name("oracles.py")
    subprocess.run(
        [sys.executable, script, inputs, results],
        env=os.environ | {"PYTHONPATH": str(folder)},
        check=True,
    )
    return json.loads(results.read_text())


def column(values):
    return values[:, None]


def single(given):
    n = np.arange(N)
    chance = given["action_dist"][n, given["action"]]
    logged = Logged(
        n, column(given["reward"]), np.ones((N, 1), bool), column(given["pscore"]), column(chance)
    )
    predicted = column(given["q"][n, given["action"]])
    expected = (given["q"] * given["action_dist"]).sum(axis=1)
    weights = logged.ratios()
    limited = {
        "clipped": clipping.clipped(weights, LIMIT),
        "switched": clipping.switched(weights, LIMIT),
        "shrunk": clipping.shrunk(weights, LIMIT),
        "flattened": clipping.flattened(weights, SHARE),
    }
    found = {
        f"dr {kind}": dr.contributions(logged, each, predicted, expected)
        for kind, each in limited.items()
    }
    return found | {
        "ips": ips.contributions(logged),
        "ips clipped": (limited["clipped"] * logged.rewards).sum(axis=1),
        "ips flattened": (limited["flattened"] * logged.rewards).sum(axis=1),
        "snips": snips.contributions(logged),
        "dr": dr.contributions(logged, weights, predicted, expected),
        "sndr": dr.contributions(logged, weights / weights.mean(), predicted, expected),
    }


def slates(given):
    logged = Logged(
        np.arange(N), given["rewards"], np.ones((N, K), bool), given["logging"], given["target"]
    )
    own = item_position.weights(logged, given["exposure"], given["target_exposure"])
    predicted = np.take_along_axis(given["slate_q"], given["items"][:, :, None], axis=2)[:, :, 0]
    expected = (given["slate_q"] * given["slate_dist"]).sum(axis=2)
    return {
        "slate ips": ips.contributions(logged),
        "slate snips": snips.contributions(logged),
        "item position": item_position.contributions(
            logged, given["exposure"], given["target_exposure"]
        ),
        "item position normalised": self_normalised.contributions(logged, own),
        "reward interaction": reward_interaction.contributions(logged),
        "reward interaction normalised": self_normalised.contributions(
            logged, reward_interaction.weights(logged)
        ),
        "cascade dr": cascade_dr.contributions(logged, predicted, expected),
    }


def test_every_estimator_of_the_open_bandit_pipeline_agrees(given, said) -> None:
    found = {name: values.mean() for name, values in (single(given) | slates(given)).items()}
    assert found.keys() == {name for name in said if not name.startswith("bounded")}
    for name, value in found.items():
        assert value == pytest.approx(said[name][0], abs=1e-9), name


def test_bounds_of_bounded_values_are_those_of_confseq(given, said) -> None:
    found = bounded.of_values(given["bounded"])
    assert found.low == pytest.approx(np.array(said["bounded low"]), abs=1e-9)
    assert found.high == pytest.approx(np.array(said["bounded high"]), abs=1e-9)


def test_an_installation_of_other_versions_is_not_complete(tmp_path: Path) -> None:
    (tmp_path / oracles.INSTALLED).write_text("obp==0.1\n")
    assert not oracles.is_complete(tmp_path)
    (tmp_path / oracles.INSTALLED).write_text(oracles.CONSTRAINTS.read_text())
    assert oracles.is_complete(tmp_path)
